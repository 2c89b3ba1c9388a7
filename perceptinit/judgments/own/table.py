"""Your own judgments: a CSV or Parquet file with one row per question or answer, and a folder of images."""

from __future__ import annotations

# N rows, then N questions once they are aggregated
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import numpy as np

from perceptinit.errors import DataError, EmptySplitError
from perceptinit.judgments.forms.conventions import Conventions
from perceptinit.judgments.forms.questions import add_up, draw_sides
from perceptinit.judgments.forms.triplet_names import NamedTriplets
from perceptinit.judgments.own.own_table import OwnTable
from perceptinit.judgments.reading.collected import used_rows
from perceptinit.judgments.reading.columns import Columns, read_columns
from perceptinit.judgments.reading.image_columns import read_images
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

    Without `split`, groups are dealt to splits by hashing their names. The group is the anchor then,
    unless given: a candidate of one split may occur in another.

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
        return chosen.triplets(self.stimuli, named.group)

    @cached_property
    def _judgments(self) -> tuple[NamedTriplets, np.ndarray]:
        return self._read()

    def _read(self) -> tuple[NamedTriplets, np.ndarray]:
        """Return all judgments and their splits (N,)."""
        columns = used_rows(read_columns(self.config.path))
        form = find_form(columns)
        votes_second, num_votes = read_votes(columns, form)
        anchor, first, second = read_images(columns, form[:3], self.folder)
        group = columns.texts("group") if "group" in columns.cells else anchor
        named = NamedTriplets(anchor, first, second, votes_second / num_votes, num_votes, group)
        splits = self._splits(columns, named)
        if form == ANSWER:
            named = draw_sides(named, self.config.seed)
        # after the splits are dealt, so that they are the same whoever is selected
        rows = self._rows_of_subjects(columns)
        named, splits = named.select(rows), splits[rows]
        return add_up(named, splits) if self.config.aggregate else (named, splits)

    def _rows_of_subjects(self, columns: Columns) -> np.ndarray:
        wanted = set(self.config.subjects)
        if not wanted:
            return np.arange(len(columns))
        subjects = columns.texts("subject")
        for subject in sorted(wanted.difference(subjects)):
            guess = nearest(subject, set(subjects))
            hint = f"; did you mean '{guess}'?" if guess else ""
            raise DataError(f"{columns.path}: no rows of subject '{subject}'{hint}")
        return np.flatnonzero([subject in wanted for subject in subjects])

    def _splits(self, columns: Columns, named: NamedTriplets) -> np.ndarray:
        if "group" in columns.cells:
            return self.deal(columns, named.group, "group", "table")
        hint = ", or say in a column 'group' what must not cross splits"
        return self.deal(columns, named.group, "anchor", "table", hint)

    @property
    def people(self) -> Sequence[str]:
        """Names in the column `subject`, those of the key `subjects` where it is given; none without the column."""
        columns = used_rows(read_columns(self.config.path))
        names = columns.texts("subject") if "subject" in columns.cells else ()
        return sorted(self.config.subjects or set(names))

    def load_people(self, split: Split) -> dict[str, Triplets]:
        """Return the answers of each person in a split; of one person alone, none."""
        people, stimuli, found = self.people, self.load(split).stimuli, {}
        for name in people if len(people) > 1 else ():
            with suppress(EmptySplitError):
                own = type(self)(replace(self.config, subjects=(name,)))
                found[name] = own.load(split).over(stimuli)
        return found
