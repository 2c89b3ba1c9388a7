"""Your own judgments: a CSV or Parquet file with one row per question or answer, and a folder of images."""

# N rows, then N questions once they are aggregated
import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import ClassVar, Literal

import numpy as np

from perceptinit.errors import DataError
from perceptinit.files.columns import Coded, Columns, is_number, read_all
from perceptinit.judgments.forms.named_triplets import NamedTriplets, add_up, draw_sides
from perceptinit.judgments.forms.splits import SPLITS, Conventions
from perceptinit.judgments.image_files import index_images
from perceptinit.judgments.own.layouts import component_for
from perceptinit.judgments.own.own_table import OwnTable, Rows
from perceptinit.registry import suggest
from perceptinit.types import IMAGE_SUFFIXES, Split, Triplets

VOTES = ("anchor", "first", "second", "first_votes", "second_votes")
SHARE = ("anchor", "first", "second", "p_second", "num_votes")
CHOICE = ("anchor", "first", "second", "choice")
ANSWER = ("anchor", "positive", "negative")
FORMS = (VOTES, SHARE, CHOICE, ANSWER)
EXCLUDE_NEITHER = 'To exclude people who chose neither, set neither = "exclude"'
OPTIONAL = ("split", "group", "subject", "excluded")


# number of decided rows below which one column may win all of them by chance
MIN_CONSTANT = 20


@dataclass(frozen=True, slots=True)
class TableRows(Rows):
    """The judgments of a table, and the rows from which they were aggregated.

    winner: "first" or "second" if that column wins all decided rows, else "".
    num_neither: Number of excluded rows that chose neither candidate.
    """

    answers: NamedTriplets
    answer_splits: np.ndarray
    columns: Columns
    winner: str
    num_neither: int


