"""THINGS (`things`): 4.7 million odd-one-out choices about 1,854 objects."""

# N judgments, three objects each
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np

from perceptinit.companion import (
    list_some,
    missing_files,
    odd_one_out_agreement,
    reading,
    split_names,
    triple_codes,
)
from perceptinit.plugin import (
    NEUTRAL,
    Conventions,
    DataCard,
    DataError,
    Download,
    NonNegativeInt,
    OddOneOut,
    Share,
    Split,
    Stimuli,
    Triplets,
    generator,
)
from perceptinit_perceptual_sets.things_files import PLACES, OddColumn, read_objects, read_triples


@dataclass(eq=False)
class Things:
    """Odd-one-out choices of 12,340 participants about images of 1,854 objects.

    Published readers disagree on the column of the odd object and on the index base, so the recipe must state
    both. `embedding` checks them: a published model of these choices predicts the correct column best (0.64
    of choices, chance 0.33). Each choice gives two triplets. The `odd-one-out` evaluator uses the choices.

    By default, splits are the published files for train and test, with a random part of train as `val`, so
    all objects occur in all splits. Alternatively, splits are by object, and choices across splits are
    dropped.
    """

    name = "things"
    conventions: ClassVar[Conventions] = Conventions(
        index_base="stated in the recipe: index_base",
        odd_one="stated in the recipe: odd_column; sources disagree, `embedding` checks it",
        sides="randomized by seed",
        ties="none: every choice names one object",
        winner_first="yes in most files (fixed column of the odd one), removed by randomizing sides",
    )
    card: ClassVar[DataCard] = DataCard(
        title="THINGS: 4.7 million odd-one-out choices about 1,854 objects",
        source_url="https://osf.io/f5rn6",
        license="CC BY 4.0 (choices); images under other terms",
        citation="Hebart, Zheng, Pereira and Baker (2020). Revealing the multidimensional mental "
        "representations of natural objects underlying human similarity judgements. Nature Human "
        "Behaviour 4; Hebart et al. (2023). THINGS-data. eLife 12",
        num_judgments=4_699_160,
        ceiling=0.6767,
        checked="generated files in the three published layouts; counts are those of the source",
    )
    downloads: ClassVar[tuple[Download, ...]] = (
        Download(urls=("https://osf.io/download/h2smy/",), path="triplets_long.tsv"),
    )

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        train: Path
        """File of choices: three columns (.npy or text), or a table with a header and a column `choice`."""
        concepts: Path
        """`things_concepts.tsv` or `item_names.tsv`; row i names object i in column uniqueID."""
        images: Annotated[Path, NEUTRAL]
        """Folder of the images."""
        index_base: Literal[0, 1]
        """Index of the first object. No default: 0 in SPoSE and VICE files, 1 in the long form."""
        odd_column: OddColumn
        """Column of the odd object: "first", "second", "last", or "choice" to read column `choice`."""
        test: Path | None = None
        """File of test choices in the same format. Default: a share of `train`."""
        image: str = "{id}.jpg"
        """Image of an object relative to `images`, such as "{id}/{id}_01b.jpg"; {id} is its uniqueID."""
        embedding: Path | None = None
        """Embedding of a published model, (objects, dimensions), .npy or text, to check `odd_column`."""
        split_by: Literal["file", "object"] = "file"
        """Split by file, or by object so that each object is in only one split."""
        val_share: Share = 0.05
        """Share of the training questions, or of the objects, in `val`."""
        test_share: Share = 0.1
        """Share of the questions, or of the objects, in `test`; ignored by file splits if `test` is set."""
        seed: NonNegativeInt = 0
        """Random seed of splits and sides, which are the same for all runs."""

    config: Config

    def preflight(self) -> Iterator[str]:
        """Yield problems with the files, the images and the stated column of the odd object."""
        try:
            stimuli = self._stimuli
            missing = missing_files(self.config.images, list(map(self._image, stimuli.ids)))
            if missing:
                yield (
                    f'images = "{self.config.images}": {len(missing):,} of {len(stimuli):,} images are '
                    f"missing: {list_some(missing)}. Source: {self.card.source_url}"
                )
            self._check_odd_column()
        except DataError as error:
            yield str(error)

    def load(self, split: Split) -> Triplets:
        """Return two triplets per choice of a split; DataError for an invalid file or an empty split."""
        rng = generator(self.config.seed, "judgments", "things", "sides", split)
        return self.load_odd_one_out(split).triplets(rng)

    def load_odd_one_out(self, split: Split) -> OddOneOut:
        """Return the choices of a split; DataError for an invalid file or an empty split."""
        self._check_odd_column()
        images, odd, splits = self._choices
        rows = np.flatnonzero(splits == split)
        if not rows.size:
            raise DataError(f"{self.config.train}: no choices in split '{split}'")
        votes = np.zeros((len(rows), 3), dtype=np.int32)
        votes[np.arange(len(rows)), odd[rows]] = 1
        return OddOneOut.build(
            self._stimuli,
            images[rows],
            votes,
            unit="image" if self.config.split_by == "object" else "anchor",
        )

    def _image(self, name: str) -> str:
        return self.config.image.format(id=name)

    @cached_property
    def _stimuli(self) -> Stimuli:
        names = read_objects(self.config.concepts)
        return Stimuli(tuple(names), [self.config.images / self._image(name) for name in names], tuple(names))

    @cached_property
    def _choices(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Objects (N, 3), odd columns (N,) and splits (N,) of the choices in all files."""
        c = self.config
        files = [path for path in (c.train, c.test) if path]
        read = [read_triples(p, c.index_base, c.odd_column, len(self._stimuli)) for p in files]
        images = np.concatenate([part[0] for part in read])
        is_test = np.arange(len(images)) >= (len(read[0][0]) if c.test else len(images))
        splits = self._split_objects(images) if c.split_by == "object" else self._split_files(images, is_test)
        return images, np.concatenate([part[1] for part in read]), splits

    def _split_objects(self, images: np.ndarray) -> np.ndarray:
        a, b, odd = split_names(self._stimuli.ids, self.config, "things")[images].T
        return np.where((a == b) & (b == odd), a, "")

    def _split_files(self, images: np.ndarray, is_test: np.ndarray) -> np.ndarray:
        """Return the split of each choice; choices about the same three objects share a split."""
        c = self.config
        codes, question = np.unique(triple_codes(images, len(self._stimuli)), return_inverse=True)
        # one permutation for millions of questions; `assign_splits` would hash each of them
        place = generator(c.seed, "judgments", "things", "split").permutation(len(codes))[question]
        num_test = 0 if c.test else round(c.test_share * len(codes))
        num_val = round(c.val_share * len(codes))
        splits = np.where(place < num_test, "test", np.where(place < num_test + num_val, "val", "train"))
        # training questions that also occur in the test file are dropped
        is_seen = np.isin(question, question[is_test])
        return np.where(is_test, "test", np.where(is_seen, "", splits))

    def _check_odd_column(self) -> None:
        """Raise DataError if the embedding predicts another column better than the stated one."""
        c = self.config
        if c.embedding is None or c.odd_column == "choice":
            return
        best, scores = find_odd_column(self._choices[0][:100_000], self._read_embedding())
        if best != PLACES[c.odd_column]:
            columns = ", ".join(f"{n} {s:.3f}" for n, s in zip(PLACES, scores, strict=True))
            raise DataError(
                f'{c.train}: odd_column = "{c.odd_column}", but {c.embedding} predicts another column best '
                f"(agreement: {columns}). Check odd_column and index_base"
            )

    def _read_embedding(self) -> np.ndarray:
        path = self.config.embedding
        assert path is not None
        with reading(f"{path}: not a readable table of numbers", OSError, ValueError):
            vectors = np.load(path, allow_pickle=False) if path.suffix == ".npy" else np.loadtxt(path)
        if vectors.ndim != 2 or len(vectors) != len(self._stimuli):
            raise DataError(
                f"{path}: expected ({len(self._stimuli)}, dimensions) numbers, got {vectors.shape}"
            )
        return vectors


def find_odd_column(images: np.ndarray, embedding: np.ndarray) -> tuple[int, list[float]]:
    """Return the column that the embedding predicts best as odd, and the agreement with each column.

    Args:
        images: Object indices, (N, 3).
        embedding: Object embeddings (M, D) whose dot products are similarities, for example from a published
            model of the same judgments.
    """
    a, b, c = (embedding[column] for column in images.T)
    similarities = np.stack([(x * y).sum(axis=1) for x, y in ((a, b), (a, c), (b, c))], axis=1)
    scores = []
    for column in range(3):
        votes = np.zeros((len(images), 3))
        votes[:, column] = 1
        scores.append(float(odd_one_out_agreement(similarities, votes).mean()))
    return int(np.argmax(scores)), scores
