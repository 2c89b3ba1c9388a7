"""The status of a study: measures that are kept, the order of participants, clocks and time zones, and memory."""

import csv
import itertools
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from made_studies import Visitor, make_study, open_study
from perceptinit_collect import checks, people, status as status_module
from perceptinit_collect.checks import copy_answers, forget, read_checked
from perceptinit_collect.embedding import HeldOut
from perceptinit_collect.export import export
from perceptinit_collect.records import judge_records
from perceptinit_collect.status import status
from perceptinit_collect.store import FILE, HEADS_FILE, connect
from test_collect_checks import codes, damage, query


@pytest.fixture
def verified(monkeypatch):
    """Return the codes of participants whose answers were verified; small studies keep measures, too."""
    found = []
    verify = checks._read_record

    def count(connection, read, code, *head):
        found.append(code)
        return verify(connection, read, code, *head)

    monkeypatch.setattr(checks, "_read_record", count)
    monkeypatch.setattr(checks, "MIN_KEPT", 0)
    return found


def test_the_status_verifies_only_participants_with_new_answers(tmp_path, verified):
    folder = make_study(tmp_path)
    with open_study(folder) as site:
        done, late = site.begun(), site.begun()
        done.finish()
        late.answer(0)
        first = status(folder)
        assert sorted(verified) == sorted(codes(folder))
        del verified[:]
        assert status(folder) == first
        assert verified == []
        late.answer(1)
        assert [row[1] for row in status(folder)["people"]] == ["26", "2"]
        assert verified == [codes(folder)[1]]


def test_the_copy_keeps_what_it_verified(tmp_path, verified):
    folder = make_study(tmp_path)
    with open_study(folder) as site:
        site.begun().finish()
        copy_answers(folder)
        del verified[:]
        status(folder)
    assert verified == []


def test_damage_that_a_check_found_is_listed_although_the_measures_were_kept(tmp_path, verified):
    folder = make_study(tmp_path)
    with open_study(folder) as site:
        site.begun().finish()
        site.begun().finish()
    first = codes(folder)[0]
    status(folder)
    damage(folder, first)
    assert dict(status(folder)["summary"]).get("damaged") is None  # not verified again
    assert read_checked(folder)[1] == [f"participant {first}: a checksum does not match"]
    assert dict(status(folder)["summary"])["damaged"] == f"participant {first}: a checksum does not match"


def test_a_deleted_participant_leaves_no_kept_measures(tmp_path, verified):
    folder = make_study(tmp_path)
    with open_study(folder) as site:
        site.begun().finish()
        site.begun().finish()
        first, second = codes(folder)
        status(folder)
        forget(folder, first)
        kept = query(folder / HEADS_FILE, "SELECT person FROM kept WHERE person != ''")
        assert kept == [(second,)]
        assert [row[0] for row in status(folder)["people"]] == [second]
    assert not any(first.encode() in path.read_bytes() for path in folder.glob("*.sqlite*"))


def test_a_participant_deleted_during_the_status_is_not_kept(tmp_path, verified, monkeypatch):
    folder = make_study(tmp_path)
    with open_study(folder) as site:
        site.begun().finish()
    (code,) = codes(folder)
    keep = checks.keep

    def keep_late(folder, measured):
        forget(folder, code)
        keep(folder, measured)

    monkeypatch.setattr(checks, "keep", keep_late)
    status(folder)
    assert query(folder / HEADS_FILE, "SELECT person FROM kept WHERE person != ''") == []


def test_kept_measures_give_the_same_rows_as_the_answers(tmp_path, verified):
    folder = make_study(tmp_path, not_sure=True)
    with open_study(folder) as site:
        for place in (0, 1, None):
            somebody = site.begun()
            for position in range(20):
                somebody.answer(position, place)
        site.begun().finish()
    status(folder)
    kept = status(folder)["people"]
    with closing(connect(folder / FILE)) as connection:
        connection.execute("DELETE FROM heads.kept")
    assert status(folder)["people"] == kept
    judged = judge_records(read_checked(folder)[0])
    agreements = {row[0]: row[6] for row in kept}
    for code, (found, _) in judged.items():
        assert agreements[code] == ("-" if found.agreement is None else f"{found.agreement:.2f}")


