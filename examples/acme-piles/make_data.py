"""Render 32 images in four color families, and simulate five participants who sort them."""

import csv
import random
from pathlib import Path

from PIL import Image, ImageDraw

COLOURS = [(200, 40, 40), (40, 160, 60), (50, 70, 200), (220, 180, 40)]
rng = random.Random(0)


def draw_image(colour: tuple[int, int, int]) -> Image.Image:
    image = Image.new("RGB", (32, 32), (128, 128, 128))
    x, y, r = rng.randint(8, 24), rng.randint(8, 24), rng.randint(5, 8)
    shade = tuple(max(0, min(255, c + rng.randint(-30, 30))) for c in colour)
    ImageDraw.Draw(image).ellipse((x - r, y - r, x + r, y + r), fill=shade)
    return image


Path("images").mkdir(exist_ok=True)
family = {f"disc_{i:02d}.png": i % 4 for i in range(32)}
for name, colour in family.items():
    draw_image(COLOURS[colour]).save(Path("images") / name)

with open("piles.csv", "w", newline="") as file:
    table = csv.writer(file)
    table.writerow(["subject", "image", "pile"])
    for subject in ("ada", "ben", "cem", "dora", "eli"):
        for name, colour in family.items():
            slip = rng.random() < 0.1
            table.writerow([subject, name, rng.randrange(4) if slip else colour])
