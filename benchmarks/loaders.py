"""CPU time per image of batches from perceptinit's loader and from those of other libraries. Linux only.

    python -m venv ENV
    ENV/bin/pip install . opencv-python-headless grain mosaicml-streaming spdl "webdataset>=1"
    ENV/bin/python benchmarks/loaders.py --photos PHOTOS
    ENV/bin/python benchmarks/loaders.py --photos PHOTOS --texts

Each side returns normalized float32 batches of 224 px: a crop of 90 to 100 % of the area, resized to a square. No
side has loader processes. perceptinit reads shards with `PairLoader`, webdataset reads the same shards, and MosaicML
Streaming a copy in its format. The other sides read a folder of JPEG files. Data that were read before stay in memory.

* torchvision: `decode_jpeg` and `v2.RandomResizedCrop` (bicubic, antialiased) on uint8, files shuffled by Python.
* OpenCV: `imdecode` and `resize` with INTER_AREA. Grain, which has no decoder, uses the same.
* webdataset: `decode("pil")` and torchvision's crop of PIL images.
* MosaicML Streaming: files as bytes, then as torchvision.
* SPDL: `crop` and bicubic `scale` of FFmpeg, whose shared libraries must be installed.
* decoding: reading a file and `simplejpeg.decode_jpeg`, without crop, batch and normalization.

The peers normalize a batch in place. With --texts, all sides also return rows of token ids from perceptinit's
tokenizer. The first lines of the output compare perceptinit's and torchvision's pixels of the same crops. Sides
alternate as in `train_vs_open_clip.py`.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import bench
import numpy as np
import train_sets
from images import RATIO, SCALE, Difference
from loader_vs_open_clip import MARK, SIZE, our_batches

NUM_PAIRS, NUM_SHARDS = 2400, 4
TURN_SAMPLES = 1024
PACKAGES = (
    "torch", "torchvision", "opencv-python-headless", "webdataset", "grain", "mosaicml-streaming", "spdl",
    "simplejpeg",
)  # fmt: skip

Pair = tuple[str, str]  # path of a JPEG file, caption
Decode = Callable[[bytes], Any]  # of a JPEG file, to an image (3, S, S) or (S, S, 3)


def write_files(shards: str) -> None:
    """Write the images of shards to a folder beside them, and their captions to a file of it."""
    from perceptinit.pairs.webdataset_pairs import WebdatasetPairs

    folder = Path(shards).parent / "files"
    folder.mkdir()
    pairs = WebdatasetPairs(WebdatasetPairs.Config(shards=shards))
    captions = []
    for index in range(pairs.num_pairs):
        pair = pairs.pair(index)
        (folder / f"{index:06d}.jpg").write_bytes(bytes(pair.image))
        captions.append(str(pair.text))
    (folder / "captions.txt").write_text("\n".join(captions))


def read_pairs(shards: str) -> list[Pair]:
    """Return the paths and captions that `write_files` wrote."""
    folder = Path(shards).parent / "files"
    captions = (folder / "captions.txt").read_text().split("\n")
    return [(str(folder / f"{index:06d}.jpg"), caption) for index, caption in enumerate(captions)]


def read(path: str) -> bytes:
    """Return the bytes of a file."""
    return Path(path).read_bytes()


def shuffled(pairs: Sequence[Pair]) -> Iterator[Pair]:
    """Yield pairs forever, in a new order in each epoch."""
    rng = random.Random(0)
    while True:
        yield from rng.sample(pairs, len(pairs))


def in_batches(pairs: Iterator[Any], size: int) -> Iterator[list[Any]]:
    """Yield lists of consecutive items."""
    while batch := list(islice(pairs, size)):
        yield batch


class Finish:
    """Converts a batch of uint8 images to normalized floats and, if asked, its captions to token ids."""

    def __init__(self, with_texts: bool) -> None:
        import open_clip
        import torch

        from perceptinit.backbones.clip_tokenizer import ClipTokenizer

        self._tokenize = ClipTokenizer() if with_texts else None
        self._mean, self._std = (
            255 * torch.tensor(values)[:, None, None]
            for values in (open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD)
        )

    def __call__(self, images: Any, texts: Sequence[str]) -> int:
        """Return the number of images. images: tensor (B, 3, S, S)."""
        found = images.float().sub_(self._mean).div_(self._std)
        assert found.shape[1:] == (3, SIZE, SIZE)
        if self._tokenize:
            assert len(self._tokenize(texts)) == len(found)
        return len(found)


def torchvision_decode() -> Decode:
    """Return torchvision's decoding and random crop of a file."""
    import torch
    from torchvision.io import ImageReadMode, decode_jpeg
    from torchvision.transforms import v2

    crop = v2.RandomResizedCrop(SIZE, SCALE, RATIO, v2.InterpolationMode.BICUBIC, antialias=True)
    return lambda file: crop(
        decode_jpeg(torch.frombuffer(bytearray(file), dtype=torch.uint8), ImageReadMode.RGB)
    )


