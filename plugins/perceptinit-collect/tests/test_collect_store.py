"""`perceptinit collect`: acknowledged answers are never lost or duplicated."""

import errno
import itertools
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, TimeoutError as NotYetError
from contextlib import closing

import pytest
from filelock import FileLock
from made_studies import Visitor, make_study, open_study
from perceptinit_collect import people
from perceptinit_collect.checks import forget
from perceptinit_collect.design import read_trials
from perceptinit_collect.export import export
from perceptinit_collect.store import Store, StoreError, connect
from perceptinit_collect.study import open_study as open_folder

from perceptinit.plugin import DataError, UsageError


@pytest.fixture
def store(tmp_path):
    with closing(Store(tmp_path)) as made:
        yield made


def test_the_database_is_readable_by_the_owner_only(tmp_path):
    folder = make_study(tmp_path)
    with open_study(folder) as site:
        site.begun().answer(0)
        secret = [*folder.glob("answers.sqlite*"), folder / "owner-token"]
        assert {path.stat().st_mode & 0o077 for path in secret} == {0}
        assert len(secret) == 7  # the answers and their heads, each with a log and its index


def note(name):
    return lambda connection: connection.execute("INSERT INTO facts VALUES (?, '')", (name,))


def noted(store):
    return [row[0] for row in store.reader.execute("SELECT name FROM facts ORDER BY name")]


def test_every_commit_is_synced_to_disk_before_it_is_acknowledged(store):
    def pragmas(connection):
        return [
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("synchronous", "journal_mode")
        ]

    assert store.submit(pragmas).result() == [2, "wal"]  # 2 is FULL


def test_a_write_is_acknowledged_only_after_its_commit(store, tmp_path):
    other = connect(store.path)
    other.execute("BEGIN IMMEDIATE")  # no other connection can commit now
    waiting = store.submit(note("a"))
    with pytest.raises(NotYetError):
        waiting.result(timeout=0.2)
    assert noted(store) == []
    other.execute("COMMIT")
    waiting.result(timeout=10)
    assert noted(store) == ["a"]
    other.close()


def test_waiting_writes_are_committed_together_and_a_refused_write_is_rolled_back_alone(store):
    def refuse(connection):
        note("half")(connection)
        raise people.ClosedError("no")

    gate = threading.Event()
    first = store.submit(lambda connection: gate.wait(10))
    others = [store.submit(note("a")), store.submit(refuse), store.submit(note("b"))]
    gate.set()
    first.result()
    assert [type(f.exception(timeout=10)) for f in others] == [
        type(None),
        people.ClosedError,
        type(None),
    ]
    assert noted(store) == ["a", "b"]


def test_a_canceled_write_does_not_stop_others(store):
    gate = threading.Event()
    store.submit(lambda connection: gate.wait(10))
    gone: Future = store.submit(note("gone"))
    assert gone.cancel()
    gate.set()
    store.submit(note("kept")).result(timeout=10)
    assert noted(store) == ["kept"]


def fill_disk(connection):
    """Limit the database to its current size, like a full disk."""
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")


def test_a_full_disk_is_reported_and_acknowledged_answers_are_kept(store):
    store.submit(note("before")).result()
    store.submit(fill_disk).result()
    with pytest.raises(StoreError, match=r"database or disk is full\. The answer was not stored"):
        store.submit(note("x" * 100_000)).result()
    store.submit(lambda c: c.execute("PRAGMA max_page_count = 1000000")).result()
    store.submit(note("x" * 100_000)).result()
    assert len(noted(store)) == 2


def test_the_page_retries_while_the_disk_is_full(tmp_path):
    with open_study(make_study(tmp_path)) as site:
        somebody = site.begun()
        assert somebody.answer(0)[0] == 200
        site.study.store.writer.execute("PRAGMA query_only = ON")
        status, reply = somebody.answer(1)
        assert (status, "was not stored" in reply["error"]) == (503, True)
        site.study.store.writer.execute("PRAGMA query_only = OFF")
        assert somebody.answer(1) == (200, {"next": 2, "correct": False})
        assert len(site.rows("SELECT * FROM answers")) == 2


def test_a_read_only_folder_is_refused_at_the_start(tmp_path, monkeypatch):
    folder = make_study(tmp_path)
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    with (
        pytest.raises(DataError, match="not writable, so answers cannot be stored"),
        open_folder(folder),
    ):
        pass


