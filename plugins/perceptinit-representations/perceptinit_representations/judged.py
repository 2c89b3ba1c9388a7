"""Example judgments with a model's choices, for the report."""

# N triplets
import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from perceptinit.companion import WHITE, Color, ImageSource, decode, embed_judged, load_square
from perceptinit.plugin import Fit, Judgments, ShownRun, StimulusImages, Triplets, generator

NUM_SAMPLED = 256  # test examples, before the choice of those to show
NUM_SHOWN = 3
THUMBNAIL_SIZE = 112  # pixels


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


def draw_sample(count: int, name: str) -> np.ndarray:
    """Return sorted random row indices, the same for all arms and reports."""
    return np.sort(generator(0, "report", name).permutation(count)[:NUM_SAMPLED])


def thumbnail(source: ImageSource, key: str, background: Color = WHITE) -> str:
    """Return an image as a data URI: a JPEG of `THUMBNAIL_SIZE` pixels, or a PNG for tiny images."""
    pixels = decode(source, key, background)
    is_tiny = max(pixels.shape[:2]) <= THUMBNAIL_SIZE // 2
    if not is_tiny:
        pixels = load_square(pixels, key, THUMBNAIL_SIZE, Fit("pad", WHITE), WHITE).transpose(1, 2, 0)
    stream = io.BytesIO()
    kind = "png" if is_tiny else "jpeg"
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, kind, quality=85)
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode()}"
