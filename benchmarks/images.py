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

import io
import math
import pickle
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import bench
import numpy as np
import train_sets
from PIL import Image

SIZE = 224
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


def make_converter(method: str) -> Callable[[Sequence[bytes]], object]:
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


class Worker:
    """The state of a process: its method, and the files that it converts."""

    convert: Callable[[Sequence[bytes]], object]
    files: Sequence[bytes]
    number = 0  # of the next batch


def start(method: str) -> None:
    """Prepare this process to convert files."""
    Worker.convert = staticmethod(make_converter(method))


def load(path: Path) -> None:
    """Read the files that this process converts next."""
    Worker.files = pickle.loads(path.read_bytes())  # written by `measure`
    Worker.number = 0


def convert_batch(size: int) -> float:
    """Return the CPU microseconds of an image in the next batch."""
    first = size * Worker.number
    Worker.number += 1
    batch = [Worker.files[(first + i) % len(Worker.files)] for i in range(size)]
    begin = time.process_time()
    result = Worker.convert(batch)
    seconds = time.process_time() - begin
    del result
    return 1e6 * seconds / size


Pools = Mapping[str, ProcessPoolExecutor]  # a process of each method


def measure(pools: Pools, files: Sequence[bytes], batch_size: int, rounds: int) -> dict[str, list[float]]:
    """Return the CPU microseconds of each method in each round."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "files"
        path.write_bytes(pickle.dumps(list(files)))
        for pool in pools.values():
            pool.submit(load, path).result()
    sides = {
        method: lambda pool=pool: pool.submit(convert_batch, batch_size).result()
        for method, pool in pools.items()
    }
    return bench.alternate(sides, rounds, warm_up=1)


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
    options = bench.parse(
        __doc__,
        photos=bench.PHOTOS,
        batch_size={"default": 64, "help": "images, and photographs that are enlarged"},
        rounds={"default": 7, "help": "measured batches"},
        tiny={"batch_size": 3, "rounds": 1},
    )
    rng = np.random.default_rng(0)
    photos = list(train_sets.photographs(options.photos)) if options.photos else []
    photos = photos or [train_sets.draw_image(rng) for _ in range(options.batch_size)]
    longest = [max(Image.open(io.BytesIO(photo)).size) for photo in photos]
    photos = [photo for photo, side in zip(photos, longest, strict=True) if side == max(longest)]
    print(
        f"medians of {options.rounds} batches of {options.batch_size}; "
        f"{bench.about('open_clip_torch', 'pillow', 'simplejpeg', 'torch', 'torchvision', threads=1)}"
    )
    sets = {f"native, longest side {max(longest)}": photos}
    some = photos[: options.batch_size]
    for side, quality in SETS[: 1 if options.tiny else None]:
        sets[f"{side} px, quality {quality}"] = enlarged(some, side, quality)
    with ExitStack() as stack:
        pools = {
            method: stack.enter_context(bench.new_processes(initializer=start, initargs=(method,)))
            for method in METHODS
        }
        for name, files in sets.items():
            print(f"{name}, {sum(map(len, files)) / len(files) / 1000:.0f} KB")
            micros = measure(pools, files, options.batch_size, options.rounds)
            for method in METHODS:
                speed = bench.ratio(micros["open_clip"], micros[method])
                print(f"  {method}: {bench.spread(micros[method], 'CPU us', 0)}, {speed}")
            for mode, difference in differences(files[: 2 * options.batch_size]).items():
                print(f"  {mode}: {difference}", flush=True)
    print("half size, unscaled photographs:")
    sharp(photos[: 2 * options.batch_size])


if __name__ == "__main__":
    main()
