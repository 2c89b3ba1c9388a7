"""Checksums of answers, the copy of the answers, and its restoration."""

import os
import shutil
import sqlite3
from contextlib import closing

import pytest
from made_studies import make_study, open_study
from perceptinit_collect import checks, serve
from perceptinit_collect.checks import COPY, copy_answers, forget, read_checked, restore
from perceptinit_collect.export import export
from perceptinit_collect.status import status
from perceptinit_collect.store import FILE, HEADS_FILE

from perceptinit.plugin import DataError, UsageError


def change(path, *statements):
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def query(path, text):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(text).fetchall()


@pytest.fixture
def study(tmp_path):
    """A study with a copy of the answers of two participants, and a third one who answered later."""
    folder = make_study(tmp_path)
    with open_study(folder) as site:
        site.begun().finish()
        site.begun().finish()
        copy_answers(folder)
        site.begun().answer(0)
    return folder


def codes(folder):
    return [code for (code,) in query(folder / FILE, "SELECT id FROM people ORDER BY slot")]


def intact(folder):
    return [record.person for record in read_checked(folder)[0]]


def table(folder):
    export(folder, folder / "table.csv")
    return (folder / "table.csv").read_text()


def damage(folder, code):
    change(folder / FILE, f"UPDATE answers SET answer = 1 - answer WHERE person = '{code}' AND position = 3")


def test_answers_match_their_checksums(study):
    records, problems = read_checked(study)
    assert ([len(record.answers) > 1 for record in records], problems) == ([True, True, False], [])


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE answers SET answer = 1 - answer WHERE person = '{}' AND position = 3",
        "UPDATE answers SET seconds = seconds + 1e-9 WHERE person = '{}' AND position = 0",
        "UPDATE answers SET sha256 = '' WHERE person = '{}' AND position = 3",
        "UPDATE people SET platform = 'sona' WHERE id = '{}'",
        "UPDATE people SET trials = replace(trials, '[1, 0]', '[0, 1]') WHERE id = '{}'",
        "UPDATE people SET sha256 = '' WHERE id = '{}'",
    ],
)
def test_a_changed_row_damages_only_its_participant(study, statement):
    first, *others = codes(study)
    change(study / FILE, statement.format(first))
    found, (problem,) = read_checked(study)
    assert [record.person for record in found] == others
    assert problem == f"participant {first}: a checksum does not match"


def test_missing_answers_and_participants_are_found_by_the_second_file(study):
    first, second, third = codes(study)
    (count,) = query(study / FILE, f"SELECT COUNT(*) FROM answers WHERE person = '{first}'")[0]
    change(
        study / FILE,
        f"DELETE FROM answers WHERE person = '{first}' AND position >= 5",
        f"DELETE FROM answers WHERE person = '{third}'",
        f"DELETE FROM people WHERE id = '{third}'",
    )
    assert intact(study) == [second]
    assert read_checked(study)[1] == [
        f"participant {first}: {count} answers were stored, and 5 are left",
        f"participant {third}: 1 answers were stored, and 0 are left",
    ]


def test_answers_that_the_second_file_does_not_contain_yet_are_intact(study):
    third = codes(study)[2]
    change(study / HEADS_FILE, f"DELETE FROM heads WHERE person = '{third}'")
    assert (len(intact(study)), read_checked(study)[1]) == (3, [])


def test_trials_are_compared_with_those_of_the_design(study, monkeypatch):
    first = codes(study)[0]
    draw = checks.draw_trials  # the checksums match, so only the trials can differ
    monkeypatch.setattr(checks, "draw_trials", lambda design, slot: draw(design, slot or 99))
    assert read_checked(study)[1] == [f"participant {first}: the trials are not those of design 1"]


def test_damage_of_a_design_is_reported_with_its_participants(study):
    path = study / "design-1.json"
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b'"seed": 0', b'"seed": 1'))
    records, problems = read_checked(study)
    assert (records, len(problems)) == ([], 3)
    assert "design-1.json: changed after it was locked" in problems[0]
    before = (study / FILE).read_bytes()
    with pytest.raises(DataError, match=r"design-1\.json: changed after it was locked"):
        restore(study)
    assert (study / FILE).read_bytes() == before


def test_the_export_leaves_out_damaged_participants_and_exits_with_1(study, collect):
    first = codes(study)[0]
    whole = table(study).splitlines()
    damage(study, first)
    done = collect(study, "--export", "judgments.csv")
    assert done.exit_code == 1
    assert f"participant {first}: a checksum does not match" in done.stderr
    assert f"Restore them from the copy: perceptinit collect {study} --restore" in done.stderr
    assert table(study).splitlines() == [line for line in whole if first not in line]


