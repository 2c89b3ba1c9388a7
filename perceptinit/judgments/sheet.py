"""A sheet of example triplets with their votes, as one image."""

from __future__ import annotations

# K examples, S side of a picture in pixels
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from perceptinit.files.atomic import atomic_path
from perceptinit.images.decoding import decode
from perceptinit.seeding import generator
from perceptinit.types import Triplets

SIDE, GAP, CAPTION = 160, 10, 34
COLUMNS = 2
WINNER = (0, 130, 60)
INK = (30, 30, 30)


def write_sheet(triplets: Triplets, path: Path, count: int, seed: int = 0) -> None:
    """Write `count` triplets, drawn by seed, as anchor | first | second with votes; a frame marks the winner.

    Raises DataError for an image that cannot be decoded.
    """
    rng = generator(seed, "judgments", "sheet")
    rows = np.sort(rng.choice(len(triplets), size=min(count, len(triplets)), replace=False))
    cell = (3 * SIDE + 4 * GAP, SIDE + CAPTION + GAP)
    lines = -(-len(rows) // COLUMNS)
    sheet = Image.new("RGB", (min(COLUMNS, len(rows)) * cell[0], lines * cell[1] + GAP), "white")
    for place, row in enumerate(rows.tolist()):
        corner = (place % COLUMNS * cell[0], place // COLUMNS * cell[1])
        _draw_triplet(sheet, triplets, row, corner)
    with atomic_path(path) as temporary:
        sheet.save(temporary, format="PNG")


def _draw_triplet(sheet: Image.Image, triplets: Triplets, row: int, corner: tuple[int, int]) -> None:
    p, votes = float(triplets.p_second[row]), int(triplets.num_votes[row])
    roles = (
        ("anchor", triplets.anchor[row], None),
        ("first", triplets.first[row], 1 - p),
        ("second", triplets.second[row], p),
    )
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=12)
    for column, (role, index, share) in enumerate(roles):
        x, y = corner[0] + GAP + column * (SIDE + GAP), corner[1] + GAP
        picture = _picture(triplets, int(index))
        sheet.paste(picture, (x + (SIDE - picture.width) // 2, y + (SIDE - picture.height) // 2))
        if share is not None and share > 0.5:
            draw.rectangle((x - 3, y - 3, x + SIDE + 2, y + SIDE + 2), outline=WINNER, width=3)
        name = triplets.stimuli.ids[int(index)]
        count = f"{role}" if share is None else f"{role}: {share:.0%} of {votes}"
        draw.text((x, y + SIDE + 4), count, fill=INK, font=font)
        draw.text((x, y + SIDE + 18), _shorten(name, font), fill=INK, font=font)


def _picture(triplets: Triplets, index: int) -> Image.Image:
    """Return an image with its longer side at SIDE pixels."""
    key = triplets.stimuli.ids[index]
    stimuli = triplets.stimuli
    picture = Image.fromarray(decode(stimuli.images[index], key, stimuli.background))
    scale = SIDE / max(picture.size)
    return picture.resize(
        (max(1, round(picture.width * scale)), max(1, round(picture.height * scale))),
        Image.Resampling.BICUBIC,
    )


def _shorten(name: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Return a name that is not wider than a picture: its end, which tells images apart."""
    while name and font.getlength(name) > SIDE:
        name = "…" + name[2:] if name.startswith("…") else "…" + name[1:]
    return name
