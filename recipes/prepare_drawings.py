"""Make the data of drawings.toml from Debian's package openclipart-svg: drawings in the public domain, with titles.

    apt-get install openclipart-svg    (or apt-get download openclipart-svg; dpkg-deb -x openclipart-svg*.deb x)
    pip install resvg-py
    python recipes/prepare_drawings.py /usr/share/openclipart/svg data/drawings

OUT gets

    train/000000.tar   pair shards: a drawing of 64 x 64 pixels, with its title and keywords as caption
    topics.parquet     the same drawings with the number of their topic, the folder of the package
    titles/            retrieval set of held-out drawings with their titles, in the layout of clip-benchmark
    topics/            the held-out drawings of the larger topics, as zero-shot set in the same layout

A title that more than MOST_SHARED other drawings have is that of a collection, so the name of the file takes its
place, and a drawing whose file name is as common is left out. So are copies: files that render to the same pixels.
Equal titles, except for case and numbers, are on one side. Text in a drawing is not rendered, because fonts differ
between machines.
"""

import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pyarrow
import pyarrow.parquet as parquet
from PIL import Image
from webdataset import TarWriter

SEED = 45
SIDE = 64  # pixels
MOST_SHARED = 10
NUM_HELD_OUT = 500
MIN_OF_TOPIC = 10  # held-out drawings
NO_TOPICS = ("special", "unsorted")  # folders without a common subject
WORK = "{http://web.resource.org/cc/}Work"
TITLE = "{http://purl.org/dc/elements/1.1/}title"
KEYWORD = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}li"


@dataclass(frozen=True, slots=True)
class Drawing:
    """A drawing: its file, its title or else the name of the file, its keywords, and the rendered image as PNG."""

    path: Path
    topic: str
    title: str
    keywords: list[str]
    is_titled: bool = True
    image: bytes = b""

    @property
    def unit(self) -> str:
        """The words of the title in lower case, without numbers: never in both splits."""
        return " ".join(re.findall(r"[^\W\d_]+", self.title.lower()))

    @property
    def caption(self) -> str:
        """The title and the keywords that it does not contain."""
        known = self.title.lower()
        return ", ".join([self.title, *(word for word in self.keywords if word.lower() not in known)])


def main(source: Path, out: Path) -> None:
    drawings = list(distinct(named(source)))
    train, held_out = split(drawings)
    write_shard(out / "train" / "000000.tar", train, [drawing.caption for drawing in train], "txt")
    topics = sorted({drawing.topic for drawing in drawings})
    table = {"image": [d.image for d in train], "label": [topics.index(d.topic) for d in train]}
    parquet.write_table(pyarrow.table(table), out / "topics.parquet")
    write_set(out / "titles", held_out, [drawing.title for drawing in held_out], "txt")
    write(out / "titles" / "dataset_type.txt", "retrieval")
    counts = Counter(drawing.topic for drawing in held_out)
    large = [topic for topic in topics if counts[topic] >= MIN_OF_TOPIC and topic not in NO_TOPICS]
    shown = [drawing for drawing in held_out if drawing.topic in large]
    write_set(out / "topics", shown, [str(large.index(drawing.topic)) for drawing in shown], "cls")
    write(out / "topics" / "classnames.txt", *(topic.replace("_", " ") for topic in large))
    write(out / "topics" / "zeroshot_classification_templates.txt", "{c}")
    print(
        f"{len(train):,} drawings to train on, {len(held_out)} held out, {len(shown)} of them in {len(large)} topics"
    )


def named(source: Path) -> list[Drawing]:
    """Return the drawings with a title, or else a file name, that is not common, in the order of their paths."""
    files = [path for path in sorted(source.rglob("*.svg")) if not path.is_symlink()]
    if not files:
        sys.exit(
            f"{source}: no .svg files. Install Debian's package openclipart-svg, or unpack it with dpkg-deb -x"
        )
    found = [read(path, path.relative_to(source).parts[0]) for path in files]
    titled = {drawing.path for drawing in without_common(found)}
    others = [replace(d, title=tidy(d.path.stem), is_titled=False) for d in found if d.path not in titled]
    chosen = {drawing.path: drawing for drawing in (*without_common(others), *without_common(found))}
    return [chosen[path] for path in files if path in chosen]


def without_common(drawings: Sequence[Drawing]) -> list[Drawing]:
    """Return the drawings whose title has words, which at most MOST_SHARED others have."""
    counts = Counter(drawing.unit for drawing in drawings)
    return [drawing for drawing in drawings if drawing.unit and counts[drawing.unit] <= 1 + MOST_SHARED]


def tidy(text: str) -> str:
    return re.sub(r"[\s_-]+", " ", text).strip()


def read(path: Path, topic: str) -> Drawing:
    """Return a drawing without its image; the title is empty if the file has none."""
    work = ElementTree.parse(path).find(f".//{WORK}")
    if work is None:
        return Drawing(path, topic, "", [])
    title = tidy(work.findtext(TITLE, ""))
    words = [(found.text or "").strip() for found in work.iter(KEYWORD)]
    keywords = [word for word in words if word and not re.match(r"hash\b", word, re.IGNORECASE)]
    return Drawing(path, topic, title, keywords)


def distinct(drawings: Sequence[Drawing]) -> Iterator[Drawing]:
    """Yield the drawings with their images, without blank ones and copies."""
    seen = set()
    for drawing in drawings:
        image = render(drawing.path)
        pixels = image.tobytes()
        if pixels not in seen and min(pixels) < max(pixels):
            seen.add(pixels)
            buffer = BytesIO()
            image.save(buffer, "PNG")
            yield replace(drawing, image=buffer.getvalue())


def render(path: Path) -> Image.Image:
    """Return a drawing on a white square of SIDE pixels."""
    from resvg_py import svg_to_bytes

    svg = path.read_text(encoding="utf-8")
    png = svg_to_bytes(svg_string=svg, width=4 * SIDE, dpi=96, background="#ffffff", skip_system_fonts=True)
    image = Image.open(BytesIO(png)).convert("RGB")
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    square = Image.new("RGB", (SIDE, SIDE), "white")
    square.paste(image, ((SIDE - image.width) // 2, (SIDE - image.height) // 2))
    return square


def split(drawings: Sequence[Drawing]) -> tuple[list[Drawing], list[Drawing]]:
    """Return the drawings to train on, and held-out ones, each with a title that no other drawing has."""
    counts = Counter(drawing.unit for drawing in drawings)
    single = [drawing for drawing in drawings if drawing.is_titled and counts[drawing.unit] == 1]
    chosen = np.random.default_rng(SEED).choice(len(single), NUM_HELD_OUT, replace=False)
    held_out = {single[index].path for index in chosen}
    train = [drawing for drawing in drawings if drawing.path not in held_out]
    return train, [drawing for drawing in drawings if drawing.path in held_out]


def write_set(folder: Path, drawings: Sequence[Drawing], labels: Sequence[str], suffix: str) -> None:
    """Write a test set of one shard in the layout of clip-benchmark."""
    write_shard(folder / "test" / "0.tar", drawings, labels, suffix)
    write(folder / "test" / "nshards.txt", "1")


def write_shard(path: Path, drawings: Sequence[Drawing], labels: Sequence[str], suffix: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file, TarWriter(file, mtime=0) as tar:
        for number, (drawing, label) in enumerate(zip(drawings, labels, strict=True)):
            key = f"{number:06d}"
            tar.write({"__key__": key, "png": drawing.image, suffix: label})


def write(path: Path, *lines: str) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