def test_the_check_prints_counts_and_exits_with_1_for_damage(study, collect):
    done = collect(study, "--check")
    assert (done.exit_code, done.stdout.split(" with ")[0]) == (0, "intact: 3 participants")
    damage(study, codes(study)[0])
    done = collect(study, "--check")
    assert (done.exit_code, done.stdout.split(" with ")[0]) == (1, "intact: 2 participants")


def test_the_status_lists_damaged_participants(study, collect):
    first = codes(study)[0]
    damage(study, first)
    assert f"participant {first}: a checksum" in collect(study, "--status").stdout


def test_restored_participants_keep_newer_answers_of_intact_ones(study, collect):
    whole = table(study)
    damage(study, codes(study)[0])
    done = collect(study, "--restore")
    assert (done.exit_code, "intact: 3 participants" in done.stdout) == (0, True)
    assert table(study) == whole
    with open_study(study) as site:
        site.begun().finish()
    assert (len(intact(study)), read_checked(study)[1]) == (4, [])


def test_a_file_that_sqlite_cannot_open_is_restored_from_the_copy(study, collect):
    third = codes(study)[2]
    (study / FILE).write_bytes(b"x" * 5000)
    failed = collect(study, "--check").exception
    assert f"file is not a database. Restore it: perceptinit collect {study} --restore" in str(failed)
    done = collect(study, "--restore")
    assert f"participant {third}: 1 answers were stored, and 0 are left" in done.stderr
    assert (len(intact(study)), read_checked(study)[1]) == (2, [])


def test_a_damaged_second_file_is_replaced_by_restoring(study):
    (study / HEADS_FILE).write_bytes(b"x" * 5000)
    assert len(intact(study)) == 3
    assert "file is not a database" in read_checked(study)[1][0]
    restore(study)
    assert (len(intact(study)), read_checked(study)[1]) == (3, [])


def test_damaged_answers_do_not_replace_the_copy(study):
    before = (study / COPY).read_bytes()
    damage(study, codes(study)[0])
    with pytest.raises(DataError, match=r"1 problems, so the last copy stays\. List them"):
        copy_answers(study)
    assert (study / COPY).read_bytes() == before


def test_restoring_needs_a_copy_and_a_stopped_server(study):
    with open_study(study), pytest.raises(UsageError, match="already being served"):
        restore(study)
    (study / COPY).unlink()
    with pytest.raises(UsageError, match="not found, so nothing can be restored"):
        restore(study)


def test_a_deleted_participant_leaves_a_mark_without_data(study):
    first, second, third = codes(study)
    forget(study, first)
    assert (intact(study), read_checked(study)[1]) == ([second, third], [])
    assert [row[1:] for row in query(study / HEADS_FILE, "SELECT * FROM heads WHERE count < 0")] == [
        (-1, None, None)
    ]
    assert not any(first.encode() in path.read_bytes() for path in study.glob("*.sqlite*"))
    restore(study)
    assert intact(study) == [second, third]


def test_a_study_that_lost_the_second_file_is_exported_and_continued(study):
    whole = table(study)
    for path in study.glob(f"{HEADS_FILE}*"):
        path.unlink()
    assert table(study) == whole
    with open_study(study) as site:
        site.begun().finish()
    assert (len(intact(study)), read_checked(study)[1]) == (4, [])


def test_restoring_keeps_that_the_study_is_closed_and_newer_designs(study, collect):
    (study / "texts/debrief.md").write_text("# Thanks")
    with open_study(study) as site:  # after the copy
        site.begun().answer(0)
    change(study / FILE, "INSERT INTO facts VALUES ('closed', '1')")
    damage(study, codes(study)[0])
    assert collect(study, "--restore").exit_code == 0
    assert query(study / FILE, "SELECT value FROM facts WHERE name = 'closed'") == [("1",)]
    assert query(study / FILE, "SELECT version FROM designs ORDER BY version") == [(1,), (2,)]
    assert dict(status(study)["summary"])["study"] == "closed: no new participants"
    assert (len(intact(study)), read_checked(study)[1]) == (4, [])


def test_a_damaged_row_of_the_designs_is_not_restored(study):
    change(study / FILE, "INSERT INTO designs VALUES (7, 'x')")
    damage(study, codes(study)[0])
    restore(study)
    assert query(study / FILE, "SELECT version FROM designs") == [(1,)]


def test_closing_copies_the_answers_so_that_a_lost_file_is_restored_as_closed(study, collect):
    done = collect(study, "--close", "--yes")
    assert "copied the answers of 3 participants" in done.stderr
    (study / FILE).write_bytes(b"x" * 5000)
    restore(study)
    assert dict(status(study)["summary"])["study"] == "closed: no new participants"
    assert len(intact(study)) == 3


