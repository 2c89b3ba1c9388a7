"""Report which test sets of a suite are on disk, complete and of the published size."""

from dataclasses import dataclass
from typing import Literal

from perceptinit.errors import AbsentError, DataError
from perceptinit.test_sets.choice import SetChoice
from perceptinit.test_sets.readers import TYPE, read_kind
from perceptinit.test_sets.sets import HUB, SYNTHETIC, SetKind, SuiteSet, find_set

State = Literal["complete", "partial", "wrong", "missing", "built in"]


@dataclass(frozen=True, slots=True)
class SetState:
    """The state of a test set on disk.

    Args:
        state: `partial`: the number of images differs from the published number; `wrong`: cannot be read,
            see `note`.
        num_bytes: Size on disk.
    """

    name: str
    known: SuiteSet | None
    state: State
    num_images: int | None = None
    num_classes: int | None = None
    num_bytes: int = 0
    note: str = ""


def choose_set(name: str, root: str) -> SetChoice:
    """Return a `SetChoice` of one set, with kind `retrieval` if the set has captions."""
    kind: SetKind = "retrieval" if is_retrieval(name, root) else "classification"
    return SetChoice(datasets=(name,), root=root, kinds=(kind,))


def is_retrieval(name: str, root: str) -> bool:
    """Return whether a set has captions, according to the suites or its `dataset_type.txt`."""
    known = find_set(name)
    if known is not None or name == SYNTHETIC or name.startswith(HUB):
        return known is not None and known.kind == "retrieval"
    try:
        path = SetChoice(datasets=(name,), root=root).path(name)
    except DataError:  # raised again by `read`
        return False
    return (path / TYPE).is_file() and read_kind(path) == "retrieval"


def find_state(name: str, root: str) -> SetState:
    """Return the state of a set from indexes, without decoding images."""
    known = find_set(name)
    size = 0
    if name == SYNTHETIC:
        return SetState(name, known, "built in")
    choice = choose_set(name, root)
    try:
        path = choice.path(name)
        if not path.is_dir():
            return SetState(name, known, "missing")
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        found = choice.read(name)
    except DataError as error:
        state: State = "missing" if isinstance(error, AbsentError) else "wrong"
        return SetState(name, known, state, num_bytes=size, note=str(error))
    count = len(found.images)
    classes = len(getattr(found, "classnames", ()))
    published = known.num_images if known else None
    is_whole = published in (None, count)
    note = "" if is_whole else f"{count:,} images, but {published:,} are published"
    return SetState(name, known, "complete" if is_whole else "partial", count, classes, size, note)