def test_a_database_that_cannot_be_opened_is_reported(tmp_path):
    (tmp_path / "answers.sqlite").mkdir()
    with pytest.raises(StoreError, match="Check that the folder exists and is writable"):
        Store(tmp_path)


def test_a_second_server_on_a_study_is_refused(tmp_path):
    folder = make_study(tmp_path)
    with (
        open_folder(folder),
        pytest.raises(UsageError, match="already being served by another process"),
        open_folder(folder),
    ):
        pass


def test_a_clock_that_jumps_back_does_not_change_order_or_reaction_times(tmp_path, monkeypatch):
    with open_study(make_study(tmp_path)) as site:
        somebody = site.begun()
        times = itertools.count(2_000_000_000, -1_000_000)
        monkeypatch.setattr(people.time, "time", lambda: next(times))
        for position in range(4):
            assert somebody.answer(position, seconds=1.0 + position)[0] == 200
        rows = site.rows("SELECT position, seconds, received FROM answers ORDER BY position")
    assert [row[:2] for row in rows] == [(0, 1.0), (1, 2.0), (2, 3.0), (3, 4.0)]
    assert rows[0][2] > rows[3][2]


def test_the_same_answer_sent_twice_is_stored_once_and_accepted_twice(tmp_path):
    with open_study(make_study(tmp_path)) as site:
        somebody = site.begun()
        assert somebody.answer(0, 1) == somebody.answer(0, 1)
        assert len(site.rows("SELECT * FROM answers")) == 1


def test_a_different_answer_to_the_same_trial_is_refused(tmp_path):
    with open_study(make_study(tmp_path)) as site:
        somebody = site.begun()
        somebody.answer(0, 1)
        (before,) = site.rows("SELECT * FROM answers")
        assert somebody.answer(0, 0) == (
            409,
            {"error": "this question already has an answer", "next": 1},
        )
        assert site.rows("SELECT * FROM answers") == [before]


def test_an_answer_out_of_order_is_refused_with_the_next_position(tmp_path):
    with open_study(make_study(tmp_path)) as site:
        somebody = site.begun()
        assert somebody.answer(3) == (409, {"error": "answer 3 arrived before answer 0", "next": 0})
        somebody.finish()
        total = somebody.ask("GET", "/trials")
        assert total[2] == "/done"
        count = len(site.rows("SELECT * FROM answers"))
        assert somebody.answer(count) == (
            409,
            {"error": "all questions are answered", "next": count},
        )


def test_an_open_session_continues_with_its_version_of_the_design(tmp_path):
    folder = make_study(tmp_path)
    with open_study(folder) as site:
        somebody = site.begun()
        somebody.answer(0)
    (folder / "texts/instructions.md").write_text("## Something new")
    with open_study(folder) as site:
        late = Visitor(site.address)
        late._cookie = somebody._cookie
        assert late.answer(1)[0] == 200
        assert b"Something new" not in late.get("/trials")
        assert b"Something new" in site.begun().get("/trials")
        assert site.rows("SELECT design FROM people ORDER BY design") == [(1,), (2,)]


def test_the_session_of_a_deleted_participant_ends(tmp_path):
    folder = make_study(tmp_path)
    with open_study(folder) as site:
        somebody = site.begun()
        somebody.answer(0)
        (code,) = site.rows("SELECT id FROM people")[0]
        assert forget(folder, code) == 1
        assert somebody.answer(1)[0] == 410
        assert site.rows("SELECT * FROM answers") == []


def test_deleted_data_is_overwritten_in_the_file(tmp_path):
    folder = make_study(tmp_path, changes=[("keep_platform_ids = false", "keep_platform_ids = true")])
    with open_study(folder) as site:
        site.begun(survey_code="verypersonal").answer(0)
        assert any(b"verypersonal" in path.read_bytes() for path in folder.glob("answers.sqlite*"))
        assert forget(folder, "verypersonal") == 1  # while people answer
        files = [path.read_bytes() for path in folder.glob("answers.sqlite*")]
        assert not any(b"verypersonal" in content for content in files)
    with pytest.raises(UsageError, match="no participant has the code or platform id 'verypersonal'"):
        forget(folder, "verypersonal")


