"""Pictures of a run for trackers: example judgments with votes and the model's choices, as PNG."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from perceptinit.files.atomic import atomic_path
from perceptinit.reports.examples import TripletExample, triplet_examples
from perceptinit.reports.models import RunModel
from perceptinit.results.runs import LoadedRun

if TYPE_CHECKING:
    from PIL import Image

CELL, LINE, MARGIN = 96, 14, 8
AGREES, DISAGREES = (0, 121, 92), (194, 72, 15)


def write_sheets(run: LoadedRun) -> list[Path]:
    """Write the run's example judgments to `<run folder>/images/` and return the files.

    Empty without judgments. Raises as `triplet_examples` does.
    """
    found = triplet_examples(RunModel.of(run))
    if found is None:
        return []
    path = run.folder / "images" / "judgments.png"
    with atomic_path(path) as temporary:
        draw([*found.right, *found.wrong]).save(temporary, "png")
    return [path]


def draw(examples: Sequence[TripletExample]) -> Image.Image:
    """Return a row per judgment: first, reference, second, with votes; a frame marks the model's choice.

    The frame is green where most people agree, else orange; the text below says the same in words.
    """
    from PIL import Image, ImageDraw

    height = CELL + LINE + MARGIN
    sheet = Image.new(
        "RGB", (3 * (CELL + MARGIN) + MARGIN, len(examples) * height + MARGIN), "white"
    )
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
            left = MARGIN + column * (CELL + MARGIN)
            sheet.paste(_picture(uri), (left, top))
            if role == example.model_picks:
                box = (left - 3, top - 3, left + CELL + 2, top + CELL + 2)
                pen.rectangle(box, outline=AGREES if agrees else DISAGREES, width=3)
            pen.text((left, top + CELL + 1), words, fill="black")
    return sheet


def _picture(uri: str) -> Image.Image:
    from PIL import Image

    data = base64.b64decode(uri.partition(",")[2])
    return (
        Image.open(io.BytesIO(data)).convert("RGB").resize((CELL, CELL), Image.Resampling.NEAREST)
    )
