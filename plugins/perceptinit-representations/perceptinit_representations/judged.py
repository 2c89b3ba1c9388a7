"""Example judgments with a model's choices, for the report and as an image sheet for trackers."""

# N triplets
import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from perceptinit.companion import WHITE, Colour, ImageSource, atomic_path, decode, embed_judged, load_square
from perceptinit.plugin import Fit, Judgments, ShownRun, StimulusImages, Triplets, generator

NUM_SAMPLED = 256  # test examples, before the choice of those to show
NUM_SHOWN = 3
THUMBNAIL_SIZE = 112  # pixels
# layout of a sheet in pixels
CELL, LINE, MARGIN = 96, 14, 8
AGREES, DISAGREES = (0, 121, 92), (194, 72, 15)


@dataclass(frozen=True, slots=True)
class TripletExample:
    """A judgment with three images (data URIs), human votes and the model's cosine distances."""

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


def triplet_examples(run: ShownRun, judgments: Judgments) -> TripletExamples:
    """Return held-out judgments on which the image tower agrees or disagrees with people after stage 1.

    Of a random sample, the judgments with the largest margins in distances and votes are selected.
    """
    triplets = judgments.load("test")
    triplets = triplets.select(draw_sample(len(triplets), "triplets"))
    encoder: Any = run.load("init")
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


def write_sheet(run: ShownRun) -> list[Path]:
    """Write the run's example judgments to `<run folder>/images/` and return the written files."""
    judgments = run.judgments()
    if judgments is None:
        return []
    found = triplet_examples(run, judgments)
    path = run.folder / "images" / "judgments.png"
    with atomic_path(path) as temporary:
        draw_sheet([*found.right, *found.wrong]).save(temporary, "png")
    return [path]


def draw_sheet(examples: Sequence[TripletExample]) -> Image.Image:
    """Draw one row per judgment: first candidate, anchor and second candidate, with votes.

    A frame marks the model's choice, green if it agrees with the majority and orange otherwise. The text
    below the anchor states the same.
    """
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
            image = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
            shown = image.convert("RGB").resize((CELL, CELL), Image.Resampling.NEAREST)
            sheet.paste(shown, (left, top))
            if role == example.model_picks:
                box = (left - 3, top - 3, left + CELL + 2, top + CELL + 2)
                pen.rectangle(box, outline=AGREES if agrees else DISAGREES, width=3)
            pen.text((left, top + CELL + 1), words, fill="black")
    return sheet


def draw_sample(count: int, name: str) -> np.ndarray:
    """Return sorted random row indices, the same for all arms and reports."""
    return np.sort(generator(0, "report", name).permutation(count)[:NUM_SAMPLED])


def thumbnail(source: ImageSource, key: str, background: Colour = WHITE) -> str:
    """Return an image as a data URI: a JPEG of `THUMBNAIL_SIZE` pixels, or a PNG for tiny images."""
    pixels = decode(source, key, background)
    is_tiny = max(pixels.shape[:2]) <= THUMBNAIL_SIZE // 2
    if not is_tiny:
        pixels = load_square(pixels, key, THUMBNAIL_SIZE, Fit("pad", WHITE), WHITE).transpose(1, 2, 0)
    stream = io.BytesIO()
    kind = "png" if is_tiny else "jpeg"
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, kind, quality=85)
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode()}"
