"""Participants of a study: anonymous codes, resumable sessions, stored answers, and deletion."""

import hmac
import json
import re
import secrets
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass

from perceptinit.plugin import PerceptInitError
from perceptinit_collect.design import Design, Trial, draw_trials, read_trials
from perceptinit_collect.settings import PLATFORMS
from perceptinit_collect.store import ANSWER, PERSON, chain_sha256, read_head, sha256

MTURK_PREVIEW = ("assignmentId", "ASSIGNMENT_ID_NOT_AVAILABLE")
PLATFORM_ID = re.compile(r"[A-Za-z0-9_.-]{1,100}")
TICKET = re.compile(r"[A-Za-z0-9_-]{20,64}")
# without vowels and look-alike characters, so codes are easy to read and do not spell words
_CODE_LETTERS = "bcdfghjkmnpqrstvwxz23456789"
MAX_SECONDS = 24 * 60 * 60.0  # longer than any reaction time
SCREEN = re.compile(r"\d{1,5}x\d{1,5} \d{1,5}x\d{1,5}")
INPUTS = ("key", "mouse", "touch", "pen", "assistive")


class RefusedError(PerceptInitError):
    """An answer was refused.

    status: HTTP status. next_position: the next unanswered trial, None if unknown.
    """

    def __init__(self, message: str, status: int, next_position: int | None = None) -> None:
        super().__init__(message)
        self.status, self.next_position = status, next_position


class ClosedError(PerceptInitError):
    """The study accepts no new participants."""


class NoWayBackError(PerceptInitError):
    """A Prolific participant was refused, because the study has no completion link."""


@dataclass(frozen=True, slots=True)
class Origin:
    """A recruiting platform and the participant's id on it, both "" without a platform."""

    platform: str = ""
    platform_id: str = ""


@dataclass(frozen=True, slots=True)
class Person:
    """A participant and their trials."""

    id: str
    design: int
    trials: tuple[Trial, ...]
    platform_id: str | None


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as sent by the page.

    position: index of the trial. place: chosen screen position, from 0; None for "not sure". seconds:
    reaction time by the browser's monotonic clock. is_interrupted: the page was hidden during the trial.
    screen: width and height of the first candidate and of the window in CSS pixels, "300x200 1280x800"; ""
    if the page sent none.
    """

    position: int
    place: int | None
    seconds: float
    input: str
    is_interrupted: bool
    screen: str = ""


def read_origin(parameters: Mapping[str, str]) -> Origin:
    """Return the platform and id in URL parameters; ids with unexpected characters are ignored."""
    for name, platform in PLATFORMS.items():
        value = parameters.get(name, "")
        if PLATFORM_ID.fullmatch(value):
            return Origin(platform, value)
    return Origin()


def parameters_of(origin: Origin) -> dict[str, str]:
    """Return the URL parameters of an origin, the inverse of `read_origin`."""
    return {n: origin.platform_id for n, p in PLATFORMS.items() if p == origin.platform}


def begin(
    connection: sqlite3.Connection,
    design: Design,
    origin: Origin,
    *,
    keep_platform_id: bool,
    ticket: str = "",
    held: str = "",
    has_way_back: bool = True,
) -> str:
    """Add a participant, or find one by platform id or ticket, and return the session token.

    Only the cookie contains the token; the database stores its hash. A new token ends the session in the
    browser that has the old token, but only the token of the consent can withdraw; see `find_own`.

    Args:
        connection: The database, inside a transaction.
        design: The design for a new participant.
        origin: The platform and the participant's id on it.
        keep_platform_id: Store the id itself, not only its hash.
        ticket: One-time value of the consent form, so that resubmitting the form adds no participant.
        held: Token in the browser's cookie. The browser in which the participant consented keeps its token.
        has_way_back: Whether participants from Prolific can return there to be paid.

    Raises:
        ClosedError: If the study is closed and the participant is new.
        NoWayBackError: If `has_way_back` is false and a new participant comes from Prolific.
    """
    token = _new_token(connection, ticket, origin)
    if find(connection, token) is not None:
        return token
    hashed = _hash_of(connection, origin.platform, origin.platform_id) if origin.platform_id else None
    if hashed is not None:
        if connection.execute(
            "SELECT 1 FROM people WHERE platform_hash = ? AND consent_sha256 = ?", (hashed, sha256(held))
        ).fetchone():
            token = held
        changed = connection.execute(
            "UPDATE people SET token_sha256 = ? WHERE platform_hash = ?", (sha256(token), hashed)
        )
        if changed.rowcount:
            return token
    if is_closed(connection):
        raise ClosedError("the study is closed")
    require_way_back(connection, origin, has_way_back)
    (slot,) = connection.execute(
        "SELECT 1 + COALESCE(MAX(slot), -1) FROM people WHERE design = ?", (design.version,)
    ).fetchone()
    kept = origin.platform_id if keep_platform_id and origin.platform_id else None
    row = (
        _new_code(),
        design.version,
        slot,
        origin.platform,
        hashed,
        kept,
        draw_trials(design, slot),
        time.time(),
    )
    connection.execute(
        f"INSERT INTO people ({PERSON}, token_sha256, consent_sha256, sha256) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (*row, sha256(token), sha256(token), chain_sha256("", row)),
    )
    return token


def is_closed(connection: sqlite3.Connection) -> bool:
    """Return whether a study accepts no new participants."""
    return connection.execute("SELECT 1 FROM facts WHERE name = 'closed'").fetchone() is not None


def require_way_back(connection: sqlite3.Connection, origin: Origin, has_way_back: bool) -> None:
    """Raise NoWayBackError for a new participant from Prolific without a completion link to return to."""
    if has_way_back or origin.platform != "prolific":
        return
    if not match_people(connection, f"prolific:{origin.platform_id}"):
        raise NoWayBackError(
            "This study cannot accept participants from Prolific yet, because its completion link is "
            "missing. Please tell the researcher."
        )


def cookie_name(connection: sqlite3.Connection) -> str:
    """Return the session cookie's name, which differs between studies because cookies ignore ports."""
    return f"session-{_keyed_hash(connection, 'cookie')[:8]}"


