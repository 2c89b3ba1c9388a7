"""perceptinit: test whether initializing a network from human perception improves it."""

from typing import TYPE_CHECKING, Any

from perceptinit._version import __version__
from perceptinit.hookspecs import hookimpl
from perceptinit.registry import Component

if TYPE_CHECKING:
    from perceptinit.api import apply_perceptual_init, build, compare, list_components, run_recipe

__all__ = [
    "Component",
    "__version__",
    "apply_perceptual_init",
    "build",
    "compare",
    "hookimpl",
    "list_components",
    "run_recipe",
]


def __getattr__(name: str) -> Any:
    if name in __all__:  # imported on first use, so that `import perceptinit` and the command line start fast
        from perceptinit import api

        return getattr(api, name)
    raise AttributeError(f"module 'perceptinit' has no attribute '{name}'")
