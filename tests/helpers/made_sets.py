"""Tiny test sets in the clip-benchmark layout."""

import io

import numpy as np
from PIL import Image

from helpers.tars import write_tar


def png(value):
    """Return an image of 4 x 4 pixels whose colors depend on the value."""
    pixels = np.random.default_rng(value).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def write_shard(path, samples):
    """Write a shard of samples, given as {extension: bytes}, with the number of shards next to it."""
    members = [
        (f"s{number:07d}.{extension}", data)
        for number, sample in enumerate(samples)
        for extension, data in sample.items()
    ]
    write_tar(path, members)
    (path.parent / "nshards.txt").write_text("1")


def labelled_set(folder, labels, num_classes, *, images=None, splits=("test",)):
    """Write a set with one `.cls` per sample; by default, images of a class are identical."""
    images = images or [png(label) for label in labels]
    samples = [
        {"png": image, "cls": str(label).encode()} for image, label in zip(images, labels, strict=True)
    ]
    for split in splits:
        write_shard(folder / split / "0.tar", samples)
    (folder / "classnames.txt").write_text("".join(f"class {i}\n" for i in range(num_classes)))
    (folder / "zeroshot_classification_templates.txt").write_text("a {c}\nthe {c}\n")


def multilabel_set(folder, rows):
    """Write a set with one multi-hot `.npy` per sample."""
    samples = []
    for i, row in enumerate(rows):
        file = io.BytesIO()
        np.save(file, np.array(row))
        samples.append({"png": png(i), "npy": file.getvalue()})
    write_shard(folder / "test" / "0.tar", samples)
    (folder / "dataset_type.txt").write_text("multilabel")
    (folder / "classnames.txt").write_text("".join(f"class {i}\n" for i in range(len(rows[0]))))
    (folder / "zeroshot_classification_templates.txt").write_text("a {c}\n")


def caption_set(folder, captions):
    """Write a set with the captions of each image in a `.txt` file."""
    samples = [{"png": png(i), "txt": "\n".join(texts).encode()} for i, texts in enumerate(captions)]
    write_shard(folder / "test" / "0.tar", samples)
    (folder / "dataset_type.txt").write_text("retrieval\n")