def test_a_status_without_permission_to_write_verifies_everything(tmp_path, verified, monkeypatch):
    folder = make_study(tmp_path)
    with open_study(folder) as site:
        site.begun().finish()
    whole = status(folder)
    (folder / HEADS_FILE).write_bytes(b"x" * 5000)
    shown = status(folder)
    assert "file is not a database" in dict(shown["summary"])["damaged"]
    assert shown["people"] == whole["people"]


def test_participants_who_finished_come_first_with_one_reason_each(tmp_path):
    folder = make_study(tmp_path)
    with open_study(folder) as site:
        site.begun().answer(0)
        hasty = site.begun()
        for position in range(hasty.state()["total"]):
            hasty.answer(position, 0, seconds=0.1)
    found = status(folder)["people"]
    assert [(row[1], row[-1]) for row in found] == [
        ("26", "attention checks correct 0.50 < 0.88"),
        ("1", "left after 1 of 26"),
    ]


def test_the_number_of_participants_still_needed_counts_those_who_finish(tmp_path, monkeypatch):
    monkeypatch.setattr(status_module, "held_out", lambda *arguments: HeldOut(0.7, 0.1))
    folder = make_study(tmp_path, limits=False)
    with open_study(folder) as site:
        site.begun().finish()
        for _ in range(5):
            site.begun()  # leaves at once
    # one participant gave 10 answers, and 990 more are needed for a tenth of the width
    assert dict(status(folder)["summary"])["additional answers for +- 1 point"] == (
        "about 990, from 99 participants who finish"
    )


def test_a_long_list_of_participants_is_printed_in_part(tmp_path, collect, monkeypatch):
    monkeypatch.setattr(status_module, "MAX_PRINTED", 1)
    folder = make_study(tmp_path)
    with open_study(folder) as site:
        site.begun().finish()
        site.begun().answer(0)
    shown = collect(folder, "--status").stdout
    first, second = codes(folder)
    assert (first in shown, second in shown) == (True, False)
    assert "1 more participants are on the owner's page" in shown


def test_nothing_is_lost_when_the_clock_is_set_back_an_hour(tmp_path, monkeypatch):
    folder = make_study(tmp_path)
    clock = itertools.chain([7200.0, 7201.0], itertools.count(3600.0))
    with open_study(folder) as site:
        monkeypatch.setattr(people.time, "time", lambda: next(clock))
        visitor = site.begun()
        visitor.finish()
        site.begun().answer(0)
        copy_answers(folder)
    records, problems = read_checked(folder)
    assert ([len(record.answers) for record in records], problems) == ([26, 1], [])
    assert all(float(row[9]) >= 0 for row in status(folder)["people"])
    export(folder, tmp_path / "judgments.csv")
    with (tmp_path / "judgments.csv").open() as file:
        assert sum(row["answered_place"] != "" for row in csv.DictReader(file)) == 27


def test_another_time_zone_and_a_restart_within_a_trial_lose_nothing(tmp_path, monkeypatch):
    folder = make_study(tmp_path)
    try:
        with open_study(folder) as site:
            visitor = site.begun()
            visitor.answer(0)
            state = visitor.state()  # the page shows trial 1
        before = status(folder)["people"][0][8]
        monkeypatch.setenv("TZ", "Pacific/Kiritimati")
        time.tzset()
        with open_study(folder) as site:
            late = Visitor(site.address)
            late._cookie = visitor._cookie
            assert late.answer(state["next"])[0] == 200
            assert late.state()["next"] == 2
            late.finish()
        assert status(folder)["people"][0][8] == before  # UTC
        assert read_checked(folder)[1] == []
    finally:
        monkeypatch.undo()
        time.tzset()


GROWTH = """
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from made_studies import open_study
from perceptinit_collect import server

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6

def take_part(site, count):
    for number in range(count):
        visitor = site.begun()
        visitor.state()
        visitor.answer(0)

with open_study(Path(sys.argv[1]), 10**9) as site:
    take_part(site, server.MAX_SESSIONS + 50)  # fills the cache of sessions
    before = resident()
    take_part(site, 1500)
    print(resident() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the memory from /proc")
def test_the_memory_of_the_server_does_not_grow_with_the_participants(tmp_path):
    """Slow: 1,800 participants start. 10,000 may add 50 MB; benchmarks/collect_scale.py measures them."""
    folder = make_study(tmp_path, questions=500, per_person=100, images=20)
    command = [sys.executable, "-c", GROWTH, str(folder), str(Path(__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    assert float(done.stdout) < 50 * 1500 / 10_000 + 2