def platform_ids(site, **ids):
    for name, value in ids.items():
        site.begun(**{name: value}).answer(0)


def test_an_id_of_two_platforms_is_ambiguous_without_the_platform(tmp_path):
    folder = make_study(tmp_path)
    with open_study(folder) as site:
        platform_ids(site, workerId="4711", survey_code="4711")
        with pytest.raises(
            UsageError, match=r"matches 2 participants, so no one was deleted.*mturk:4711.*sona:4711"
        ):
            forget(folder, "4711")
        assert len(site.rows("SELECT * FROM people")) == 2
        assert forget(folder, "sona:4711") == 1
        assert site.rows("SELECT platform FROM people") == [("mturk",)]


def test_a_code_that_equals_a_platform_id_deletes_the_specified_participant(tmp_path):
    folder = make_study(tmp_path, changes=[("keep_platform_ids = false", "keep_platform_ids = true")])
    with open_study(folder) as site:
        site.begun().answer(0)
        (code,) = site.rows("SELECT id FROM people")[0]
        platform_ids(site, workerId=code)
        with pytest.raises(UsageError, match="matches 2 participants"):
            forget(folder, code)
        assert forget(folder, f"mturk:{code}") == 1
        assert site.rows("SELECT id FROM people") == [(code,)]
        assert forget(folder, f"code:{code}") == 1


def test_the_exported_participants_are_readable_by_the_owner_only(tmp_path):
    folder = make_study(tmp_path, changes=[("keep_platform_ids = false", "keep_platform_ids = true")])
    with open_study(folder) as site:
        platform_ids(site, workerId="W1")
    for table in (tmp_path / "judgments.csv", tmp_path / "judgments.csv"):  # new, and over an old one
        written = {path.name: path.stat().st_mode & 0o077 for path in export(folder, table)[0]}
        assert written["judgments.people.csv"] == 0
        assert "W1" in (tmp_path / "judgments.people.csv").read_text()
        (tmp_path / "judgments.people.csv").chmod(0o644)


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOLCK, "No locks available"), NotImplementedError("no flock")]
)
def test_a_file_system_without_locks_is_refused(tmp_path, monkeypatch, error):
    def acquire(*args, **options):
        raise error

    folder = make_study(tmp_path)
    monkeypatch.setattr(FileLock, "acquire", acquire)
    with (
        pytest.raises(DataError, match=r"cannot be locked \(.*\). Move the study to a local disk"),
        open_folder(folder),
    ):
        pass


SERVER = """
import sys
from pathlib import Path
from perceptinit_collect.serve import address_of, listen, serve
listener = listen("127.0.0.1", 0)
serve(Path(sys.argv[1]), listener, print, lambda study: print(address_of(listener), flush=True))
"""


def test_every_acknowledged_answer_is_stored_once_after_kill_9(tmp_path):
    folder = make_study(tmp_path, questions=100, per_person=100, images=12)
    command = [sys.executable, "-c", SERVER, str(folder)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    acknowledged = []

    def answer_all(visitor):
        try:
            for position in range(100):
                if visitor.answer(position, position % 2)[0] == 200:
                    acknowledged.append(position)
        except (OSError, ValueError):
            pass  # the server was killed

    try:
        somebody = Visitor(server.stdout.readline().strip())
        somebody.begin()
        thread = threading.Thread(target=answer_all, args=(somebody,))
        thread.start()
        deadline = time.monotonic() + 20
        while len(acknowledged) < 10 and time.monotonic() < deadline:
            time.sleep(0.01)
        server.send_signal(signal.SIGKILL)
        thread.join(20)
    finally:
        server.kill()
        server.wait()
    with sqlite3.connect(folder / "answers.sqlite") as connection:
        stored = [row[0] for row in connection.execute("SELECT position FROM answers ORDER BY position")]
    assert len(acknowledged) >= 10
    assert stored[: len(acknowledged)] == acknowledged
    assert stored == list(range(len(stored)))


def test_trials_survive_a_round_trip_through_the_database(tmp_path):
    with open_study(make_study(tmp_path, task="odd-one-out")) as site:
        site.begun()
        (text,) = site.rows("SELECT trials FROM people")[0]
    trials = read_trials(text)
    assert [t["kind"] for t in json.loads(text)] == [t.kind for t in trials]
    assert all(sorted(t.order) == [0, 1, 2] for t in trials)
