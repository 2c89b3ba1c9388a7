"""People of a study: anonymous codes, sessions that go on after a pause, answers in order, and being forgotten."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from perceptinit.plugin import PerceptInitError
from perceptinit_collect.design import Design
from perceptinit_collect.sessions import Trial, draw_session

# the parameter by which each platform hands over a person's id
PLATFORMS = {"PROLIFIC_PID": "prolific", "workerId": "mturk", "survey_code": "sona"}
MTURK_PREVIEW = ("assignmentId", "ASSIGNMENT_ID_NOT_AVAILABLE")
PLATFORM_ID = re.compile(r"[A-Za-z0-9_.-]{1,100}")
# no vowels and no look-alikes: a code that can be read out and spells nothing
_CODE_LETTERS = "bcdfghjkmnpqrstvwxz23456789"
MAX_SECONDS = 24 * 60 * 60.0  # a trial that was open for longer is no reaction time
INPUTS = ("key", "mouse", "touch", "pen", "assistive")


class RefusedError(PerceptInitError):
    """An answer that is not stored.

    status: of HTTP. next_position: where the person is, None when the session is gone.
    """

    def __init__(self, message: str, status: int, next_position: int | None = None) -> None:
        super().__init__(message)
        self.status, self.next_position = status, next_position


class ClosedError(PerceptInitError):
    """Nobody new is taken in any more."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a person comes from: a platform's name and its id of the person, both "" without a platform."""

    platform: str = ""
    platform_id: str = ""


@dataclass(frozen=True, slots=True)
class Person:
    """A person's session as it was drawn when they began."""

    id: str
    design: int
    trials: tuple[Trial, ...]
    platform_id: str | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What the page says of a trial.

    place: where on the page, counted from 0; None for "not sure". seconds: from presentation, by the
    browser's own steady clock. is_interrupted: the page was out of sight in between.
    """

    position: int
    place: int | None
    seconds: float
    input: str
    is_interrupted: bool


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of an answer. is_correct: of practice trials only."""

    next_position: int
    is_correct: bool | None


def read_origin(parameters: Mapping[str, str]) -> Origin:
    """Return where the address says that a person comes from; ids of a strange form count as none."""
    for name, platform in PLATFORMS.items():
        value = parameters.get(name, "")
        if PLATFORM_ID.fullmatch(value):
            return Origin(platform, value)
    return Origin()


def parameters_of(origin: Origin) -> dict[str, str]:
    """Return the parameters that `read_origin` reads this from."""
    return {n: origin.platform_id for n, p in PLATFORMS.items() if p == origin.platform}


def begin(connection: sqlite3.Connection, design: Design, origin: Origin, keep_platform_id: bool) -> str:
    """Add a person and return the session's token; one who is known by the platform's id goes on instead.

    The token stands in the person's cookie only; the database keeps its hash. A new token ends the
    session in the browser that had the old one. Raises ClosedError when nobody is taken in any more.
    """
    token = secrets.token_urlsafe(24)
    hashed = _platform_hash(connection, origin)
    if hashed is not None:
        changed = connection.execute(
            "UPDATE people SET token_sha256 = ? WHERE platform_hash = ?", (sha256(token), hashed)
        )
        if changed.rowcount:
            return token
    if connection.execute("SELECT 1 FROM facts WHERE name = 'closed'").fetchone():
        raise ClosedError("the study is closed")
    (slot,) = connection.execute(
        "SELECT 1 + COALESCE(MAX(slot), -1) FROM people WHERE design = ?", (design.version,)
    ).fetchone()
    trials = json.dumps([asdict(trial) for trial in draw_session(design, slot)])
    kept = origin.platform_id if keep_platform_id and origin.platform_id else None
    connection.execute(
        "INSERT INTO people VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (_new_code(), design.version, slot, sha256(token), origin.platform, hashed, kept, trials, time.time()),
    )  # fmt: skip
    return token


def find(connection: sqlite3.Connection, token: str) -> str | None:
    """Return the code of the person with this session, or None when there is none (any more)."""
    query = "SELECT id FROM people WHERE token_sha256 = ?"
    row = connection.execute(query, (sha256(token),)).fetchone()
    return None if row is None else str(row[0])


def read_person(connection: sqlite3.Connection, code: str) -> Person:
    """Return a person who is there by code."""
    query = "SELECT id, design, trials, platform_id FROM people WHERE id = ?"
    row = connection.execute(query, (code,)).fetchone()
    return Person(row[0], row[1], read_trials(row[2]), row[3])