class Table(OwnTable):
    """Judgments from a file with columns in one of four forms:

    * `anchor`, `first`, `second`, `first_votes`, `second_votes`: number of people who chose each candidate;
    * `anchor`, `first`, `second`, `p_second`, `num_votes`: the share who chose `second`;
    * `anchor`, `first`, `second`, `choice`: one answer per row; `choice` contains the name of the chosen
      image, or `first` or `second`;
    * `anchor`, `positive`, `negative`: one answer per row; `positive` is closer to the anchor. The column
      reveals the answer, so sides are randomized by `seed`.

    Sides are also randomized, with a warning, if `first` or `second` wins all of 20 or more decided rows.

    Optional columns: `split` (train, val, test), `group` (unit of splits, such as a scene; by default the
    anchor), `subject` (participant), `excluded` (marked rows are skipped). Other columns are ignored. Images
    are paths relative to `images`. Row numbers in messages count the header as row 1.

    Without `split`, groups (or the units of `split_by`) are assigned to splits by hashing their names. By
    default the group is the anchor, so a candidate in one split may occur in another.

    Rows that ask the same question (same anchor, candidates in either order, same group and split) are
    aggregated into one judgment, as the human ceiling requires. With `subject` and one vote per row, several
    answers of a person to a question count as one vote.
    """

    conventions: ClassVar[Conventions] = Conventions(
        sides="as in the table; randomized by seed if a column lists the winner",
        ties="retained",
        winner_first="in the form anchor, positive, negative, or if one column wins all rows; removed by "
        "randomizing sides",
    )

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(OwnTable.Config):
        subjects: tuple[str, ...] = ()
        """Use only the answers of these people (column `subject`). Default: all people."""
        aggregate: bool = True
        """Aggregate rows that ask the same question. If false, every row is a judgment."""
        neither: Literal["exclude"] | None = None
        """"exclude": rows that chose neither candidate are skipped, and votes for neither are not counted.
        Default: they are an error."""

    config: Config
    what = "Judgments"
    draw_name = "table"

    def read(self, columns: Columns) -> TableRows:
        """Return the selected rows, and the judgments into which they are aggregated."""
        form = find_form(columns)
        num_rows = len(columns)
        has_neither = self.config.neither is not None
        if has_neither:
            columns = columns.select(read_votes(columns, form, has_neither)[1] > 0)
            if not len(columns):
                raise DataError(f"{columns.path}: every row chose neither candidate")
        images, (votes_second, num_votes) = read_all(
            partial(self.read_images, columns, form[:3]), partial(read_votes, columns, form, has_neither)
        )
        num_neither = num_rows - len(columns)
        if "group" in columns:
            split = self.split_rows(columns, images, columns.coded("group"), "group")
        else:
            hint = ", or define the unit of splits in a column 'group'"
            split = self.split_rows(columns, images, images.role(0), "anchor", hint)
        votes = votes_second / num_votes, num_votes
        named = NamedTriplets(images.names, images.index, *votes, split.group.codes, split.unit)
        winner = "" if form == ANSWER else find_winner(named.p_second)
        if winner or form == ANSWER:
            named = draw_sides(named, self.config.seed)
        # subjects are selected after rows are split, so that splits do not depend on the selection
        answers = named
        splits = split.splits
        if self.config.subjects:
            rows = self._find_rows_of_subjects(columns)
            answers = named.select(rows)
            splits = splits[rows]
            columns = columns.select(rows)
        subjects = columns.coded("subject").codes if "subject" in columns else None
        judgments = self._aggregate(answers, splits, subjects)
        return TableRows(*judgments, answers, splits, columns, winner, num_neither)

    def warnings(self) -> Iterator[str]:
        """Yield a warning if one column lists all winners, and one if rows chose neither candidate."""
        if num := self.rows.num_neither:
            yield f"{self.config.path}: {num:,} rows are excluded, which chose neither candidate"
        if winner := self.rows.winner:
            yield (
                f"{self.config.path}: '{winner}' wins all decided rows. The column reveals the answer, so "
                "sides are randomized by seed. Check that candidates were not sorted by mistake"
            )

    def _aggregate(
        self, named: NamedTriplets, splits: np.ndarray, subjects: np.ndarray | None
    ) -> tuple[NamedTriplets, np.ndarray]:
        """Return one judgment per question, counting all answers of a person as one vote."""
        if not self.config.aggregate:
            return named, splits
        if subjects is not None and (named.num_votes == 1).all():
            num = int(subjects.max(initial=0)) + 1
            group = named.group.astype(np.int64) * num + subjects
            named, splits = add_up(replace(named, group=group), splits)
            group = (named.group // num).astype(np.int32)
            named = replace(named, group=group, num_votes=np.ones(len(named), dtype=np.int32))
        return add_up(named, splits)

    def splits_by_image(self) -> np.ndarray:
        """Return `splits` as if they were assigned by image, which does not change the judgments."""
        if {"split", "group"} & self.rows.columns.names:
            return super().splits_by_image()
        named = self.rows.judgments
        return self.split_by_image(named.images, named.roles)

    def _find_rows_of_subjects(self, columns: Columns) -> np.ndarray:
        wanted = self.config.subjects
        subjects = columns.coded("subject")
        for subject in wanted:
            if subject not in subjects.distinct:
                raise DataError(
                    f"{columns.path}: no rows of subject '{subject}'.{suggest(subject, subjects.distinct)}"
                )
        return np.isin(subjects.distinct, wanted)[subjects.codes]

    @cached_property
    def _subjects(self) -> Coded | None:
        columns = self.rows.columns
        return columns.coded("subject") if "subject" in columns else None

    @property
    def people(self) -> Sequence[str]:
        """Names of the people whose answers are used; empty without a column `subject`."""
        return list(self._subjects.distinct) if self._subjects else []

    def describe_people(self) -> Iterator[str]:
        """Yield a sentence on the number of people who answered, if a column identifies them."""
        count = len(self.people)
        if count and self.config.person:
            yield f"{count} people answered (column '{self.config.person}'); human ceilings compare people"
        elif count:
            yield f"each of the {count} subjects counts as one person. If a person has several, set person"

    def load_people(self, split: Split) -> dict[str, Triplets]:
        """Return the answers of each person in a split; empty for fewer than two people."""
        named = self.rows.answers
        splits = self.rows.answer_splits
        subjects = self._subjects
        if subjects is None or len(subjects.distinct) < 2:
            return {}
        stimuli = self.load(split).stimuli
        found = {}
        for code, person in enumerate(subjects.distinct):
            own = np.flatnonzero((splits == SPLITS.index(split)) & (subjects.codes == code))
            if own.size:
                answers, _ = self._aggregate(named.select(own), splits[own], subjects.codes[own])
                found[person] = answers.triplets(self.stimuli).over(stimuli)
        return found


def find_winner(p_second: np.ndarray) -> str:
    """Return the candidate that wins all decided judgments; "" if there is none, or for few judgments."""
    wins = p_second[p_second != 0.5] > 0.5
    if len(wins) < MIN_CONSTANT or (wins != wins[0]).any():
        return ""
    return "second" if wins[0] else "first"


def find_form(columns: Columns) -> tuple[str, ...]:
    """Return the form that the columns match; additional columns are ignored.

    Raises:
        DataError: If no form or several forms are complete, or a column looks like a misspelled optional one.
    """
    complete = [form for form in FORMS if set(form) <= columns.names]
    if len(complete) > 1:
        forms = " and ".join(", ".join(form) for form in complete)
        raise DataError(f"{columns.path}: votes are in several forms ({forms}). Keep one form")
    if not complete:
        raise DataError(f"{columns.path}: {_explain_missing(columns)}")
    for name in sorted(columns.names - {*OPTIONAL, *complete[0]}):
        meant = difflib.get_close_matches(name, OPTIONAL, n=1, cutoff=0.8)
        if meant and meant[0] not in columns:
            raise DataError(f"{columns.path}: column '{name}': did you mean '{meant[0]}'? Rename it")
    return complete[0]


def _explain_missing(columns: Columns) -> str:
    if any(is_number(name) or name.lower().endswith(tuple(IMAGE_SUFFIXES)) for name in columns.names):
        return (
            f"the first row looks like data: {', '.join(columns.names)}. Insert a row of names above it, or "
            f"name its columns: columns={','.join(ANSWER)}"
        )
    form = min(FORMS, key=lambda form: len(set(form) - columns.names))
    missing = next(name for name in form if name not in columns)
    hint = suggest(missing, columns.names - set(form))
    forms = "; or ".join(", ".join(form) for form in FORMS)
    fitting = component_for(columns)
    other = f". The columns match '{fitting}': use it instead" if fitting != "table" else ""
    return f"no column '{missing}'.{hint} Columns: {', '.join(columns.names)}. Required: {forms}{other}"


def read_votes(
    columns: Columns, form: tuple[str, ...], has_neither: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Return the votes for `second`, float64 (N,), and all votes, int32 or int64 (N,).

    Args:
        columns: The table.
        form: One of `FORMS`.
        has_neither: Whether people may choose neither candidate. Their votes are not counted, so rows may
            have no votes.

    Raises:
        DataError: For votes that are negative, not integers or all zero, a share outside [0, 1], and votes or
            a choice for neither candidate. The message names the rows.
    """
    if not has_neither:
        _refuse_third_option(columns, form)
    if form == CHOICE:
        return _read_choices(columns, has_neither)
    if form == ANSWER:
        return np.zeros(len(columns)), np.ones(len(columns), dtype=np.int32)
    if form == SHARE:
        num_votes = columns.counts("num_votes", low=1)
        return columns.numbers("p_second", 0.0, 1.0) * num_votes, num_votes
    first = columns.counts("first_votes")
    second = columns.counts("second_votes")
    is_empty = (first + second == 0) & (not has_neither)
    columns.refuse(is_empty, "no votes (first_votes and second_votes are both 0)")
    return second.astype(np.float64), first + second


def _read_choices(columns: Columns, has_neither: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the votes for `second` and all votes: 0 or 1, see `read_votes`."""
    named = index_images([columns.coded(name) for name in CHOICE[1:]])
    first, second, choice = named.index
    number = {name: i for i, name in enumerate(named.names)}
    is_second = (choice == second) | (choice == number.get("second", -1))
    is_vote = is_second | (choice == first) | (choice == number.get("first", -1))
    if not has_neither:
        columns.refuse(
            ~is_vote,
            lambda row: (
                f"choice '{columns.cell('choice', row)}' is neither first "
                f"'{columns.cell('first', row)}' nor second '{columns.cell('second', row)}': a judgment has "
                f"two candidates. {EXCLUDE_NEITHER}"
            ),
        )
    return is_second.astype(np.float64), is_vote.astype(np.int32)


def _refuse_third_option(columns: Columns, form: tuple[str, ...]) -> None:
    """Raise DataError for votes in a column other than those of the two candidates."""
    for name in sorted(columns.names - {*form, "num_votes"}):
        if not re.fullmatch(r".+_votes|votes_.+", name):
            continue
        is_zero = [str(cell or "0").strip() in ("0", "0.0") for cell in columns.distinct[name]]
        rows = np.flatnonzero(~np.array(is_zero)[columns.codes[name]])
        if rows.size:
            raise columns.error(
                rows,
                f"{columns.cell(name, rows[0])} votes in column '{name}': a judgment has two candidates, "
                f"first and second. {EXCLUDE_NEITHER}, or count half of its votes for each",
            )