def find(connection: sqlite3.Connection, token: str) -> str | None:
    """Return the code of the participant with this session token, None for an unknown token."""
    return _find(connection, "token_sha256 = ?1", token)


def find_own(connection: sqlite3.Connection, token: str) -> str | None:
    """Return the code of the participant whom this session token can delete, None without one.

    A platform id is not a secret, and is enough to take the session over. Therefore the token must be that of
    the consent, and no answer may come from a session that was taken over. Without a platform id,
    no session can be taken over.
    """
    return _find(connection, "consent_sha256 = ?1 OR (token_sha256 = ?1 AND platform_hash IS NULL)", token)


def _find(connection: sqlite3.Connection, condition: str, token: str) -> str | None:
    """Return the code of the participant who meets a condition on the hash of a token, None without one."""
    row = connection.execute(f"SELECT id FROM people WHERE {condition}", (sha256(token),)).fetchone()
    return None if row is None else str(row[0])


def read_person(connection: sqlite3.Connection, code: str) -> Person:
    """Return the participant with this code, which must exist."""
    code, design, trials, platform_id = connection.execute(
        "SELECT id, design, trials, platform_id FROM people WHERE id = ?", (code,)
    ).fetchone()
    return Person(code, design, read_trials(trials), platform_id)


def next_position(connection: sqlite3.Connection, person: str) -> int:
    """Return the position of the first unanswered trial, or the number of trials if all are answered."""
    return read_head(connection, person)[0]


def read_answer(body: bytes, person: Person, design: Design) -> Answer:
    """Return the validated answer in a request body; RefusedError if it is invalid."""
    try:
        answer = Answer(**json.loads(body))
    except (ValueError, TypeError, RecursionError) as error:
        raise RefusedError("invalid answer", 400) from error
    is_place = type(answer.place) is int and answer.place in range(design.task.num_candidates)
    is_fine = (
        (is_place or (answer.place is None and design.settings.not_sure))
        and type(answer.position) is int
        and 0 <= answer.position <= len(person.trials)
        and type(answer.seconds) in (int, float)
        and 0 <= answer.seconds <= MAX_SECONDS
        and answer.input in INPUTS
        and type(answer.is_interrupted) is bool
        and (answer.screen == "" or SCREEN.fullmatch(str(answer.screen)))
    )
    if not is_fine:
        raise RefusedError("invalid answer to this question", 400)
    return answer


