"""Example judgments of a run's model with images, for the page and as a sheet for trackers."""

from __future__ import annotations

# N triplets or images
import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from perceptinit.components.building import Spec
from perceptinit.files.atomic import atomic_path
from perceptinit.images.decoding import decode, load_square
from perceptinit.images.stimuli import StimulusImages
from perceptinit.judgments.two_afc import embed_judged
from perceptinit.recipe.recipe import Recipe
from perceptinit.results.loading import load_model, read_recorded_recipe
from perceptinit.results.record import recorded_sha256
from perceptinit.results.runs import LoadedRun
from perceptinit.seeding import generator
from perceptinit.test_sets.choice import HasChoice
from perceptinit.types import WHITE, Colour, Fit, ImageSource, Triplets

if TYPE_CHECKING:
    from PIL import Image

NUM_SAMPLED = 256
NUM_SHOWN = 3
THUMBNAIL_SIZE = 112
# of a sheet, in pixels
CELL, LINE, MARGIN = 96, 14, 8
AGREES, DISAGREES = (0, 121, 92), (194, 72, 15)


@dataclass(frozen=True, slots=True)
class RunModel:
    """A run with its recipe; models are loaded on demand, on the CPU, in eval mode."""

    run: LoadedRun
    recipe: Recipe

    def load(self, moment: str) -> Any:
        """Return the dual encoder at the end ("final"), or with the image tower after stage 1 ("init").

        Raises CheckpointError for missing or damaged weights.
        """
        path = self.run.folder / "weights" / f"{moment}.safetensors"
        sha256 = recorded_sha256(self.run.record, path)
        return load_model(self.recipe.backbone, path, self.run.seed, sha256)

    def judgments(self) -> Spec | None:
        """Return the judgments that the arm learns from, else the first that it is measured on."""
        arm = self.recipe.arm(self.run.arm)
        specs = [*arm.init, *arm.posthoc, *(slot.spec for slot in self.recipe.evals)]
        return next((s.parts["judgments"] for s in specs if "judgments" in s.parts), None)

    def test_sets(self) -> Iterator[Any]:
        """Yield the labelled and captioned test sets of the evaluators, in the recipe's order."""
        for slot in self.recipe.evals:
            evaluator = slot.spec.build()
            if isinstance(evaluator, HasChoice):
                present, _ = evaluator.choice.present()
                yield from map(evaluator.choice.read, present)


@dataclass(frozen=True, slots=True)
class TripletExample:
    """A judgment: three images (data URIs), votes of people, and cosine distances of the model."""

    anchor: str
    first: str
    second: str
    first_votes: int
    second_votes: int
    d_first: float
    d_second: float

    @property
    def model_picks(self) -> str:
        return "first" if self.d_first < self.d_second else "second"

    @property
    def people_pick(self) -> str:
        return "first" if self.first_votes > self.second_votes else "second"


@dataclass(frozen=True, slots=True)
class TripletExamples:
    """The clearest agreements and disagreements among `num_sampled` judgments of a split."""

    right: tuple[TripletExample, ...]
    wrong: tuple[TripletExample, ...]
    num_sampled: int
    num_right: int


def triplet_examples(model: RunModel) -> TripletExamples | None:
    """Return held-out judgments on which the image tower agrees and disagrees with people after stage 1.

    From a sample of `NUM_SAMPLED`, ordered by margin and by agreement of the votes. None without judgments.
    """
    spec = model.judgments()
    if spec is None:
        return None
    triplets = spec.build().load("test")
    triplets = triplets.select(draw_sample(len(triplets), "triplets"))
    encoder = model.load("init")
    images = StimulusImages(triplets.stimuli, encoder.image_size, fit=Fit.of(encoder))
    d_first, d_second = embed_judged(encoder.encode_image, triplets, images).distances(triplets)
    decided = triplets.p_second != 0.5
    agrees = decided & ((d_second < d_first) == (triplets.p_second > 0.5))
    clarity = np.abs(d_first - d_second) * np.abs(2 * triplets.p_second - 1)
    order = np.argsort(-clarity)

    def choose(rows: np.ndarray) -> tuple[TripletExample, ...]:
        return tuple(_triplet(triplets, i, d_first[i], d_second[i]) for i in rows[:NUM_SHOWN])

    right, wrong = choose(order[agrees[order]]), choose(order[(decided & ~agrees)[order]])
    return TripletExamples(right, wrong, int(decided.sum()), int(agrees.sum()))