def next_position(connection: sqlite3.Connection, person: str) -> int:
    """Return the first trial without an answer; the number of trials when there is none."""
    row = connection.execute("SELECT COUNT(*) FROM answers WHERE person = ?", (person,)).fetchone()
    return int(row[0])


def read_answer(body: bytes, person: Person, design: Design) -> Answer:
    """Return the answer in a request's body; RefusedError for anything that the page would not send."""
    try:
        answer = Answer(**json.loads(body))
    except (ValueError, TypeError, RecursionError) as error:
        raise RefusedError("no answer", 400) from error
    places = range(design.task.num_candidates)
    is_place = type(answer.place) is int and answer.place in places
    is_fine = (
        (is_place or (answer.place is None and design.settings.not_sure))
        and type(answer.position) is int
        and 0 <= answer.position <= len(person.trials)
        and type(answer.seconds) in (int, float)
        and 0 <= answer.seconds <= MAX_SECONDS
        and answer.input in INPUTS
        and type(answer.is_interrupted) is bool
    )
    if not is_fine:
        raise RefusedError("no answer to this question", 400)
    return answer


def store_answer(connection: sqlite3.Connection, person: Person, answer: Answer) -> Stored:
    """Store an answer and return where the person is now.

    The same answer sent twice is stored once and accepted twice. Raises RefusedError for an answer that is
    not the next, for a second opinion, and when the person is no longer there.
    """
    if not connection.execute("SELECT 1 FROM people WHERE id = ?", (person.id,)).fetchone():
        raise RefusedError("this session has ended", 410)
    due = next_position(connection, person.id)
    if answer.position > due:
        raise RefusedError(f"answer {answer.position} came before answer {due}", 409, due)
    trial = person.trials[answer.position] if answer.position < len(person.trials) else None
    if trial is None:
        raise RefusedError("all questions are answered", 409, due)
    candidate = None if answer.place is None else trial.order[answer.place]
    if answer.position < due:
        row = connection.execute(
            "SELECT answer FROM answers WHERE person = ? AND position = ?",
            (person.id, answer.position),
        ).fetchone()
        if row[0] != candidate:
            raise RefusedError("this question has an answer already", 409, due)
    else:
        connection.execute(
            "INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?)",
            (person.id, due, candidate, answer.seconds, answer.input, answer.is_interrupted, time.time()),
        )  # fmt: skip
    is_correct = candidate == trial.correct if trial.kind == "practice" else None
    return Stored(max(due, answer.position + 1), is_correct)


def forget(connection: sqlite3.Connection, code: str) -> int:
    """Delete a person with all answers and return how many answers there were; -1 when there is no such person.

    The freed pages are overwritten (`secure_delete`).
    """
    row = connection.execute("SELECT id FROM people WHERE id = ? OR platform_id = ?", (code, code)).fetchone()
    if row is None:
        hashes = [_hash_of(connection, platform, code) for platform in PLATFORMS.values()]
        marks = ", ".join("?" * len(hashes))
        row = connection.execute(f"SELECT id FROM people WHERE platform_hash IN ({marks})", hashes).fetchone()
    if row is None:
        return -1
    count = next_position(connection, row[0])
    connection.execute("DELETE FROM people WHERE id = ?", row)
    return count


def read_trials(text: str) -> tuple[Trial, ...]:
    """Return trials from their JSON."""
    return tuple(_trial(fields) for fields in json.loads(text))


def _trial(fields: dict[str, Any]) -> Trial:
    images, order = tuple(fields.pop("images")), tuple(fields.pop("order"))
    return Trial(images=images, order=order, **fields)


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _new_code() -> str:
    return "".join(secrets.choice(_CODE_LETTERS) for _ in range(10))


def _platform_hash(connection: sqlite3.Connection, origin: Origin) -> str | None:
    return _hash_of(connection, origin.platform, origin.platform_id) if origin.platform_id else None


def _hash_of(connection: sqlite3.Connection, platform: str, platform_id: str) -> str:
    """Return a hash with a key of the study's: without the database it cannot be tried out."""
    connection.execute("INSERT OR IGNORE INTO facts VALUES ('key', ?)", (secrets.token_hex(32),))
    (key,) = connection.execute("SELECT value FROM facts WHERE name = 'key'").fetchone()
    return hmac.new(bytes.fromhex(key), f"{platform}:{platform_id}".encode(), "sha256").hexdigest()