def store_answer(connection: sqlite3.Connection, person: Person, answer: Answer) -> tuple[int, bool | None]:
    """Store an answer, and return the next position and, for practice trials, whether it is correct.

    A resent answer is accepted but stored only once.

    Raises:
        RefusedError: If the answer skips a trial or differs from a stored answer, all trials have answers, or
            the participant was deleted.
    """
    if not connection.execute("SELECT 1 FROM people WHERE id = ?", (person.id,)).fetchone():
        raise RefusedError("this session has ended", 410)
    due, last = read_head(connection, person.id)
    if answer.position > due:
        raise RefusedError(f"answer {answer.position} arrived before answer {due}", 409, due)
    if answer.position >= len(person.trials):
        raise RefusedError("all questions are answered", 409, due)
    trial = person.trials[answer.position]
    candidate = None if answer.place is None else trial.order[answer.place]
    if answer.position < due:
        (stored,) = connection.execute(
            "SELECT answer FROM answers WHERE person = ? AND position = ?",
            (person.id, answer.position),
        ).fetchone()
        if stored != candidate:
            raise RefusedError("this question already has an answer", 409, due)
    else:
        row = (
            due, candidate, float(answer.seconds), answer.input, int(answer.is_interrupted), time.time(),
            answer.screen or None,
        )  # fmt: skip
        connection.execute(
            f"INSERT INTO answers (person, {ANSWER}, sha256) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (person.id, *row, chain_sha256(last, row)),
        )
        connection.execute(
            "UPDATE people SET consent_sha256 = NULL WHERE id = ? AND consent_sha256 != token_sha256",
            (person.id,),
        )
    is_correct = candidate == trial.correct if trial.kind == "practice" else None
    return max(due, answer.position + 1), is_correct


def match_people(connection: sqlite3.Connection, name: str) -> dict[str, str]:
    """Return the codes of matching participants, each with an unambiguous name.

    name: a code or a platform id, optionally with a prefix: `code:CODE`, `prolific:ID`, `sona:ID`.
    """
    kind, separator, value = name.partition(":")
    found = {}
    for known in [kind] if separator else ["code", *PLATFORMS.values()]:
        value = value if separator else name
        column = "id" if known == "code" else "platform_hash"
        key = value if known == "code" else _hash_of(connection, known, value)
        for (code,) in connection.execute(f"SELECT id FROM people WHERE {column} = ?", (key,)):
            found[code] = f"{known}:{value}"
    return found


def delete(connection: sqlite3.Connection, code: str) -> int:
    """Delete a participant with all answers, leave a mark, and return the number of answers.

    SQLite overwrites the freed pages (`secure_delete`).
    """
    count = next_position(connection, code)
    connection.execute("DELETE FROM people WHERE id = ?", (code,))
    connection.execute(
        "UPDATE heads.heads SET person = ?, count = -1, sha256 = NULL, last = NULL WHERE person = ?",
        (sha256(code), code),
    )
    connection.execute("DELETE FROM heads.kept WHERE person = ?", (code,))
    return count


def _new_code() -> str:
    return "".join(secrets.choice(_CODE_LETTERS) for _ in range(10))


def _new_token(connection: sqlite3.Connection, ticket: str, origin: Origin) -> str:
    """Return the session token of a consent form; resubmitting the form gives the same token."""
    ticket = ticket if TICKET.fullmatch(ticket) else secrets.token_urlsafe(24)
    return _keyed_hash(connection, f"ticket:{ticket}:{origin.platform}:{origin.platform_id}")


def _hash_of(connection: sqlite3.Connection, platform: str, platform_id: str) -> str:
    return _keyed_hash(connection, f"{platform}:{platform_id}")


def _keyed_hash(connection: sqlite3.Connection, text: str) -> str:
    """Return an HMAC with the study's secret key, so ids cannot be guessed without the database."""
    connection.execute("INSERT OR IGNORE INTO facts VALUES ('key', ?)", (secrets.token_hex(32),))
    (key,) = connection.execute("SELECT value FROM facts WHERE name = 'key'").fetchone()
    return hmac.new(bytes.fromhex(key), text.encode(), "sha256").hexdigest()