def opencv_decode(rng: np.random.Generator) -> Decode:
    """Return OpenCV's decoding and random crop of a file."""
    import cv2

    from perceptinit.pairs.augment import random_box

    cv2.setNumThreads(1)

    def decode(file: bytes) -> np.ndarray:
        image = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR_RGB)
        top, left, height, width = random_box(*image.shape[:2], SCALE, RATIO, rng)
        part = image[top : top + height, left : left + width]
        return cv2.resize(part, (SIZE, SIZE), interpolation=cv2.INTER_AREA)

    return decode


def decoding(shards: str, size: int, with_texts: bool) -> Iterator[int]:
    """Files decoded to whole images."""
    import simplejpeg

    for path, _ in shuffled(read_pairs(shards)):
        simplejpeg.decode_jpeg(read(path))
        yield 1


def torchvision(shards: str, size: int, with_texts: bool) -> Iterator[int]:
    """Files decoded by torchvision."""
    import torch

    decode, finish = torchvision_decode(), Finish(with_texts)
    for batch in in_batches(shuffled(read_pairs(shards)), size):
        paths, texts = zip(*batch, strict=True)
        yield finish(torch.stack([decode(read(path)) for path in paths]), texts)


def opencv(shards: str, size: int, with_texts: bool) -> Iterator[int]:
    """Files decoded by OpenCV."""
    import torch

    decode, finish = opencv_decode(np.random.default_rng(0)), Finish(with_texts)
    for batch in in_batches(shuffled(read_pairs(shards)), size):
        paths, texts = zip(*batch, strict=True)
        images = torch.from_numpy(np.stack([decode(read(path)) for path in paths]))
        yield finish(images.permute(0, 3, 1, 2), texts)


def webdataset(shards: str, size: int, with_texts: bool) -> Iterator[int]:
    """Shards read by webdataset, images decoded by PIL."""
    import webdataset as wds
    from torchvision.transforms import v2

    interpolation = v2.InterpolationMode.BICUBIC
    transform = v2.Compose([v2.RandomResizedCrop(SIZE, SCALE, RATIO, interpolation), v2.PILToTensor()])
    pairs = wds.WebDataset(shards, shardshuffle=NUM_SHARDS).shuffle(1000).repeat().decode("pil")
    finish = Finish(with_texts)
    for images, texts in pairs.to_tuple("jpg", "txt").map_tuple(transform).batched(size):
        yield finish(images, texts)


def grain(shards: str, size: int, with_texts: bool) -> Iterator[int]:
    """Files shuffled and batched by Grain, decoded by OpenCV."""
    import torch
    from grain import MapDataset, ReadOptions

    decode, finish = opencv_decode(np.random.default_rng(0)), Finish(with_texts)
    pairs = MapDataset.source(read_pairs(shards)).shuffle(0).repeat()
    batches = pairs.map(lambda pair: (decode(read(pair[0])), pair[1])).batch(size)
    for images, texts in batches.to_iter_dataset(ReadOptions(num_threads=1, prefetch_buffer_size=2)):
        yield finish(torch.from_numpy(images).permute(0, 3, 1, 2), list(map(str, texts)))


def mosaicml(shards: str, size: int, with_texts: bool) -> Iterator[int]:
    """Files in MosaicML's shards, decoded by torchvision."""
    import torch
    from streaming import MDSWriter, StreamingDataset

    folder = f"{Path(shards).parent}/mosaicml"
    with MDSWriter(columns={"image": "bytes", "text": "str"}, out=folder) as writer:
        for path, text in read_pairs(shards):
            writer.write({"image": read(path), "text": text})
    decode, finish = torchvision_decode(), Finish(with_texts)
    pairs = StreamingDataset(local=folder, shuffle=True, batch_size=size)
    while True:
        for batch in in_batches(iter(pairs), size):
            images = torch.stack([decode(pair["image"]) for pair in batch])
            yield finish(images, [pair["text"] for pair in batch])


