"""The contract of judgments."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from perceptinit.errors import DataError, PerceptInitError
from perceptinit.files.downloads import Download, HasDownloads
from perceptinit.images.decoding import decode
from perceptinit.judgments.fingerprints import triplets_sha256
from perceptinit.judgments.forms.conventions import Conventions, HasConventions
from perceptinit.judgments.forms.odd_one_out import HasOddOneOut, OddOneOut
from perceptinit.judgments.forms.rdm import HasDissimilarities
from perceptinit.judgments.forms.same_pairs import HasSamePairs, SamePairs
from perceptinit.protocols import HasNoiseCeiling, Judgments
from perceptinit.testing.contract import Contract
from perceptinit.types import DataCard, Split, Triplets

# protocol, its method, what it returns
FORMS: tuple[tuple[type, str, type], ...] = (
    (HasOddOneOut, "load_odd_one_out", OddOneOut),
    (HasSamePairs, "load_same_pairs", SamePairs),
    (HasDissimilarities, "load_dissimilarities", tuple),
)
# protocol, its attribute of the class, what that or each item of it is
STATED: tuple[tuple[type, str, type], ...] = (
    (HasConventions, "conventions", Conventions),
    (HasDownloads, "downloads", Download),
)


class JudgmentsContract(Contract):
    """Splits load, repeat and share no group; images can be read; the card says what it is.

    Override `options` with the path of a few rows of your format, with a `train` and a `val` split.
    """

    kind: ClassVar[str] = "judgments"
    protocol: ClassVar[type] = Judgments
    splits: ClassVar[tuple[Split, ...]] = ("train", "val")

    def test_the_card_is_filled_in(self, tmp_path: Path) -> None:
        judgments = self.build(tmp_path)
        name, card = getattr(judgments, "name", None), getattr(judgments, "card", None)
        self.must(
            isinstance(name, str) and bool(name) and "/" not in name,
            f"`name` must be a short string without '/', it stands in '2afc/<name>'; got {name!r}",
        )
        self.must(
            isinstance(card, DataCard),
            f"`card` must be a perceptinit.plugin.DataCard, got {card!r:.60}",
        )
        for field in ("title", "source_url", "licence", "citation"):
            self.must(
                bool(getattr(card, field)),
                f"card.{field} is empty; say 'not stated' where the source does not say",
            )

    def _load(self, judgments: Any, split: Split) -> Triplets:
        advice = ". Give rows of that split in options(), or set `splits` of the test class"
        with self.must_not_raise(DataError, f"load('{split}')", advice):
            triplets = judgments.load(split)
        self.must(
            isinstance(triplets, Triplets),
            f"load('{split}') must return perceptinit.plugin.Triplets, got {triplets!r:.60}; "
            "Triplets.build makes and checks them",
        )
        return triplets

    def test_splits_load_and_are_judgments(self, tmp_path: Path) -> None:
        for split in self.splits:
            triplets = self._load(self.build(tmp_path), split)
            self.must(len(triplets) > 0, f"load('{split}') is empty: raise DataError instead")
            with self.must_not_raise(DataError, f"load('{split}')"):
                triplets.check()

    def test_loading_twice_gives_the_same(self, tmp_path: Path) -> None:
        config = self.config(tmp_path)
        for split in self.splits:
            first, second = (
                triplets_sha256(self._load(self.build(tmp_path, config), split)) for _ in range(2)
            )
            self.must(
                first == second,
                f"load('{split}') differs from call to call: sort listings, and draw from "
                "perceptinit.plugin.generator with a seed from Config",
            )

    def test_no_group_is_in_two_splits(self, tmp_path: Path) -> None:
        judgments = self.build(tmp_path)
        seen: dict[str, str] = {}
        for split in self.splits:
            triplets = self._load(judgments, split)
            for anchor in {triplets.stimuli.ids[i] for i in triplets.anchor}:
                other = seen.setdefault(anchor, split)
                self.must(
                    other == split,
                    f"anchor '{anchor}' is in '{other}' and in '{split}', so scores would leak: "
                    "assign whole groups to splits (perceptinit.plugin.assign_splits)",
                )

    def test_images_can_be_read(self, tmp_path: Path) -> None:
        triplets = self._load(self.build(tmp_path), self.splits[0])
        for index in np.unique([triplets.anchor[:4], triplets.first[:4], triplets.second[:4]]):
            name = triplets.stimuli.ids[index]
            with self.must_not_raise(DataError, f"image '{name}'"):
                decode(triplets.stimuli.images[index], name)

    def test_the_noise_ceiling_is_a_range(self, tmp_path: Path) -> None:
        judgments = self.build(tmp_path)
        if isinstance(judgments, HasNoiseCeiling):
            found = judgments.noise_ceiling(self.splits[0])
            self.must(
                found is None or 0 <= found[0] <= found[1] <= 1,
                f"noise_ceiling() must be None or (lower, upper) in [0, 1], got {found!r}",
            )

    def test_other_forms_are_what_they_are_called(self, tmp_path: Path) -> None:
        judgments, split = self.build(tmp_path), self.splits[0]
        for protocol, name, form in FORMS:
            if not isinstance(judgments, protocol):
                continue
            try:
                found = getattr(judgments, name)(split)
            except PerceptInitError:  # a wrapper around judgments without this form
                continue
            self.must(
                isinstance(found, form),
                f"{name}('{split}') must return {form.__name__}, got {found!r:.60}",
            )

    def test_conventions_and_downloads_are_stated_by_the_class(self) -> None:
        for protocol, name, kind in STATED:
            value = getattr(self.component, name, None)
            if value is None or not isinstance(self.component, protocol):
                continue
            items = [value] if kind is Conventions else list(value)
            self.must(
                all(isinstance(item, kind) for item in items),
                f"`{name}` must be of {kind.__name__}, got {value!r:.60}",
            )
