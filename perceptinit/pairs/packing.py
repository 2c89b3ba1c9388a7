"""Pack images with captions or labels into tar shards or a test set. The same input gives the same bytes.

A shard gets its name when it is complete, so the same command resumes at the first missing shard. A journal
with the settings marks an unfinished dataset; `index.json` replaces it.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict

from perceptinit.errors import DataError, UsageError
from perceptinit.files.atomic import atomic_path, remove_files, temporaries, write_file, write_json
from perceptinit.files.reading import parse_rows, read_json
from perceptinit.images.encoded import read
from perceptinit.pairs.pack_sources import QUALITY, Source, convert
from perceptinit.pairs.shard_index import scan
from perceptinit.pairs.sizes import JOURNAL, SIZES
from perceptinit.pairs.tar_file import TarFile

UNREADABLE = "unreadable.txt"
_INDEX = "index.json"
_TEST_SPLIT = "test"  # folder of test-set shards; clip-benchmark reads the split with this name
_ROWS_AHEAD = 256  # records that are decoded before they are written


@dataclass(frozen=True, slots=True, kw_only=True)
class PackSettings:
    """Settings of `pack`.

    Attributes:
        test_set: Write the clip-benchmark layout instead of pair shards.
        templates: Prompts of a test set; in pair shards, captions of labeled records without text.
        shard_size: Records per shard.
        resize: Limit for the shorter side of images, pixels; 0 keeps their bytes.
        max_bad_share: Maximum share of unreadable records.
        num_workers: Number of threads that read and decode images.
    """

    test_set: bool = False
    templates: tuple[str, ...] = ()
    shard_size: int = 10_000
    resize: int = 0
    max_bad_share: float = 0.0
    num_workers: int = 2


@dataclass(frozen=True, slots=True)
class Packed:
    """A packed dataset.

    Attributes:
        counts: Number of samples of each shard by name.
        num_kept: Number of shards that an earlier call wrote.
        unreadable: A message for each record that was skipped.
    """

    counts: dict[str, int]
    num_kept: int
    unreadable: Sequence[str]


class _Index(TypedDict):
    packing: dict[str, Any]


def pack(source: Source, out: Path, settings: PackSettings, advance: Callable[[int], None]) -> Packed:
    """Pack `source` into the folder `out`. Unreadable records are listed in unreadable.txt.

    Args:
        source: The records to pack.
        out: Output folder: new, or left by an interrupted call with the same arguments.
        settings: See `PackSettings`.
        advance: Receives the number of records packed since its last call.

    Raises:
        DataError: If more than `max_bad_share` of the records are unreadable.
        UsageError: If source and settings do not match, or `out` contains other files.
    """
    _check(source, settings)
    header = _describe_packing(source, settings)
    _check_folder(out, header)
    remove_files([*temporaries(out), *temporaries(out / _TEST_SPLIT)])
    shards = _plan_shards(source, settings)
    unreadable = _read_lines(out / UNREADABLE)
    counts = _count_finished(out, shards, len(unreadable))
    num_kept = len(counts)
    num_rows = sum(len(shards[name]) for name in counts)
    del unreadable[num_rows - sum(counts.values()) :]  # those of an unfinished shard
    advance(num_rows)
    _check_share(unreadable, source, settings)
    _write_lines(out / JOURNAL, [json.dumps(header)])
    for name in [*shards][num_kept:]:
        with atomic_path(out / name, synced=True) as temporary:
            skipped = _write_shard(temporary, source, shards[name], settings, advance)
            unreadable += skipped
            _write_lines(out / UNREADABLE, unreadable)
            _check_share(unreadable, source, settings)
        counts[name] = len(shards[name]) - len(skipped)
    _describe(source, out, settings, counts)
    write_json(out / _INDEX, {"num_samples": sum(counts.values()), "packing": header})
    remove_files([out / JOURNAL])
    return Packed(counts, num_kept, unreadable)


def _check(source: Source, settings: PackSettings) -> None:
    bad = [t for t in settings.templates if "{c}" not in t]
    if bad:
        raise UsageError(f"template {bad[0]!r} has no {{c}}. Add it where the class name belongs")
    if settings.test_set and source.classes is None:
        raise UsageError(
            "a test set needs labels. Use class folders, or --columns label=COLUMN,class=COLUMN for a table"
        )
    if settings.test_set and not settings.templates:
        raise UsageError('a test set needs prompts. Add --template "a photo of a {c}."')
    if not settings.test_set and not source.has_texts and source.classes is None:
        raise UsageError(
            "the source has neither captions nor labels. Add --columns text=COLUMN or label=COLUMN"
        )
    if not source.num_records:
        raise DataError("nothing to pack: the source has no records")


def _describe_packing(source: Source, settings: PackSettings) -> dict[str, Any]:
    """Return the settings that determine the bytes of the shards, as JSON values."""
    return {
        "version": 1,
        "source": source.fingerprint,
        "classes": list(source.classes.names) if source.classes else None,
        "texts": source.has_texts,
        "test_set": settings.test_set,
        "templates": list(settings.templates),
        "shard_size": settings.shard_size,
        "resize": settings.resize,
        "quality": QUALITY if settings.resize else None,
    }


def _check_folder(folder: Path, header: Mapping[str, Any]) -> None:
    """Raise UsageError if a folder contains another dataset or other files."""
    found = list(_read_headers(folder))
    if not found and any(folder.glob("[!.]*")):
        raise UsageError(f"{folder} is not empty and contains no packed dataset. Choose another folder")
    for other in found:
        changed = [key for key in header if other.get(key) != header[key]]
        if changed:
            how = "; ".join(f"{key} was {other.get(key)!r}, now {header[key]!r}" for key in changed)
            raise UsageError(
                f"{folder} contains another dataset ({how}). Choose another folder, or remove this one"
            )


def _read_headers(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the settings in the journal of unfinished packing and in the index."""
    if (folder / JOURNAL).is_file():
        with (folder / JOURNAL).open(encoding="utf-8", errors="replace") as file:
            yield from parse_rows([file.readline()])
    if (folder / _INDEX).is_file():
        what = "the index of a packed dataset; remove it to pack again"
        yield read_json(folder / _INDEX, _Index, what)["packing"]