def draw_sample(count: int, name: str) -> np.ndarray:
    """Return sorted random rows, equal for all arms and reports of these data."""
    return np.sort(generator(0, "report", name).permutation(count)[:NUM_SAMPLED])


def _triplet(triplets: Triplets, row: int, d_first: float, d_second: float) -> TripletExample:
    stimuli = triplets.stimuli
    anchor, first, second = (
        thumbnail(stimuli.images[i], stimuli.ids[i], stimuli.background)
        for i in (triplets.anchor[row], triplets.first[row], triplets.second[row])
    )
    num_votes = int(triplets.num_votes[row])
    num_second = round(float(triplets.p_second[row]) * num_votes)
    votes, distances = (num_votes - num_second, num_second), (float(d_first), float(d_second))
    return TripletExample(anchor, first, second, *votes, *distances)


def thumbnail(source: ImageSource, key: str, background: Colour = WHITE) -> str:
    """Return an image as a data URI: a JPEG of `THUMBNAIL_SIZE` pixels, a PNG for tiny images."""
    from PIL import Image

    pixels = decode(source, key, background)
    is_tiny = max(pixels.shape[:2]) <= THUMBNAIL_SIZE // 2
    if not is_tiny:
        pixels = load_square(pixels, key, THUMBNAIL_SIZE, Fit("pad", WHITE), WHITE).transpose(1, 2, 0)
    stream = io.BytesIO()
    kind = "png" if is_tiny else "jpeg"
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, kind, quality=85)
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode()}"


def write_sheets(run: LoadedRun) -> list[Path]:
    """Write the run's example judgments to `<run folder>/images/` and return the files, if any."""
    found = triplet_examples(RunModel(run, read_recorded_recipe(run.record)))
    if found is None:
        return []
    path = run.folder / "images" / "judgments.png"
    with atomic_path(path) as temporary:
        draw_sheet([*found.right, *found.wrong]).save(temporary, "png")
    return [path]


def draw_sheet(examples: Sequence[TripletExample]) -> Image.Image:
    """Return a row per judgment: first, reference, second, with votes, and a frame around the model's choice.

    The frame is green where the majority agrees, else orange; the text below repeats it.
    """
    from PIL import Image, ImageDraw

    width, height = CELL + MARGIN, CELL + LINE + MARGIN
    size = (3 * width + MARGIN, len(examples) * height + MARGIN)
    sheet = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    for row, example in enumerate(examples):
        top = MARGIN + row * height
        total = example.first_votes + example.second_votes
        agrees = example.model_picks == example.people_pick
        columns = (
            ("first", example.first, f"{example.first_votes} of {total}"),
            ("", example.anchor, "agrees" if agrees else "disagrees"),
            ("second", example.second, f"{example.second_votes} of {total}"),
        )
        for column, (role, uri, words) in enumerate(columns):
            left = MARGIN + column * width
            picture = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
            shown = picture.convert("RGB").resize((CELL, CELL), Image.Resampling.NEAREST)
            sheet.paste(shown, (left, top))
            if role == example.model_picks:
                box = (left - 3, top - 3, left + CELL + 2, top + CELL + 2)
                pen.rectangle(box, outline=AGREES if agrees else DISAGREES, width=3)
            pen.text((left, top + CELL + 1), words, fill="black")
    return sheet
