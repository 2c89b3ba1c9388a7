"""Rank-m-of-n judgments (`multi-select`): which m of n images are most like the query, perhaps in order?"""

from __future__ import annotations

# R rows of the table; a row gives several answers
import itertools
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from perceptinit.errors import DataError
from perceptinit.files.columns import Coded, Columns, raise_all
from perceptinit.files.tables import read_table
from perceptinit.judgments.forms.conventions import Conventions
from perceptinit.judgments.forms.questions import add_up, draw_sides
from perceptinit.judgments.forms.triplet_names import NamedTriplets
from perceptinit.judgments.own.dealing import by_image
from perceptinit.judgments.own.own_table import OwnTable
from perceptinit.judgments.reading.collected import used_rows
from perceptinit.judgments.reading.image_columns import ImageRows, no_image
from perceptinit.judgments.reading.image_files import file_name, missing_files
from perceptinit.judgments.reading.split_column import rows_in
from perceptinit.types import Split, Triplets


def answers_of(
    chosen: Sequence[str], others: Sequence[str], is_ranked: bool
) -> list[tuple[str, str]]:
    """Return the answers (closer, farther) that one row gives.

    Every chosen image is closer to the query than every image left; if ranked, also than those
    chosen after it. So 2 of 8 in order give 7 + 6 = 13 answers, without order 2 x 6 = 12.
    Source: as cblearn's `triplets_from_multiselect`.
    """
    answers = [(c, other) for c in chosen for other in others]
    if is_ranked:
        answers += [(c, later) for i, c in enumerate(chosen) for later in chosen[i + 1 :]]
    return answers


class MultiSelect(OwnTable):
    """A table with a query and n images of which people chose m, made into triplets.

    Columns `anchor` (the query), `chosen_1`, `chosen_2`, ... and `other_1`, `other_2`, ...; cells
    may be empty where rows differ in length. `split` and `excluded` (rows where it is filled are left out) are optional. Splits are by query. The same
    question in several rows is added up.
    """

    conventions: ClassVar[Conventions] = Conventions(
        sides="drawn, by seed",
        direction="chosen images are closer to the query; in order, if ranked",
        ties="none: images that were not chosen, or chosen without order, are not compared",
        winner_first="yes, undone by drawing sides",
    )

    what = "Rank-m-of-n judgments"

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(OwnTable.Config):
        is_ranked: bool
        """Whether `chosen_1` was chosen before `chosen_2`, as the most similar. No default: sources differ."""

    config: Config

    def load(self, split: Split) -> Triplets:
        """Return the triplets of a split; DataError for a wrong row or image, or an empty split."""
        named, splits = self._judgments
        return named.select(rows_in(splits, split, self.config.path)).triplets(self.stimuli)

    @property
    def splits(self) -> np.ndarray:
        return self._judgments[1]

    @cached_property
    def _judgments(self) -> tuple[NamedTriplets, np.ndarray]:
        """Return all judgments and their splits (N,)."""
        c = self.config
        columns = used_rows(read_table(c.path))
        rows = _read_rows(columns, self.folder, c.image)
        anchors = _coded([row.anchor for row in rows])
        dealt = self.deal(
            columns, ImageRows.of([anchors]), "multi-select", group=anchors, role="anchor"
        )
        answers = [row.answers(c.is_ranked) for row in rows]
        row_of = np.repeat(np.arange(len(rows)), [len(a) for a in answers])
        images = ImageRows.of(
            [_coded(names) for names in zip(*itertools.chain(*answers), strict=True)]
        )
        is_by_image = dealt.unit == "image"
        splits = by_image(images, c, "multi-select") if is_by_image else dealt.splits[row_of]
        total = len(row_of)
        votes = np.zeros(total), np.ones(total, dtype=np.int64)
        group = dealt.group.codes[row_of]
        named = NamedTriplets(images.names, images.index, *votes, group, dealt.unit)
        return add_up(draw_sides(named, c.seed), splits)


@dataclass(frozen=True, slots=True)
class _Row:
    """The images of one row, by name."""

    anchor: str
    chosen: list[str]
    others: list[str]

    @property
    def names(self) -> list[str]:
        return [*filter(None, [self.anchor]), *self.chosen, *self.others]

    def answers(self, is_ranked: bool) -> list[tuple[str, str, str]]:
        """Return anchor, closer and farther image of each answer."""
        pairs = answers_of(self.chosen, self.others, is_ranked)
        return [(self.anchor, closer, farther) for closer, farther in pairs]


def _coded(names: Sequence[str]) -> Coded:
    return Coded.of(np.arange(len(names)), names)


class _Mistakes:
    """Mistakes in the rows of a table, told together: a line for each sort, about its first row."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._found: dict[str, dict[int, str]] = {}

    def add(self, sort: str, index: int, message: str) -> None:
        self._found.setdefault(sort, {}).setdefault(index, message)

    def raise_any(self) -> None:
        raise_all(
            self._columns.error(np.array(sorted(rows)), rows[min(rows)])
            for rows in self._found.values()
        )


def _read_rows(columns: Columns, folder: Path, pattern: str | None) -> list[_Row]:
    columns.require(["anchor", "chosen_1", "other_1"])
    if not folder.is_dir():
        raise DataError(f'images = "{folder}": no such folder')
    mistakes = _Mistakes(columns)
    chosen, others = _numbered(columns, "chosen"), _numbered(columns, "other")
    rows = [
        _Row(
            "".join(_names(columns, index, ["anchor"], pattern, mistakes)),
            _names(columns, index, chosen, pattern, mistakes),
            _names(columns, index, others, pattern, mistakes),
        )
        for index in range(len(columns))
    ]
    _check_twice(rows, mistakes)
    _check_images(rows, folder, mistakes)
    mistakes.raise_any()
    return rows


def _numbered(columns: Columns, stem: str) -> list[str]:
    """Return the columns stem_1, stem_2, ... in the order of their numbers."""
    found = [name for name in columns.names if re.fullmatch(rf"{stem}_\d+", name)]
    return sorted(found, key=lambda name: int(name.rpartition("_")[2]))


def _names(
    columns: Columns, index: int, roles: Sequence[str], pattern: str | None, mistakes: _Mistakes
) -> list[str]:
    """Return the images of a row's filled cells, of which there has to be one."""
    cells = {role: columns.cell(role, index) for role in roles}
    filled = {role: str(cell) for role, cell in cells.items() if cell not in (None, "")}
    if not filled:
        mistakes.add(f"{roles[0]} is empty", index, f"{roles[0]} is empty")
    names = []
    for role, text in filled.items():
        try:
            names.append(file_name(text, pattern))
        except ValueError as error:
            mistakes.add(str(error).replace(text, ""), index, f"{role}: {error}")
    return names


def _check_twice(rows: Sequence[_Row], mistakes: _Mistakes) -> None:
    for index, row in enumerate(rows):
        twice = [name for name, count in Counter(row.names).items() if count > 1]
        if twice:
            mistakes.add("twice", index, f"the image '{twice[0]}' stands twice in one row")


def _check_images(rows: Sequence[_Row], folder: Path, mistakes: _Mistakes) -> None:
    missing = missing_files(folder, {name for row in rows for name in row.names})
    is_missing = set(missing)
    for index, row in enumerate(rows):
        name = next((name for name in row.names if name in is_missing), None)
        if name is not None:
            mistakes.add("missing", index, f"'{name}': {no_image(folder, name, missing)}")