def _plan_shards(source: Source, settings: PackSettings) -> dict[str, range]:
    """Return the file name and the records of each shard."""
    name = _TEST_SPLIT + "/{}.tar" if settings.test_set else "{:06d}.tar"
    rows = range(source.num_records)
    starts = rows[:: settings.shard_size]
    return {name.format(i): rows[start : start + settings.shard_size] for i, start in enumerate(starts)}


def _count_finished(folder: Path, shards: Mapping[str, range], num_listed: int) -> dict[str, int]:
    """Return the number of samples of each shard before the first one that is missing or damaged.

    num_listed: Number of records in unreadable.txt. A shard that lacks more records is packed again.
    """
    counts: dict[str, int] = {}
    for name, rows in shards.items():
        try:
            num_samples = scan(TarFile(folder / name)).num_samples
        except DataError:
            break
        num_listed -= len(rows) - num_samples
        if num_listed < 0:
            break
        counts[name] = num_samples
    return counts


def _check_share(unreadable: Sequence[str], source: Source, settings: PackSettings) -> None:
    """Raise DataError if more records are unreadable than allowed."""
    num_allowed = int(settings.max_bad_share * source.num_records)
    if len(unreadable) > num_allowed:
        raise DataError(
            f"{len(unreadable)} of {source.num_records} records are unreadable, but --max-bad-share "
            f"{settings.max_bad_share:g} allows {num_allowed}. All are listed in {UNREADABLE}; the last is "
            f"{unreadable[-1]}"
        )


def _write_shard(
    path: Path, source: Source, rows: range, settings: PackSettings, advance: Callable[[int], None]
) -> list[str]:
    """Write the readable records of a shard, and return a message for each of the others."""
    from webdataset import TarWriter

    unreadable = []
    prepare = partial(_prepare_sample, source, settings)
    with (
        path.open("wb") as file,
        TarWriter(file, encoder=False, mtime=0) as tar,  # a fixed time, for equal bytes
        ThreadPoolExecutor(settings.num_workers) as pool,
    ):
        for start in range(0, len(rows), _ROWS_AHEAD):
            for sample in pool.map(prepare, rows[start : start + _ROWS_AHEAD]):
                advance(1)
                if isinstance(sample, str):
                    unreadable.append(sample)
                else:
                    tar.write(sample)
    return unreadable


def _prepare_sample(source: Source, settings: PackSettings, row: int) -> dict[str, str | bytes] | str:
    """Return the key and the members of a sample, or a message of one line if its record is unreadable."""
    try:
        where, image, text = source.record(row)
        extension, data = convert(read(image, where), where, settings.resize)
        if source.has_texts and not text:
            raise DataError(f"{where}: no caption")
    except DataError as error:
        return str(error).replace("\n", " ")
    key = f"s{row:07d}" if settings.test_set else f"{row:09d}"
    sample: dict[str, str | bytes] = {"__key__": key, extension: data}
    if source.classes is not None:
        label = int(source.classes.labels[row])
        sample["cls"] = str(label).encode()
        if settings.templates and not (source.has_texts or settings.test_set):
            text = settings.templates[row % len(settings.templates)].format(c=source.classes.names[label])
    if text:
        sample["txt"] = text.encode()
    return sample


def _describe(source: Source, out: Path, settings: PackSettings, counts: Mapping[str, int]) -> None:
    """Write the numbers of samples, the class names and, for a test set, the clip-benchmark layout."""
    if source.classes is not None:
        _write_lines(out / "classnames.txt", source.classes.names)
    if settings.test_set:
        _write_lines(out / "zeroshot_classification_templates.txt", settings.templates)
        _write_lines(out / _TEST_SPLIT / "nshards.txt", [str(len(counts))])
    folder = out / _TEST_SPLIT if settings.test_set else out
    write_json(folder / SIZES, {Path(name).name: count for name, count in counts.items()})


def _read_lines(path: Path) -> list[str]:
    """Return the lines of a file; empty without the file."""
    if not path.is_file():
        return []
    return path.read_text(encoding="utf-8", errors="surrogateescape").split("\n")[:-1]


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    """Write lines atomically; without lines, remove the file."""
    if not lines:
        path.unlink(missing_ok=True)
        return
    text = "".join(f"{line}\n" for line in lines)
    write_file(path, text.encode("utf-8", "surrogateescape"), synced=True)
