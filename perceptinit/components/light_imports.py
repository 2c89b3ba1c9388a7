"""Imports of timm and open_clip without packages that commands and workers do not use.

timm imports wandb and torchvision's models, and open_clip imports transformers, which takes a quarter of the
time of these imports. Processes of library users import everything.
"""

import sys
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

# package -> what is hidden while it is imported; None raises ImportError, which the package expects
HIDDEN: dict[str, dict[str, ModuleType | None]] = {
    "open_clip": {"transformers": None},
    "timm": {"torchvision.models.feature_extraction": None, "wandb": None},
    "torchvision": {"torchvision.models": ModuleType("torchvision.models")},
}


class LightImports:
    """Finder that hides unused packages while a package is imported; later they can be imported."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path) if name in HIDDEN else None
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def execute_lightly(module: ModuleType) -> None:
            hidden = {other: stub for other, stub in HIDDEN[name].items() if other not in sys.modules}
            sys.modules.update(hidden)  # type: ignore[arg-type]
            try:
                execute(module)
            finally:
                for other in hidden:
                    del sys.modules[other]
                    vars(module).pop(other.removeprefix(f"{name}."), None)
            module.__getattr__ = partial(_import_hidden, module)  # type: ignore[method-assign]

        spec.loader.exec_module = execute_lightly  # type: ignore[method-assign]
        return spec


def _import_hidden(module: ModuleType, attribute: str) -> ModuleType:
    """Return a hidden submodule of a package, which is imported when it is used."""
    name = f"{module.__name__}.{attribute}"
    if name in HIDDEN[module.__name__]:
        return import_module(name)
    raise AttributeError(f"module '{module.__name__}' has no attribute '{attribute}'")


def import_lightly() -> None:
    """Import timm and open_clip without unused packages from now on, in a process of a command."""
    sys.meta_path.insert(0, LightImports())
