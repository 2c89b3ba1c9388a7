"""JPEG files to 224 x 224 pixels in both modes, compared with open_clip's transform: CPU time and difference from PIL.

    python benchmarks/images.py --photos PHOTOS

The peer is `open_clip.image_transform(224, is_train=True)` on PIL images: crop, bicubic resize, floats,
normalization. perceptinit returns uint8, as in loaders, because the image tower normalizes. Each method runs in its
own process, in alternation, and stores a batch until it is complete, as loaders do.

Images of 768 x 768 and 1024 x 1024 are photographs enlarged (Lanczos) with sensor noise (sigma 1), at three
JPEG qualities; "native" images are unchanged photographs. Enlarged images have less detail than a photograph of
that size, which favors the fast mode. The last table therefore uses unscaled photographs, by the number of pixels
per pixel of the square after the reduction.

PSNR is computed over all images. "same box": compared with PIL's crop and bicubic resize of the whole pixels that
the fast mode uses. "same draws": compared with the sampled box, which is up to a pixel larger at each side.
"""

from __future__ import annotations

import argparse
import io
import math
import os
import pickle
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
import train_sets as made

SIZE = 224
BATCH = 64
SCALE, RATIO = (0.9, 1.0), (0.75, 1.3333)  # of open_clip's crop
METHODS = ("open_clip", "quality", "fast")
SETS = ((768, 75), (768, 90), (768, 95), (1024, 90))


