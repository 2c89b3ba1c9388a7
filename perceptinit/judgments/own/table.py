"""Your own judgments: a CSV or Parquet file with one row per question or answer, and a folder of images."""

from __future__ import annotations

# N rows, then N questions once they are aggregated
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import ClassVar

import numpy as np

from perceptinit.errors import DataError
from perceptinit.files.columns import Coded, Columns, read_all
from perceptinit.judgments.forms.conventions import Conventions
from perceptinit.judgments.forms.questions import add_up, draw_sides
from perceptinit.judgments.forms.triplet_names import NamedTriplets
from perceptinit.judgments.own.dealing import Dealt
from perceptinit.judgments.own.own_table import OwnTable
from perceptinit.judgments.reading.collected import used_rows
from perceptinit.judgments.reading.image_columns import ImageRows, read_images
from perceptinit.judgments.reading.layouts import read_answers
from perceptinit.judgments.reading.split_column import rows_in
from perceptinit.judgments.reading.vote_columns import ANSWER, find_form, read_votes
from perceptinit.registry import nearest
from perceptinit.types import Split, Triplets


class Table(OwnTable):
    """Judgments from a file with columns in one of four forms:

    * `anchor`, `first`, `second`, `first_votes`, `second_votes`: people who chose each candidate;
    * `anchor`, `first`, `second`, `p_second`, `num_votes`: the share who chose `second`;
    * `anchor`, `first`, `second`, `choice`: one answer a row, `choice` repeats the image that was chosen
      or says `first` or `second`;
    * `anchor`, `positive`, `negative`: one answer a row, `positive` is the one closer to the anchor.
      The column gives the answer away, so sides are drawn at random, by `seed`.

    Optional columns: `split` (train, val, test), `group` (what must not cross splits, such as a
    scene; the anchor when absent), `subject` (who answered), `excluded` (rows where it is filled are left
    out). Other columns are not read. Images are paths relative to `images`. Row numbers in messages count the header as row 1.

    Without `split`, what `split_by` names is dealt to splits by hashing its name: by default the group,
    or the anchor, and then a candidate of one split may occur in another.

    Rows that ask the same question (same anchor, candidates in either order, same group and split)
    are added up into one judgment, so that the human ceiling is that of a crowd.
    """

    conventions: ClassVar[Conventions] = Conventions(
        sides="as in the table; drawn, by seed, where the winner has a column",
        ties="kept, as votes",
        winner_first="in the form anchor, positive, negative only, undone by drawing sides",
    )

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(OwnTable.Config):
        subjects: tuple[str, ...] = ()
        """Use the answers of these people only (column `subject`); of all when empty."""
        aggregate: bool = True
        """Add up rows that ask the same question. When false, every row stays a judgment of its own."""

    config: Config
    what = "Judgments"

    def load(self, split: Split) -> Triplets:
        """Return the judgments of a split.

        Raises DataError when the file, a row or an image is wrong, or the split is empty.
        """
        named, splits = self._judgments
        chosen = named.select(rows_in(splits, split, self.config.path))
        return chosen.triplets(self.stimuli)

    @property
    def splits(self) -> np.ndarray:
        return self._judgments[1]

    @property
    def _judgments(self) -> tuple[NamedTriplets, np.ndarray]:
        """Return all judgments and their splits (N,)."""
        return self._read.judgments

    @property
    def _answers(self) -> tuple[NamedTriplets, np.ndarray, Columns]:
        """Return the rows that are used, their splits (N,), and the columns."""
        return self._read.answers

    @cached_property
    def _read(self) -> _Read:
        """Return what was read; a recipe that names a table in five places has it read once."""
        return _read(_Settings(self, read_answers(self.config.path)))

    def _judged(self, named: NamedTriplets, splits: np.ndarray) -> tuple[NamedTriplets, np.ndarray]:
        return add_up(named, splits) if self.config.aggregate else (named, splits)

    def _used(self, columns: Columns) -> tuple[NamedTriplets, np.ndarray, Columns]:
        columns = used_rows(columns)
        form = find_form(columns)
        images, (votes_second, num_votes) = read_all(
            partial(read_images, columns, form[:3], self.folder, self.config.image),
            partial(read_votes, columns, form),
        )
        dealt = self._deal(columns, images)
        named = NamedTriplets(
            images.names,
            images.index,
            votes_second / num_votes,
            num_votes,
            dealt.group.codes,
            dealt.unit,
        )
        if form == ANSWER:
            named = draw_sides(named, self.config.seed)
        # after the splits are dealt, so that they are the same whoever is selected
        rows = self._rows_of_subjects(columns)
        return named.select(rows), dealt.splits[rows], columns.select(rows)

    @cached_property
    def _subjects(self) -> Coded | None:
        """Who gave each answer, where the table says it."""
        columns = self._answers[2]
        return columns.coded("subject") if "subject" in columns else None

    def _deal(self, columns: Columns, images: ImageRows) -> Dealt:
        if "group" in columns:
            group = columns.coded("group")
            return self.deal(columns, images, "table", group=group, role="group")
        hint = ", or say in a column 'group' what must not cross splits"
        group = images.role(0)
        return self.deal(columns, images, "table", group=group, role="anchor", hint=hint)

    def _rows_of_subjects(self, columns: Columns) -> np.ndarray:
        wanted = self.config.subjects
        if not wanted:
            return np.ones(len(columns), dtype=bool)
        subjects = columns.coded("subject")
        for subject in sorted(set(wanted).difference(subjects.distinct)):
            guess = nearest(subject, subjects.distinct)
            hint = f"; did you mean '{guess}'?" if guess else ""
            raise DataError(f"{columns.path}: no rows of subject '{subject}'{hint}")
        return np.isin(np.array(subjects.distinct)[subjects.codes], wanted)

    @property
    def people(self) -> Sequence[str]:
        """Names in the column `subject`, those of the key `subjects` where it is given; none without the column."""
        return list(self._subjects.distinct) if self._subjects else []

    def load_people(self, split: Split) -> dict[str, Triplets]:
        """Return the answers of each person in a split; of one person alone, none."""
        (named, splits, _), subjects = self._answers, self._subjects
        if subjects is None or len(subjects.distinct) < 2:
            return {}
        stimuli, found = self.load(split).stimuli, {}
        rows = np.flatnonzero(splits == split)
        rows = rows[np.argsort(subjects.codes[rows], kind="stable")]
        codes, first = np.unique(subjects.codes[rows], return_index=True)
        for code, own in zip(codes.tolist(), np.split(rows, first[1:]), strict=True):
            answers, _ = self._judged(named.select(own), splits[own])
            found[subjects.distinct[code]] = answers.triplets(self.stimuli).over(stimuli)
        return found


@dataclass(frozen=True, slots=True)
class _Read:
    """Rows with their splits and columns, and the judgments that they add up to, with theirs."""

    answers: tuple[NamedTriplets, np.ndarray, Columns]
    judgments: tuple[NamedTriplets, np.ndarray]


class _Settings:
    """A table with the columns of its file: equal ones of equal settings are read once."""

    def __init__(self, table: Table, columns: Columns) -> None:
        self.table, self.columns = table, columns

    def __hash__(self) -> int:
        return hash((type(self.table), repr(self.table.config)))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, _Settings)
            and type(self.table) is type(other.table)
            and self.table.config == other.table.config
            and self.columns is other.columns
        )


@lru_cache(maxsize=4)
def _read(of: _Settings) -> _Read:
    answers = of.table._used(of.columns)
    return _Read(answers, of.table._judged(*answers[:2]))
