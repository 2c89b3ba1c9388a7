"""Write all shards of a dataset in parallel, then the index and the files of a test set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Event, Lock
from typing import Any

from perceptinit.companion import atomic_path
from perceptinit.plugin import SIZES, DataError, UsageError, remove_files, write_json
from perceptinit_packing.journal import INDEX, TEST_SPLIT, Journal, seal
from perceptinit_packing.parts import Part
from perceptinit_packing.shards import ImageSettings, Shard, Written, write_shard
from perceptinit_packing.sources import Source

UNREADABLE = "unreadable.txt"


@dataclass(frozen=True, slots=True, kw_only=True)
class PackSettings:
    """Settings of `pack`.

    Attributes:
        test_set: Write the clip-benchmark layout instead of pair shards.
        templates: Prompts of a test set; in pair shards, captions of labeled records without text.
        limit: Number of records to pack, starting with the first; 0 packs all records.
        shard_size: Records per shard.
        image: Image storage settings.
        max_bad_share: Maximum share of unreadable records among all records, not only those of a part.
        num_workers: Number of shards written in parallel.
        part: The part to pack, without the index. None packs all shards and writes the index.
    """

    test_set: bool = False
    templates: tuple[str, ...] = ()
    limit: int = 0
    shard_size: int = 10_000
    image: ImageSettings = field(default_factory=ImageSettings)
    max_bad_share: float = 0.0
    num_workers: int = 2
    part: Part | None = None

    @property
    def unreadable(self) -> str:
        """File name of the list of unreadable records."""
        return self.part.name(UNREADABLE) if self.part else UNREADABLE


@dataclass(frozen=True, slots=True)
class Packed:
    """The result of `pack`. kept: number of shards that an earlier call finished."""

    num_samples: int
    num_bytes: int
    num_shards: int
    kept: int
    unusable: tuple[str, ...]


def pack(source: Source, out: Path, settings: PackSettings, advance: Callable[[int], None]) -> Packed:
    """Pack `source` into the folder `out`.

    Shards are written atomically. Finished shards of interrupted calls and of parts are not rewritten.
    Unreadable records are listed in unreadable.txt.

    Args:
        source: The records to pack.
        out: Output folder.
        settings: See `PackSettings`.
        advance: Receives the number of records packed since its last call; called from several threads.

    Raises:
        DataError: If more than `max_bad_share` of the records are unreadable.
        UsageError: If source and settings do not match, or `out` contains other files.
    """
    _check(source, settings)
    shards = shards_of(source, settings)
    journal = Journal(out, _header(source, settings), [s.name for s in shards], settings.part)
    kept = [journal.finished[s.name] for s in shards if s.name in journal.finished]
    advance(sum(w.num_samples + len(w.unusable) for w in kept))
    tally = _Tally(settings, _num_records(source, settings), advance, [*_sentences(kept)])
    try:
        tally.check()
        if len(kept) < len(shards):
            journal.start()
            _write_all(source, out, settings, shards, journal, tally)
    except BaseException:
        _write_text(out / settings.unreadable, tally.unusable)
        raise
    written = [journal.finished[shard.name] for shard in shards]
    if settings.part:
        _write_text(out / settings.unreadable, ())  # left by a failed call
    else:
        _describe(source, out, settings, written)
        journal.close()
    return Packed(
        sum(w.num_samples for w in written),
        sum(w.num_bytes for w in written),
        len(written),
        len(kept),
        _sentences(written),
    )


class _StoppedError(Exception):
    """Another shard failed."""


@dataclass(eq=False)
class _Tally:
    """Count records over all threads, and stop the threads if too many records are unreadable."""

    settings: PackSettings
    num_records: int
    advance: Callable[[int], None]
    unusable: list[str]
    stop: Event = field(default_factory=Event)
    _lock: Lock = field(default_factory=Lock)

    def note(self, complaint: str | None) -> None:
        """Count a record; raise an error if packing must stop."""
        if self.stop.is_set():
            raise _StoppedError
        self.advance(1)
        if complaint is not None:
            with self._lock:
                self.unusable.append(complaint)
                self.check()

    def check(self) -> None:
        """Raise DataError if more records are unreadable than allowed."""
        share, found = self.settings.max_bad_share, len(self.unusable)
        if found > share * self.num_records:
            allowed = int(share * self.num_records)
            raise DataError(
                f"{found} of {self.num_records} records are unreadable, but --max-bad-share {share:g} allows "
                f"{allowed}. All are listed in {self.settings.unreadable}; the last is {self.unusable[-1]}"
            )


def _write_all(
    source: Source,
    out: Path,
    settings: PackSettings,
    shards: Sequence[Shard],
    journal: Journal,
    tally: _Tally,
) -> None:
    def write(shard: Shard) -> None:
        journal.add(write_shard(source, shard, out / shard.name, settings.image, tally.note))

    with ThreadPoolExecutor(settings.num_workers) as pool:
        tasks = [pool.submit(write, s) for s in shards if s.name not in journal.finished]
        try:
            for task in as_completed(tasks):
                task.result()
        except BaseException:  # also KeyboardInterrupt: the threads stop before their next record
            tally.stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _check(source: Source, settings: PackSettings) -> None:
    bad = [t for t in settings.templates if "{c}" not in t]
    if bad:
        raise UsageError(f"template {bad[0]!r} has no {{c}}. Add it where the class name belongs")
    if settings.test_set and source.classes is None:
        raise UsageError(
            "a test set needs labels. Use class folders, or --label-column and --class-column for a table"
        )
    if settings.test_set and not settings.templates:
        raise UsageError('a test set needs prompts. Add --template "a photo of a {c}."')
    if not settings.test_set and not source.has_texts and source.classes is None:
        raise UsageError("the source has neither captions nor labels. Add --text-column or --label-column")


def shards_of(source: Source, settings: PackSettings) -> Sequence[Shard]:
    """Return the shards to write, all or those of a part; DataError if there are no records."""
    num_records = _num_records(source, settings)
    starts = range(0, num_records, settings.shard_size)
    if not starts:
        raise DataError("nothing to pack: the source has no records")
    name = TEST_SPLIT + "/{}.tar" if settings.test_set else "{:06d}.tar"
    key = "s{:07d}" if settings.test_set else "{:09d}"
    shards = [
        Shard(
            name=name.format(number),
            rows=range(start, min(start + settings.shard_size, num_records)),
            key=key.format,
            templates=() if settings.test_set else settings.templates,
        )
        for number, start in enumerate(starts)
    ]
    return settings.part.of(shards) if settings.part else shards


def _num_records(source: Source, settings: PackSettings) -> int:
    return min(source.num_records, settings.limit or source.num_records)


def _header(source: Source, settings: PackSettings) -> dict[str, Any]:
    """Return the settings that determine the bytes of the shards, as JSON values."""
    image = settings.image
    return {
        "version": 1,
        "source": source.fingerprint,
        "classes": list(source.classes.names) if source.classes else None,
        "texts": source.has_texts,
        "test_set": settings.test_set,
        "templates": list(settings.templates),
        "limit": settings.limit,
        "shard_size": settings.shard_size,
        "resize": image.resize,
        "quality": image.quality if image.resize else None,
    }


def _describe(source: Source, out: Path, settings: PackSettings, written: Sequence[Written]) -> None:
    """Write the index and, for a test set, the files of the clip-benchmark layout."""
    remove_files(out.glob("unreadable.*-of-*.txt"))  # left by failed parts
    _write_text(out / UNREADABLE, _sentences(written))
    if source.classes is not None:
        _write_text(out / "classnames.txt", source.classes.names)
    if settings.test_set:
        _write_text(out / "zeroshot_classification_templates.txt", settings.templates)
        _write_text(out / TEST_SPLIT / "nshards.txt", [str(len(written))])
    sizes = out / TEST_SPLIT / SIZES if settings.test_set else out / SIZES
    write_json(sizes, {Path(w.name).name: w.num_samples for w in written})
    index = {
        "num_samples": sum(w.num_samples for w in written),
        "packing": _header(source, settings),
        "shards": [asdict(w) for w in written],
    }
    write_json(out / INDEX, seal(index))


def _sentences(written: Sequence[Written]) -> tuple[str, ...]:
    return tuple(sentence for w in written for sentence in w.unusable)


def _write_text(path: Path, lines: Sequence[str]) -> None:
    """Write lines atomically; without lines, remove the file."""
    if not lines:
        path.unlink(missing_ok=True)
        return
    with atomic_path(path) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