def enlarged(photos: Sequence[bytes], side: int, quality: int) -> list[bytes]:
    """Return center squares of photographs, enlarged, with noise."""
    rng = np.random.default_rng(0)
    files = []
    for photo in photos:
        image = Image.open(io.BytesIO(photo)).convert("RGB")
        short = min(image.size)
        left, top = ((length - short) // 2 for length in image.size)
        box = (left, top, left + short, top + short)
        pixels = np.asarray(image.resize((side, side), Image.Resampling.LANCZOS, box=box), float)
        noisy = np.clip(pixels + rng.normal(0, 1, pixels.shape), 0, 255).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(noisy).save(file, "JPEG", quality=quality)
        files.append(file.getvalue())
    return files


def worker(method: str) -> Callable[[Sequence[bytes]], object]:
    """Return a function that converts a batch of files to squares."""
    import torch

    torch.set_num_threads(1)
    if method == "open_clip":
        import open_clip

        transform = open_clip.image_transform(
            SIZE,
            is_train=True,
            mean=open_clip.OPENAI_DATASET_MEAN,
            std=open_clip.OPENAI_DATASET_STD,
        )
        return lambda files: [transform(Image.open(io.BytesIO(file))) for file in files]
    from perceptinit.compute.devices import keep_freed_memory
    from perceptinit.pairs.augment import Augment
    from perceptinit.seeding import generator

    keep_freed_memory()  # as in a run
    augment = Augment(scale=SCALE, ratio=RATIO, decoding=method)

    def fill(files: Sequence[bytes]) -> np.ndarray:
        batch = np.empty((len(files), SIZE, SIZE, 3), np.uint8).transpose(0, 3, 1, 2)  # as in a run
        for place, file in enumerate(files):
            batch[place] = augment(file, SIZE, generator(0, "augment", 0, place))
        return batch

    return fill


def serve(method: str, path: str) -> None:
    """Process a batch for each line on standard input, and print CPU microseconds per image."""
    files = pickle.loads(Path(path).read_bytes())  # our own, of a moment ago
    work = worker(method)
    for number, _ in enumerate(sys.stdin):
        batch = [files[(number * BATCH + i) % len(files)] for i in range(BATCH)]
        begin = time.process_time()
        result = work(batch)
        print(1e6 * (time.process_time() - begin) / BATCH, flush=True)
        del result


def measure(files: Sequence[bytes], rounds: int) -> dict[str, float]:
    """Return the median microseconds of each method, alternating."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "files"
        path.write_bytes(pickle.dumps(list(files)))
        sides = {
            method: subprocess.Popen(
                [sys.executable, __file__, "--serve", method, str(path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
            for method in METHODS
        }
        spent: dict[str, list[float]] = {method: [] for method in METHODS}
        for index in range(-1, rounds):
            for method, side in sides.items():
                assert side.stdin
                assert side.stdout
                print(file=side.stdin, flush=True)
                micros = float(side.stdout.readline())
                if index >= 0:
                    spent[method].append(micros)
        for side in sides.values():
            assert side.stdin
            side.stdin.close()
            side.wait()
    return {method: statistics.median(values) for method, values in spent.items()}


def with_pil(file: bytes, box: tuple[int, int, int, int], size: int = SIZE) -> np.ndarray:
    """Return PIL's crop and bicubic resize, uint8 (3, S, S)."""
    top, left, height, width = box
    square = Image.open(io.BytesIO(file)).convert("RGB")
    square = square.crop((left, top, left + width, top + height))
    square = square.resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(square).transpose(2, 0, 1)


class Difference:
    """Collects differences between squares, in gray levels."""

    def __init__(self) -> None:
        self.squares: list[float] = []
        self.means: list[float] = []
        self.most = 0

    def add(self, ours: np.ndarray, theirs: np.ndarray) -> None:
        gap = np.abs(ours.astype(int) - theirs)
        self.squares.append(float((gap**2).mean()))
        self.means.append(float(gap.mean()))
        self.most = max(self.most, int(gap.max()))

    def __str__(self) -> str:
        error = statistics.mean(self.squares)
        decibel = 10 * math.log10(255**2 / error) if error else math.inf
        return f"PSNR {decibel:.1f} dB, mean {statistics.mean(self.means):.3f}, most {self.most}"


def differences(files: Sequence[bytes]) -> dict[str, Difference]:
    """Return the differences of both modes from PIL."""
    from perceptinit.images import jpeg
    from perceptinit.images.decoding import load_box
    from perceptinit.pairs.augment import random_box

    names = ("quality", "fast, same box", "fast, same draws")
    found = {name: Difference() for name in names}
    for place, file in enumerate(files):
        width, height = Image.open(io.BytesIO(file)).size
        box = random_box(height, width, SCALE, RATIO, np.random.default_rng(place))
        whole = with_pil(file, box)
        fast = load_box(file, "", SIZE, lambda h, w, box=box: box, "fast")
        factor = jpeg.factor_for(box, SIZE)
        kept = tuple(factor * length for length in jpeg.reduce_box(box, factor))
        quality = load_box(file, "", SIZE, lambda h, w, box=box: box)
        found["quality"].add(quality, whole)
        found["fast, same box"].add(fast, with_pil(file, kept))
        found["fast, same draws"].add(fast, whole)
    return found


def sharp(photos: Sequence[bytes]) -> None:
    """Print the difference at half size for unscaled photographs, by size of the square."""
    from perceptinit.images import jpeg
    from perceptinit.images.decoding import resize_box

    for spare in (1.5, 1.6, 1.75, 2.0, 2.5, 3.0):
        found = Difference()
        for photo in photos:
            width, height = Image.open(io.BytesIO(photo)).size
            side = min(width, height) // 2 * 2
            size = round(side / 2 / spare)
            half = jpeg.decode(photo, 2)
            assert half is not None
            square = resize_box(half, (0, 0, side // 2, side // 2), size)
            found.add(square, with_pil(photo, (0, 0, side, side), size))
        print(f"  {spare:.2f} pixels for each of the square: {found}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--photos", type=Path, help="folder or tar file of JPEG photographs")
    parser.add_argument("--rounds", type=int, default=7, help="measured batches of 64")
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)  # a side of the comparison
    asked = parser.parse_args()
    if asked.serve:
        serve(*asked.serve)
        return
    rng = np.random.default_rng(0)
    photos = list(made.photographs(asked.photos)) if asked.photos else []
    photos = photos or [made.draw_image(rng) for _ in range(BATCH)]
    longest = [max(Image.open(io.BytesIO(photo)).size) for photo in photos]
    photos = [p for p, side in zip(photos, longest, strict=True) if side == max(longest)]
    packages = ("open_clip_torch", "pillow", "simplejpeg", "torch", "torchvision")
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, 1 thread, medians of "
        f"{asked.rounds} batches of {BATCH}; {', '.join(f'{p} {version(p)}' for p in packages)}"
    )
    sets = {f"native, longest side {max(longest)}": photos}
    some = photos[:BATCH]
    sets |= {f"{s} px, quality {q}": enlarged(some, s, q) for s, q in SETS}
    for name, files in sets.items():
        print(f"{name}, {sum(map(len, files)) / len(files) / 1000:.0f} KB")
        micros = measure(files, asked.rounds)
        told = [f"{m} {micros[m]:.0f} us ({micros['open_clip'] / micros[m]:.2f} x)" for m in METHODS]
        print(f"  CPU: {', '.join(told)}")
        for mode, difference in differences(files[: 2 * BATCH]).items():
            print(f"  {mode}: {difference}", flush=True)
    print("half size, unscaled photographs:")
    sharp(photos[: 2 * BATCH])


if __name__ == "__main__":
    main()
