"""Draw the held-out drawings that a model of drawings.toml finds for a title.

    perceptinit export runs/drawings/random/seed0 open-clip
    python recipes/show_drawings.py data/drawings runs/drawings/random/seed0/export/open-clip retrieved.png

Each row is a title, drawn at random, with the rank of its drawing among all held-out drawings and the nearest drawings
from left to right. A frame marks the drawing of the title.
"""

# N drawings, D embedding
import sys
from pathlib import Path

import numpy as np
import open_clip
import torch
from PIL import Image, ImageDraw

from perceptinit.images.decoding import decode
from perceptinit.test_sets.readers import read_retrieval_set

SEED = 0
NUM_TITLES = 12
NUM_SHOWN = 8
SIDE = 64  # pixels
GAP = 8
MARGIN = 300


def main(data: Path, model: Path, out: Path) -> None:
    found = read_retrieval_set(data / "titles")
    drawings = [Image.fromarray(decode(*each)) for each in zip(found.images, found.keys, strict=True)]
    titles = list(found.captions)
    similarity = compare(model, drawings, titles)
    chosen = np.sort(np.random.default_rng(SEED).choice(len(titles), NUM_TITLES, replace=False))
    draw(drawings, titles, similarity, chosen).save(out)


@torch.no_grad()
def compare(model: Path, drawings: list[Image.Image], titles: list[str]) -> np.ndarray:
    """Return the cosine similarity of titles and drawings, (N, N)."""
    clip, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{model}")
    clip.eval()
    images = clip.encode_image(torch.stack([preprocess(each) for each in drawings]), normalize=True)
    texts = clip.encode_text(open_clip.get_tokenizer(f"local-dir:{model}")(titles), normalize=True)
    return (texts @ images.T).numpy()


def draw(
    drawings: list[Image.Image], titles: list[str], similarity: np.ndarray, rows: np.ndarray
) -> Image.Image:
    """Return a sheet with a row for each of the given titles."""
    step = SIDE + GAP
    sheet = Image.new("RGB", (MARGIN + NUM_SHOWN * step, GAP + len(rows) * step), "white")
    pen = ImageDraw.Draw(sheet)
    for place, row in enumerate(rows):
        top = GAP + place * step
        order = np.argsort(-similarity[row])
        rank = 1 + int(np.flatnonzero(order == row)[0])
        pen.text(
            (GAP, top + SIDE // 3), f"{titles[row][:32]}\nrank {rank} of {len(titles)}", "black", font_size=14
        )
        for column, found in enumerate(order[:NUM_SHOWN]):
            left = MARGIN + column * step
            sheet.paste(drawings[found], (left, top))
            if found == row:
                pen.rectangle(
                    (left - 3, top - 3, left + SIDE + 2, top + SIDE + 2), outline="#0072b2", width=3
                )
    return sheet


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
