"""Rank-m-of-n judgments (`multi-select`): which m of n images are most like the query, perhaps in order?"""

from __future__ import annotations

# R rows of the table; a row gives several answers
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from perceptinit.errors import DataError
from perceptinit.judgments.forms.conventions import Conventions
from perceptinit.judgments.forms.questions import add_up, draw_sides
from perceptinit.judgments.forms.triplet_names import NamedTriplets
from perceptinit.judgments.own.dealing import by_image
from perceptinit.judgments.own.own_table import OwnTable
from perceptinit.judgments.reading.columns import Coded, Columns, read_columns
from perceptinit.judgments.reading.image_columns import ImageRows, no_image
from perceptinit.judgments.reading.image_files import missing_files, normal_name
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
    may be empty where rows differ in length. `split` is optional. Splits are by query. The same
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
        columns = read_columns(c.path)
        rows = _read_rows(columns, self.folder)
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

    def answers(self, is_ranked: bool) -> list[tuple[str, str, str]]:
        """Return anchor, closer and farther image of each answer."""
        pairs = answers_of(self.chosen, self.others, is_ranked)
        return [(self.anchor, closer, farther) for closer, farther in pairs]


def _coded(names: Sequence[str]) -> Coded:
    return Coded.of(np.arange(len(names)), names)


def _read_rows(columns: Columns, folder: Path) -> list[_Row]:
    columns.require(["anchor", "chosen_1", "other_1"])
    if not folder.is_dir():
        raise DataError(f'images = "{folder}": no such folder')
    rows = []
    for index in range(len(columns)):
        anchor = _names(columns, index, ["anchor"])
        picked = _names(columns, index, _numbered(columns, "chosen"))
        left = _names(columns, index, _numbered(columns, "other"))
        names = [*anchor, *picked, *left]
        for what, cells in (("anchor", anchor), ("chosen_1", picked), ("other_1", left)):
            if not cells:
                raise columns.error(index, f"{what} is empty")
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise columns.error(index, f"the image '{twice}' stands twice in one row")
        rows.append(_Row(anchor[0], picked, left))
    _check_images(columns, folder, [[row.anchor, *row.chosen, *row.others] for row in rows])
    return rows


def _numbered(columns: Columns, stem: str) -> list[str]:
    """Return the columns stem_1, stem_2, ... in the order of their numbers."""
    found = [name for name in columns.cells if re.fullmatch(rf"{stem}_\d+", name)]
    return sorted(found, key=lambda name: int(name.rpartition("_")[2]))


def _names(columns: Columns, index: int, roles: Sequence[str]) -> list[str]:
    """Return the images of a row's filled cells."""
    names = []
    for role in roles:
        cell = columns.cell(role, index)
        if cell is None or cell == "":
            continue
        try:
            names.append(normal_name(str(cell)))
        except ValueError as error:
            raise columns.error(index, f"{role}: {error}") from error
    return names


def _check_images(columns: Columns, folder: Path, rows: Sequence[Sequence[str]]) -> None:
    missing = missing_files(folder, {name for row in rows for name in row})
    for index, row in enumerate(rows):
        for name in row:
            if name in missing:
                raise columns.error(index, f"'{name}': {no_image(folder, name, missing)}")