def spdl(shards: str, size: int, with_texts: bool) -> Iterator[int]:
    """Files decoded and resized by SPDL in a thread of its pipeline."""
    from spdl import io
    from spdl.pipeline import PipelineBuilder

    from perceptinit.pairs.augment import random_box

    rng, finish = np.random.default_rng(0), Finish(with_texts)

    def decode(path: str) -> Any:
        packets = io.demux_image(path)
        top, left, height, width = random_box(packets.height, packets.width, SCALE, RATIO, rng)
        crop = f"crop={width}:{height}:{left}:{top},scale={SIZE}:{SIZE}:flags=bicubic,format=pix_fmts=rgb24"
        return io.decode_packets(packets, filter_desc=crop)

    def load(batch: Sequence[Pair]) -> tuple[Any, tuple[str, ...]]:
        paths, texts = zip(*batch, strict=True)
        return io.to_torch(io.convert_frames([decode(path) for path in paths])), texts

    pairs = read_pairs(shards)
    decode(pairs[0][0])  # an error in the pipeline, such as missing libraries of FFmpeg, would not end it
    source = in_batches(shuffled(pairs), size)
    pipeline = PipelineBuilder().add_source(source).pipe(load).add_sink(2).build(num_threads=1)
    with pipeline.auto_stop():
        for images, texts in pipeline:
            yield finish(images.permute(0, 3, 1, 2), texts)


def perceptinit(shards: str, size: int, with_texts: bool) -> Iterator[int]:
    """Shards read and decoded by perceptinit."""
    yield from our_batches(shards, size, 0, with_texts=with_texts)


SIDES: dict[str, Callable[[str, int, bool], Iterator[int]]] = {
    "perceptinit": perceptinit,
    "decoding": decoding,
    "torchvision": torchvision,
    "opencv": opencv,
    "webdataset": webdataset,
    "grain": grain,
    "mosaicml": mosaicml,
    "spdl": spdl,
}


def run_side(name: str, shards: str, size: int, with_texts: bool) -> None:
    """Load batches until killed, and report the end of each turn on standard error."""
    import torch

    from perceptinit.compute.devices import keep_freed_memory

    keep_freed_memory()  # as in a run, for all sides
    torch.set_num_threads(1)
    found = 0
    for number in SIDES[name](shards, size, with_texts):
        found += number
        if found >= TURN_SAMPLES:
            found -= TURN_SAMPLES
            print(MARK, file=sys.stderr, flush=True)


def compare_pixels(files: Sequence[bytes]) -> Difference:
    """Return the difference of perceptinit's pixels from torchvision's for the same boxes."""
    import torch
    from torchvision.io import ImageReadMode, decode_jpeg
    from torchvision.transforms import v2

    from perceptinit.images.decoding import load_box
    from perceptinit.pairs.augment import random_box

    found = Difference()
    rng = np.random.default_rng(0)
    for file in files:
        image = decode_jpeg(torch.frombuffer(bytearray(file), dtype=torch.uint8), ImageReadMode.RGB)
        box = random_box(*image.shape[1:], SCALE, RATIO, rng)
        theirs = v2.functional.resized_crop(
            image, *box, [SIZE, SIZE], v2.InterpolationMode.BICUBIC, antialias=True
        )
        found.add(load_box(file, "", SIZE, lambda height, width, box=box: box), theirs.numpy())
    return found


def main() -> None:
    options = bench.parse(
        __doc__,
        photos=bench.PHOTOS,
        batch_size=64,
        rounds=5,
        texts={"default": False, "help": "token ids too"},
        sides={"default": list(SIDES), "choices": list(SIDES), "help": "what is measured"},
        run={"help": argparse.SUPPRESS},  # the side that this process is
        shards={"help": argparse.SUPPRESS},
        tiny={"rounds": 1, "sides": ["perceptinit", "decoding", "torchvision"]},
    )
    if options.run:
        run_side(options.run, options.shards, options.batch_size, options.texts)
        return
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PERCEPTINIT_CACHE"] = f"{folder}/cache"  # indexes of these shards
        shards = train_sets.write_shards(Path(folder), NUM_PAIRS, NUM_SHARDS, options.photos)
        versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES if bench.is_installed(name))
        print(
            f"images{' and texts' if options.texts else ''}, batch {options.batch_size}, medians of "
            f"{options.rounds} turns of {TURN_SAMPLES}; {bench.about(threads=1)}; {versions}"
        )
        write_files(shards)
        files = [read(path) for path, _ in read_pairs(shards)[:64]]
        print(
            f"{sum(map(len, files)) / len(files) / 1000:.0f} KB a file; with torchvision: {compare_pixels(files)}"
        )
        command = [sys.executable, __file__, *sys.argv[1:], "--shards", shards, "--run"]
        starts = [partial(bench.PausedProcess, name, [*command, name], MARK) for name in options.sides]
        # the first turns start interpreters, write MosaicML's shards and fill buffers
        bench.race(starts, options.rounds, 2, TURN_SAMPLES)
        batches = perceptinit(shards, options.batch_size, options.texts)
        next(batches)  # imports, and the index of the shards
        work = partial(list, islice(batches, TURN_SAMPLES // options.batch_size))
        print(f"perceptinit, {bench.profile_here(work)}")


if __name__ == "__main__":
    main()
