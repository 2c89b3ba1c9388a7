"""Contract tests of judgments and pairs."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from perceptinit.errors import DataError, PerceptInitError
from perceptinit.files.downloads import Download, HasDownloads
from perceptinit.images.decoding import decode
from perceptinit.judgments.fingerprints import triplets_sha256
from perceptinit.judgments.forms.odd_one_out import HasOddOneOut, HasSamePairs, OddOneOut, SamePairs
from perceptinit.judgments.forms.rdm import HasDissimilarities
from perceptinit.judgments.forms.splits import Conventions, HasConventions
from perceptinit.protocols import HasClasses, HasMaxShuffleBlocks, HasNoiseCeiling
from perceptinit.testing.contract import Contract
from perceptinit.types import DataCard, Pair, Split, Triplets

# protocol, its method, the type of the result
FORMS: tuple[tuple[type, str, type], ...] = (
    (HasOddOneOut, "load_odd_one_out", OddOneOut),
    (HasSamePairs, "load_same_pairs", SamePairs),
    (HasDissimilarities, "load_dissimilarities", tuple),
)
# protocol, its class attribute, the type of the value or of its items
STATED: tuple[tuple[type, str, type], ...] = (
    (HasConventions, "conventions", Conventions),
    (HasDownloads, "downloads", Download),
)


class JudgmentsContract(Contract):
    """Contract test of judgments: splits are valid, reproducible and disjoint, and images can be decoded.

    Override `options` with the path of a few rows in your format, in the splits `train` and `val`.
    """

    kind: ClassVar[str] = "judgments"
    splits: ClassVar[tuple[Split, ...]] = ("train", "val")

    def test_card_is_complete(self, tmp_path: Path) -> None:
        judgments = self.build(tmp_path)
        name = getattr(judgments, "name", None)
        card = getattr(judgments, "card", None)
        is_name = isinstance(name, str) and name and "/" not in name
        self.must(is_name, f"`name` must be a string without '/', for scores '2afc/<name>'; got {name!r}")
        self.must(
            isinstance(card, DataCard), f"`card` must be a perceptinit.plugin.DataCard, got {card!r:.60}"
        )
        for field in ("title", "source_url", "license", "citation"):
            self.must(getattr(card, field), f"card.{field} is empty; write 'not stated' if it is unknown")

    def _load(self, judgments: Any, split: Split) -> Triplets:
        advice = ". Give rows of that split in options(), or set `splits` of the test class"
        with self.must_not_raise(DataError, f"load('{split}')", advice):
            triplets = judgments.load(split)
        advice = "; Triplets.build creates and checks them"
        self.must_be(triplets, Triplets, f"load('{split}')", advice)
        return triplets

    def test_splits_load_valid_judgments(self, tmp_path: Path) -> None:
        for split in self.splits:
            triplets = self._load(self.build(tmp_path), split)
            self.must(len(triplets) > 0, f"load('{split}') is empty: raise DataError instead")
            with self.must_not_raise(DataError, f"load('{split}')"):
                triplets.check()

    def test_loading_is_reproducible(self, tmp_path: Path) -> None:
        config = self.config(tmp_path)
        for split in self.splits:
            hashes = {triplets_sha256(self._load(self.build(tmp_path, config), split)) for _ in range(2)}
            self.must(len(hashes) == 1, f"two calls of load('{split}') differ: sort files, and seed draws")

    def test_splits_share_no_group(self, tmp_path: Path) -> None:
        judgments = self.build(tmp_path)
        seen: dict[str, str] = {}
        for split in self.splits:
            triplets = self._load(judgments, split)
            for anchor in {triplets.stimuli.ids[i] for i in triplets.anchor}:
                other = seen.setdefault(anchor, split)
                self.must(
                    other == split,
                    f"anchor '{anchor}' is in both '{other}' and '{split}', so judgments leak: assign whole "
                    "groups to splits (perceptinit.plugin.assign_splits)",
                )

    def test_images_can_be_read(self, tmp_path: Path) -> None:
        triplets = self._load(self.build(tmp_path), self.splits[0])
        for index in np.unique([triplets.anchor[:4], triplets.first[:4], triplets.second[:4]]):
            name = triplets.stimuli.ids[index]
            with self.must_not_raise(DataError, f"decoding image '{name}'"):
                decode(triplets.stimuli.images[index], name)

    def test_the_noise_ceiling_is_a_range(self, tmp_path: Path) -> None:
        judgments = self.build(tmp_path)
        if isinstance(judgments, HasNoiseCeiling):
            found = judgments.noise_ceiling(self.splits[0])
            is_range = found is None or 0 <= found[0] <= found[1] <= 1
            self.must(is_range, f"noise_ceiling() must be None or (lower, upper) in [0, 1], got {found!r}")

    def test_other_forms_have_their_types(self, tmp_path: Path) -> None:
        judgments = self.build(tmp_path)
        split = self.splits[0]
        for protocol, name, form in FORMS:
            if isinstance(judgments, protocol):
                with suppress(PerceptInitError):  # a wrapper whose judgments lack this form
                    self.must_be(getattr(judgments, name)(split), form, f"{name}('{split}')")

    def test_conventions_and_downloads_have_their_types(self) -> None:
        for protocol, name, kind in STATED:
            value = getattr(self.component, name, None)
            if value is None or not isinstance(self.component, protocol):
                continue
            items = [value] if kind is Conventions else list(value)
            is_right = all(isinstance(item, kind) for item in items)
            self.must(is_right, f"`{name}` has the wrong type, expected {kind.__name__}, got {value!r:.60}")


class PairsContract(Contract):
    """Contract test of pairs: each index returns a valid pair, the same in every thread.

    Override `options` with the path of a few samples in your format.
    """

    kind: ClassVar[str] = "pairs"

    def test_counts_agree(self, tmp_path: Path) -> None:
        pairs = self.build(tmp_path)
        self.must(pairs.num_pairs > 0, f"num_pairs is {pairs.num_pairs}: raise DataError instead")
        total = sum(pairs.block_sizes)
        self.must(
            total == pairs.num_pairs,
            f"block_sizes sum to {total}, num_pairs is {pairs.num_pairs}; without shards, use [num_pairs]",
        )

    def _all(self, pairs: Any) -> list[Pair]:
        found = [pairs.pair(i) for i in range(min(pairs.num_pairs, 64))]
        for pair in found:
            self.must_be(pair, Pair, "pair(index)")
        return found

    def test_images_and_texts_are_valid(self, tmp_path: Path) -> None:
        for pair in self._all(self.build(tmp_path)):
            has_text = isinstance(pair.text, (str, np.ndarray)) and len(pair.text) > 0
            self.must(has_text, f"pair '{pair.key}' has no text: exclude such samples from num_pairs")
            with self.must_not_raise(DataError, f"decoding the image of '{pair.key}'"):
                decode(pair.image, pair.key)

    def test_keys_are_unique(self, tmp_path: Path) -> None:
        keys = [pair.key for pair in self._all(self.build(tmp_path))]
        for key in keys:
            self.must(keys.count(key) == 1, f"several pairs have the key '{key}'")

    def test_pairs_are_reproducible_in_any_thread(self, tmp_path: Path) -> None:
        pairs = self.build(tmp_path)
        keys = [pair.key for pair in self._all(pairs)]
        with ThreadPoolExecutor(4) as pool:
            again = [pair.key for pair in pool.map(pairs.pair, range(len(keys)))]
        self.must(keys == again, "pair(index) returned different pairs in threads: keep no state, or lock it")

    def test_classes_name_every_label(self, tmp_path: Path) -> None:
        pairs = self.build(tmp_path)
        num_pairs = pairs.num_pairs
        if not isinstance(pairs, HasClasses):
            return
        try:
            found = pairs.read_classes()
        except DataError:
            return  # these options give no labels
        shape = found.labels.shape
        dtype = found.labels.dtype
        is_right = shape == (num_pairs,) and dtype == np.int64
        self.must(is_right, f"read_classes().labels must be int64 ({num_pairs},), got {dtype} {shape}")
        is_known = (found.labels >= 0) & (found.labels < len(found.names))
        self.must(is_known.all(), f"read_classes() returned labels outside [0, {len(found.names)})")

    def test_max_shuffle_blocks_is_a_number_of_blocks(self, tmp_path: Path) -> None:
        pairs = self.build(tmp_path)
        if isinstance(pairs, HasMaxShuffleBlocks):
            most = pairs.max_shuffle_blocks
            self.must(
                isinstance(most, int) and most > 0, f"max_shuffle_blocks must be an int > 0, got {most!r}"
            )
