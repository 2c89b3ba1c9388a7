"""Load recipes from records, and models from weight files without random initialization."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from torch.nn import init
from torch.overrides import TorchFunctionMode

from perceptinit.backbones.image_models import image_model
from perceptinit.components.building import Spec, build_model
from perceptinit.files.checkpoints import load_strict, load_weights
from perceptinit.recipe.old_keys import restore_overrides, restore_text
from perceptinit.recipe.reading import read_recipe
from perceptinit.recipe.recipe import Recipe
from perceptinit.seeding import named_torch_seed

# Tensor methods are not skipped: rejection sampling on uninitialized memory might never terminate
_DRAWS = (init.normal_, init.uniform_, init.kaiming_normal_, init.kaiming_uniform_)


def read_recorded_recipe(record: Mapping[str, Any]) -> Recipe:
    """Return the recipe of a record.

    Raises:
        RecipeError: If the recipe is invalid on this machine, for example because a variable is not set.
    """
    about = record["recipe"]
    source = about["source"]
    folder = Path(source).parent
    text = restore_text(about["text"], source)
    overrides = restore_overrides(about["overrides"])
    recipe = read_recipe(text, source=source, overrides=overrides, folder=folder)
    return recipe.smoke() if about["smoke"] else recipe


def load_model(backbone: Spec, file: Path, seed: int = 0, sha256: str | None = None) -> Any:
    """Build a model in eval mode and load its weights from a file.

    Args:
        backbone: Backbone of the run.
        file: Weights of the model, or of its image tower.
        seed: Seed of the run. Initializes the text tower if the file contains only the image tower.
        sha256: Expected hash of the weights (see `record.recorded_sha256`). Default: not checked.

    Raises:
        CheckpointError: If the file is missing, has another hash, or does not match the model.
    """
    weights = load_weights(file, sha256)
    is_image_tower = holds_image_tower(weights)
    with named_torch_seed(seed, "backbone"), nullcontext() if is_image_tower else Undrawn():
        model = build_model(backbone)
    if parts_of(weights) in ({"image"}, {"image", "head"}):
        model = image_model(model.image, weights)
    load_strict(model.image if is_image_tower else model, weights, str(file))
    return model.eval()


def holds_image_tower(names: Iterable[str]) -> bool:
    """Return whether weights with these names belong to an image tower alone."""
    return any(name.startswith("trunk.") for name in names)


def parts_of(names: Iterable[str]) -> set[str]:
    """Return which of "image", "text" and "head" a model with these weight names contains."""
    names = list(names)
    tops = {name.partition(".")[0] for name in names} & {"image", "text", "head"}
    return tops | {"image", "text"} if holds_image_tower(names) else tops


class Undrawn(TorchFunctionMode):
    """Skip random initialization in the block. The loaded weights must cover all parameters.

    Only the common functions of `torch.nn.init` are skipped. Building ViT-B/32 with its text tower takes
    0.13 s instead of 0.7 s, and with timm's tower 0.45 s instead of 0.9 s.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in _DRAWS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)