def test_a_study_with_damaged_answers_is_closed_and_keeps_its_copy(study, collect):
    before = (study / COPY).read_bytes()
    damage(study, codes(study)[0])
    done = collect(study, "--close", "--yes")
    assert (done.exit_code, "the last copy stays" in str(done.exception)) == (1, True)
    assert dict(status(study)["summary"])["study"] == "closed: no new participants"
    assert (study / COPY).read_bytes() == before


def test_copying_and_restoring_leave_no_temporary_files(study, tmp_path):
    # a process looks once for such files in a folder, and has looked in the study's
    study = shutil.copytree(study, tmp_path / "another")

    def hidden():
        return sorted(
            path.name for path in study.iterdir() if "tmp" in path.name or path.name.endswith("-wal")
        )

    for name in (
        f".{COPY}.1-0a.tmp",
        f".{COPY}.1-0a.tmp-wal",
        f".{COPY}.1-0a.tmp-journal",
        f".{FILE}.1-0a.tmp-wal",
    ):
        (study / name).write_bytes(b"left by a kill")
        os.utime(study / name, (0, 0))
    (study / ".notes.tmp").write_text("foreign")
    copy_answers(study)
    restore(study)
    assert hidden() == [".notes.tmp"]


def test_a_log_of_a_killed_process_does_not_change_a_new_copy(study):
    first, second, third = codes(study)
    connection = sqlite3.connect(study / COPY)
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute(f"DELETE FROM people WHERE id = '{first}'")
    connection.commit()
    left = (study / f"{COPY}-wal").read_bytes()
    connection.close()
    (study / f"{COPY}-wal").write_bytes(left)
    copy_answers(study)
    assert query(study / COPY, "SELECT id FROM people ORDER BY slot") == [(first,), (second,), (third,)]


def test_the_copy_has_one_name_in_the_settings_and_in_the_folder(study):
    assert COPY in (study / "study.toml").read_text()
    assert "answers.copy" not in (study / "study.toml").read_text()


FOREIGN = ("notes.txt", "answers.sqlite-notes.txt", "design-notes.md", "texts/notes.txt", "mine/study.toml")


@pytest.mark.parametrize("option", ["--draft", "--simulate", "--restore", "--forget", "--close", "--export"])
def test_commands_that_delete_leave_foreign_files(study, collect, tmp_path, monkeypatch, option):
    monkeypatch.setattr("perceptinit_collect.serve.serve", lambda *arguments: None)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/study.toml").write_text("precious")
    value = {"--simulate": [2], "--forget": codes(study)[:1], "--export": ["table.csv"], "--close": ["--yes"]}
    command = [study, option, *value.get(option, [])]
    assert collect(*command).exit_code == 0
    planted = []
    for folder in (study, study / "draft", study / "simulated"):
        for name in FOREIGN:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("precious")
            planted.append(path)
        (folder / "link").symlink_to(tmp_path / "outside")
        planted.append(folder / "link/study.toml")
    value["--forget"] = codes(study)[:1]
    assert collect(study, option, *value.get(option, [])).exit_code == 0

    assert [path for path in planted if path.read_text() != "precious"] == []


def test_a_draft_is_not_copied_behind_a_link(study, collect, tmp_path):
    (tmp_path / "outside").mkdir()
    (study / "draft").symlink_to(tmp_path / "outside")
    assert "draft: is a link. Remove it" in str(collect(study, "--draft").exception)
    assert [*(tmp_path / "outside").iterdir()] == []


def test_closing_asks_and_the_status_of_an_incomplete_study_is_not_open(study, collect):
    asked = collect(study, "--close")
    assert asked.exit_code == 1
    assert "cannot be opened again" in asked.output
    assert dict(status(study)["summary"])["study"] == "open"
    path = study / "texts" / "consent.md"
    path.write_text(path.read_text() + "[FILL IN pay: how much]")
    assert dict(status(study)["summary"])["study"] == "incomplete: no one can start"
    assert collect(study, "--close", "--yes").exit_code == 0
    assert dict(status(study)["summary"])["study"] == "closed: no new participants"


def test_the_server_copies_the_answers_on_a_schedule(tmp_path, monkeypatch):
    def sleep(seconds):
        raise TimeoutError(seconds)

    folder = make_study(tmp_path)
    monkeypatch.setattr(serve.time, "sleep", sleep)
    with open_study(folder) as site:
        site.begun().answer(0)
        with pytest.raises(TimeoutError, match="600"):
            serve._copy_repeatedly(site.study, print)
    assert query(folder / COPY, "SELECT COUNT(*) FROM answers") == [(1,)]
