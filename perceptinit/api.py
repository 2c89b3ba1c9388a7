"""The library half: what the command line does, for other people's programs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perceptinit.components.building import read_spec
from perceptinit.components.plugin_manager import build_plugin_manager
from perceptinit.errors import RecipeError
from perceptinit.registry import Entry

if TYPE_CHECKING:
    import torch
    from torch import nn

    from perceptinit.judgments.sources import Source
    from perceptinit.types import InitReport

RGB = tuple[float, float, float]


def list_components(kind: str | None = None) -> list[Entry]:
    """Return the components that are installed, of one kind or of all, without importing them."""
    registry = build_plugin_manager().registry
    return registry.of_kind(kind) if kind else list(registry.entries)


def build(kind: str, table: dict[str, Any]) -> Any:
    """Make a component from a recipe table: `build("judgments", {"use": "synthetic", "seed": 1})`.

    Raises RecipeError with every problem of the table.
    """
    spec, problems = read_spec(build_plugin_manager().registry, kind, table, kind)
    if spec is None:
        raise RecipeError(problems)
    return spec.build()


def run_recipe(
    recipe: str | Path,
    *,
    arms: Sequence[str] = (),
    seeds: Sequence[int] = (),
    out: str | Path = "runs",
    overrides: Sequence[str] = (),
    device: str = "auto",
    smoke: bool = False,
    fresh: bool = False,
    jobs: int = 1,
) -> list[dict[str, Any]]:
    """Run a recipe file as `perceptinit run` does and return the records of its runs.

    Raises RecipeError with every problem, before anything starts.
    """
    from perceptinit.recipe.reading import load_recipe
    from perceptinit.running import runner

    loaded = load_recipe(recipe, overrides)
    loaded = loaded.smoke() if smoke else loaded
    return runner.run_recipe(
        loaded, arms=arms, seeds=seeds, out=Path(out), device=device, fresh=fresh, jobs=jobs
    )


def apply_perceptual_init(
    model: nn.Module,
    initializer: str = "triplet-hinge",
    *,
    judgments: Source = None,
    encode: Callable[[torch.Tensor], torch.Tensor] | None = None,
    image_size: int | None = None,
    mean: RGB | None = None,
    std: RGB | None = None,
    device: str | None = None,
    seed: int = 0,
    cache: bool = True,
    progress: bool = True,
    num_workers: int = 2,
    **options: Any,
) -> InitReport:
    """Start the vision part of `model` from human similarity judgments, in place.

    model: of timm, open_clip, torchvision or Hugging Face transformers; or any module with
        `encode`, which maps images (B, 3, S, S) to embeddings (B, D). May be wrapped in
        DistributedDataParallel: then call it in every process, and all end with equal weights.
    initializer: a name, as `perceptinit list initializer` gives it; `options` are its recipe keys,
        such as `epochs=4` (`perceptinit show initializer NAME`).
    judgments: a name; the path of a table or a matrix; either with
        options, as `(name, {...})`; a dict or what `build` makes of it; or Triplets. Without it NIGHTS. A
        published set is looked for at `<NAME>_ROOT`, then in `data/<name>`, unless a `root` is given.
    image_size, mean, std: take the place of what the model states. Required for other modules:
        image_size; their images are in [0, 1] unless mean and std are given.
    device: where to work, by default where the model is. Arithmetic is float32 whatever the
        model's dtype or an autocast around the call.
    cache: keep the result, and load it when the same weights, judgments, settings and seed come
        again (`perceptinit cache`).
    num_workers: threads that decode images.

    Only weights and buffers of the vision part change; modes, device, dtype, requires_grad,
    gradients and hooks are as before. When it raises, the weights are as before, too.

    Raises UsageError for what cannot be done as asked, DataError when judgments are absent or
    wrong, InitializerError when no weight would change.
    """
    from perceptinit.files.cache import Cache, cache_folder
    from perceptinit.library.adapters import adapt, broadcast, model_names, unwrap
    from perceptinit.library.applying import initialize_tower, read_job
    from perceptinit.library.arguments import check_arguments

    given: dict[str, Any] = {"encode": encode, "image_size": image_size, "mean": mean, "std": std}
    check_arguments(model, initializer, judgments, options, seed, given)
    registry = build_plugin_manager().registry
    job = read_job(registry, initializer, options, judgments, seed)
    tower = adapt(model, **given)
    report = initialize_tower(
        tower,
        job,
        device=device,
        cache=Cache(cache_folder()) if cache else None,
        progress=progress,
        num_workers=num_workers,
    )
    broadcast(model, tower)
    return model_names(report, unwrap(model), tower)
