"""timm vision models with CLIP's text tower (`timm`)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from torch import nn

from perceptinit.backbones.encoders import RGB, DualTower, ImageTower, find_problem, find_unseen_pixels
from perceptinit.backbones.fast_modules import use_fast_modules
from perceptinit.backbones.text import TextTower
from perceptinit.configs import Layers, NonNegativeInt, PositiveInt, Width
from perceptinit.errors import UsageError
from perceptinit.registry import suggest
from perceptinit.types import FitMode

# arguments of timm that this backbone sets, with the reason or alternative
TAKEN_ARGS = {
    "img_size": "use image_size",
    "num_classes": "the tower has no classifier",
    "in_chans": "images have three channels",
    "pretrained": 'load weights with an initializer, such as [[init]] use = "imagenet"',
    "checkpoint_path": 'load weights with an initializer, such as [[init]] use = "checkpoint"',
}
SMOKE_MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "vit": ("vit_tiny_patch16_224", {"patch_size": 8, "embed_dim": 32, "depth": 1, "num_heads": 2}),
    "convnext": ("test_convnext", {}),
    "convmixer": ("convmixer_768_32", {"dim": 32, "depth": 2, "kernel_size": 3, "patch_size": 8}),
}


@dataclass(eq=False)
class Timm:
    """A timm model without its classifier, a linear projection without bias, and CLIP's text transformer.

    The image tower has timm's initialization, pooling, mean and std. The text tower is open_clip's, with
    CLIP's tokenizer.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        model: str = "vit_base_patch32_clip_224"
        """Name of a timm model (`timm.list_models()`). No weights are downloaded."""
        image_size: NonNegativeInt = 0
        """Height and width of the input, in pixels; 0 for the default of the model."""
        model_args: dict[str, Any] = field(default_factory=dict)
        """Other arguments of the timm model, such as patch_size, embed_dim, depth, num_heads. A ConvMixer has
        dim, depth, kernel_size and patch_size."""
        embed_dim: Width = 512
        """Length of the embeddings of both towers."""
        text_width: Width = 512
        """Width of the text transformer (CLIP ViT-B: 512)."""
        text_heads: PositiveInt = 8
        """Number of attention heads of the text transformer, a divisor of text_width (CLIP ViT-B: 8)."""
        text_layers: Layers = 12
        """Number of blocks of the text transformer (CLIP ViT-B: 12)."""
        context_length: Width = 77
        """Maximum number of tokens of a text, including start and end tokens (CLIP: 77)."""
        text_quick_gelu: bool | None = None
        """Use QuickGELU, x * sigmoid(1.702 x), as in CLIP, instead of GELU in the text transformer."""
        mean: RGB | None = None
        """Mean of red, green and blue for pixels in [0, 1]. None for timm's value."""
        std: RGB | None = None
        """Standard deviation of red, green and blue, like `mean`."""
        fit: FitMode | None = None
        """How non-square images are made square, except in training crops: "center-crop" (None),
        "squash", or "pad" with the mean color."""

        def __post_init__(self) -> None:
            if self.text_width % self.text_heads:
                raise ValueError(
                    f"text_heads = {self.text_heads} does not divide text_width = {self.text_width}"
                )
            for name, most in (("depth", 1000), *((name, 1_000_000) for name in self.model_args)):
                value = self.model_args.get(name)
                if isinstance(value, int) and value > most:
                    raise ValueError(f"model_args.{name} = {value} exceeds {most:,}")
            for name in sorted(self.model_args.keys() & TAKEN_ARGS.keys()):
                raise ValueError(f"model_args.{name} is not supported: {TAKEN_ARGS[name]}")

        def smoke(self) -> Timm.Config:
            """Return a small ConvNeXt, ConvMixer or (for other models) ViT, and a text tower of one block."""
            family = next((name for name in SMOKE_MODELS if self.model.startswith(name)), "vit")
            model, args = SMOKE_MODELS[family]
            return replace(
                self,
                model=model,
                image_size=32,
                model_args=dict(args),
                embed_dim=32,
                text_width=32,
                text_heads=2,
                text_layers=1,
            )

    config: Config

    def preflight(self) -> Iterator[str]:
        """Yield the error, if any, that is raised when the model is built."""
        return find_problem(self.build)

    def warnings(self) -> Iterator[str]:
        """Yield a warning if the patch size does not divide the image size."""
        return find_unseen_pixels(self.build)

    def build(self) -> DualTower:
        """Return a new model, initialized from torch's global generator.

        Raises:
            UsageError: If timm has no such model, or rejects its arguments.
        """
        # imported here, because most commands read the config without building a model
        from open_clip.transformer import QuickGELU, TextTransformer

        from perceptinit.backbones.clip_tokenizer import clip_tokenizer

        config = self.config
        # built first, so that its weights do not depend on the image model
        text = TextTransformer(
            context_length=config.context_length,
            width=config.text_width,
            heads=config.text_heads,
            layers=config.text_layers,
            output_dim=config.embed_dim,
            act_layer=QuickGELU if config.text_quick_gelu else nn.GELU,
        )
        tower = TextTower(text, clip_tokenizer(), config.context_length)
        return DualTower(_image_tower(config), tower)


def _image_tower(config: Timm.Config) -> ImageTower:
    trunk = _trunk(config)
    use_fast_modules(trunk)
    about = trunk.pretrained_cfg
    projection = nn.Linear(trunk.head_hidden_size, config.embed_dim, bias=False)
    nn.init.normal_(projection.weight, std=trunk.head_hidden_size**-0.5)  # as in CLIP
    return ImageTower(
        trunk,
        projection,
        image_size=config.image_size or about["input_size"][-1],
        embed_dim=config.embed_dim,
        mean=config.mean or about["mean"],
        std=config.std or about["std"],
        fresh=partial(_image_tower, config),
        fit=config.fit,
    )


def _trunk(config: Timm.Config) -> Any:
    import timm
    from timm.models import build_model_with_cfg
    from timm.models.convmixer import ConvMixer

    name = config.model
    if not timm.is_model(name):
        hint = suggest(name, timm.list_models())
        raise UsageError(f"timm has no model '{name}'.{hint} See timm.list_models()")
    args = dict(config.model_args)
    about = timm.get_pretrained_cfg(name)
    if config.image_size and about is not None and about.fixed_input_size:
        args["img_size"] = config.image_size  # other models accept any size
    try:
        if args and name.startswith("convmixer"):  # arguments that timm's functions set cannot be overridden
            return build_model_with_cfg(ConvMixer, name, pretrained=False, num_classes=0, **args)
        return timm.create_model(name, pretrained=False, num_classes=0, **args)
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        raise UsageError(f"timm cannot build '{name}' with {args}: {error}") from error
