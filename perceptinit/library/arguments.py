"""Validation of the arguments of `apply_perceptual_init`."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from numbers import Integral
from pathlib import Path
from typing import Any, get_args

from torch import nn

from perceptinit.errors import UsageError
from perceptinit.files.tables import TABLE_SUFFIXES
from perceptinit.registry import nearest
from perceptinit.types import FitMode

PACKAGE = str(Path(__file__).parents[1])
ARGUMENTS = ("judgments", "also_on", "encode", "image_size", "device", "cache", "progress", "num_workers")
RENAMED = {"initializer": "method"}
FITS = get_args(FitMode)
RGB = (
    "three numbers, such as (0.5, 0.5, 0.5)",
    lambda v: v is None or (hasattr(v, "__len__") and len(v) == 3),
)
# argument -> what it must be, and whether a value is that
CHECKS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "method": ("a name, such as 'triplet-hinge'", lambda v: isinstance(v, str)),
    "encode": ("a function of images", lambda v: v is None or callable(v)),
    "image_size": ("an integer number of pixels", lambda v: v is None or isinstance(v, Integral)),
    "mean": RGB,
    "std": RGB,
    "fit": (f"one of {', '.join(FITS)}", lambda v: v in FITS),
    "seed": ("an integer of at least 0", lambda v: isinstance(v, Integral) and not v < 0),
}


def check_arguments(
    model: Any,
    method: Any,
    judgments: Any,
    options: Mapping[str, Any],
    seed: Any,
    given: Mapping[str, Any],
) -> None:
    """Raise UsageError for the first argument of `apply_perceptual_init` with an invalid type or value.

    `given` contains the arguments `encode`, `image_size`, `mean`, `std` and `fit`.
    """
    _check_model(model)
    if "images" in options:
        raise UsageError(_where_images_go(judgments, options["images"]))
    for name, value in {"method": method, **given, "seed": seed}.items():
        expected, is_valid = CHECKS[name]
        if not is_valid(value):
            raise UsageError(f"{name}: expected {expected}, got {value!r:.60}")


def check_spelling(names: Iterable[str]) -> None:
    """Raise UsageError for the first of unknown names that is similar to an argument."""
    known = (*ARGUMENTS, *RENAMED)
    guesses = {name: nearest(name, known) for name in sorted(names)}
    for name, guess in guesses.items():
        if guess:
            raise UsageError(f"{name}: not an argument. Did you mean {RENAMED.get(guess, guess)}=?")


def _check_model(model: Any) -> None:
    if isinstance(model, nn.Module):
        return
    if isinstance(model, str):
        raise UsageError(
            f"model: expected a model, got its name. Pass timm.create_model({model!r}), or the "
            "equivalent of your library"
        )
    if callable(model):
        name = getattr(model, "__name__", "Model")
        kind = "class" if isinstance(model, type) else "function"
        raise UsageError(f"model: expected a model, got the {kind} that builds one. Pass {name}(...)")
    if isinstance(model, tuple):
        raise UsageError(
            "model: expected a model, got a tuple, such as open_clip.create_model_and_transforms returns. "
            "Pass its first item"
        )
    raise UsageError(f"model: expected a torch.nn.Module, got {type(model).__name__}")


def _where_images_go(judgments: Any, images: Any) -> str:
    table = {"path": "judgments.csv", "images": "photographs"}
    arrays = ". For arrays, use Triplets.build(Stimuli(ids, images), ...)"
    if str(judgments).endswith(TABLE_SUFFIXES) and isinstance(images, (str, Path)):
        table = {"path": str(judgments), "images": str(images)}
        arrays = ""
    return f'images: not an argument, but a key of the judgments. Pass judgments=("table", {table}){arrays}'


def callers_level() -> int:
    """Return the `stacklevel` at which a warning points to the caller outside the package."""
    files = [frame.filename for frame in inspect.stack(0)[1:]]  # from the caller of this function
    return 2 + max(level for level, file in enumerate(files) if file.startswith(PACKAGE))
