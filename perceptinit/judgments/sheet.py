"""An image with example triplets and their votes."""

# SIDE height and width of an example image, pixels
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from perceptinit.files.atomic import atomic_path
from perceptinit.images.decoding import decode
from perceptinit.seeding import generator
from perceptinit.types import Triplets

SIDE = 160
GAP = 10
CAPTION = 34
COLUMNS = 2
WINNER = (0, 130, 60)
INK = (30, 30, 30)


def write_sheet(triplets: Triplets, path: Path, count: int) -> None:
    """Save an image of up to `count` random triplets with their votes; a frame marks the winner.

    Raises:
        DataError: If an image cannot be decoded.
    """
    rng = generator(0, "judgments", "sheet")
    rows = np.sort(rng.choice(len(triplets), size=min(count, len(triplets)), replace=False))
    cell = (3 * SIDE + 4 * GAP, SIDE + CAPTION + GAP)
    lines = -(-len(rows) // COLUMNS)
    sheet = Image.new("RGB", (min(COLUMNS, len(rows)) * cell[0], lines * cell[1] + GAP), "white")
    for place, row in enumerate(rows.tolist()):
        _draw_triplet(sheet, triplets, row, (place % COLUMNS * cell[0], place // COLUMNS * cell[1]))
    with atomic_path(path) as temporary:
        sheet.save(temporary, format="PNG")


def _draw_triplet(sheet: Image.Image, triplets: Triplets, row: int, corner: tuple[int, int]) -> None:
    p = float(triplets.p_second[row])
    votes = int(triplets.num_votes[row])
    stimuli = triplets.stimuli
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=12)
    roles = zip(("anchor", "first", "second"), triplets.roles[:, row].tolist(), (None, 1 - p, p), strict=True)
    for column, (role, index, share) in enumerate(roles):
        x = corner[0] + GAP + column * (SIDE + GAP)
        y = corner[1] + GAP
        name = stimuli.ids[index]
        image = Image.fromarray(decode(stimuli.images[index], name, stimuli.background))
        scale = SIDE / max(image.size)
        width = max(1, round(image.width * scale))
        height = max(1, round(image.height * scale))
        image = image.resize((width, height), Image.Resampling.BICUBIC)
        sheet.paste(image, (x + (SIDE - width) // 2, y + (SIDE - height) // 2))
        if share is not None and share > 0.5:
            draw.rectangle((x - 3, y - 3, x + SIDE + 2, y + SIDE + 2), outline=WINNER, width=3)
        caption = role if share is None else f"{role}: {share:.0%} of {votes}"
        draw.text((x, y + SIDE + 4), caption, fill=INK, font=font)
        while font.getlength(name) > SIDE:  # names differ mostly at the end
            name = "…" + name.removeprefix("…")[1:]
        draw.text((x, y + SIDE + 18), name, fill=INK, font=font)
