"""open_clip models, by name or from a JSON configuration (`open-clip`)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import reload
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.transformer import VisionTransformer
from torch import nn

from perceptinit.backbones.clip_tokenizer import clip_tokenizer
from perceptinit.backbones.encoders import (
    LOGIT_SCALE_START,
    RGB,
    DualTower,
    ImageTower,
    find_problem,
    find_unseen_pixels,
)
from perceptinit.backbones.fast_modules import use_fast_modules
from perceptinit.backbones.text import TextTower, Tokenizer
from perceptinit.configs import NonNegativeInt, PositiveFloat
from perceptinit.errors import CheckpointError, MissingPackageError, UsageError
from perceptinit.files.checkpoints import load_weights
from perceptinit.files.reading import read_json
from perceptinit.registry import suggest
from perceptinit.types import FitMode

RESIZE_MODES: dict[FitMode, str] = {"center-crop": "shortest", "squash": "squash", "pad": "longest"}


@dataclass(eq=False)
class OpenClip:
    """The two towers of an open_clip model, with random or published weights.

    Models with a generative tower (CoCa) are not supported. The logit bias of SigLIP is omitted, because it
    does not change a softmax loss.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        model: str = "ViT-B-32"
        """Name of a configuration (`open_clip.list_models()`) or path of a .json file."""
        pretrained: str = ""
        """Weights of both towers: a tag to download (`open_clip.list_pretrained()`) or the path of a
        .safetensors file in open_clip's layout. Empty for random weights."""
        image_size: NonNegativeInt = 0
        """Height and width of the input, in pixels; 0 for the value in the configuration."""
        embed_dim: NonNegativeInt = 0
        """Length of the embeddings of both towers; 0 for the value in the configuration."""
        vision_args: dict[str, Any] = field(default_factory=dict)
        """Keys that override vision_cfg, such as width, layers, patch_size."""
        text_args: dict[str, Any] = field(default_factory=dict)
        """Keys that override text_cfg, such as width, heads, context_length. pool_type = "none" averages over
        all tokens, including padding (PI's code)."""
        init_logit_scale: PositiveFloat | None = None
        """Initial inverse temperature. None: the configuration's value, else 1 / 0.07 (PI's code: 100)."""
        clip_init: bool | None = None
        """Initialize the blocks and position embeddings of the image tower like CLIP's text tower (DeCLIP),
        instead of torch's defaults. Only for open_clip's vision transformers."""
        mean: RGB | None = None
        """Mean of red, green and blue for pixels in [0, 1]. None for the value of the tag or preprocess_cfg
        in the JSON file, else OpenAI's. Set it for other weights from a file."""
        std: RGB | None = None
        """Standard deviation of red, green and blue, like `mean`."""
        fit: FitMode | None = None
        """How non-square images are made square, except in training crops: "center-crop" (None),
        "squash", or "pad" with the mean color."""

        def smoke(self) -> OpenClip.Config:
            """Return a ViT for images of 32 x 32 pixels and a text tower, with one block each."""
            return OpenClip.Config(
                image_size=32,
                embed_dim=32,
                vision_args={"width": 32, "head_width": 16, "layers": 1, "patch_size": 8},
                text_args={"width": 32, "heads": 2, "layers": 1},
            )

    config: Config

    def preflight(self) -> Iterator[str]:
        """Yield problems with the model, its arguments, the tag or the file, without downloading weights."""
        config = self.config
        problems = list(find_problem(partial(_dual_tower, replace(config, pretrained=""))))
        if not problems and config.pretrained:
            problems = find_pretrained_problems(config.model, config.pretrained)
        yield from problems

    def warnings(self) -> Iterator[str]:
        """Yield a warning if the patch size does not divide the image size."""
        return find_unseen_pixels(partial(_dual_tower, replace(self.config, pretrained="")))

    def build(self) -> DualTower:
        """Return a new model, with published weights or initialized from torch's global generator.

        Raises:
            UsageError: If the configuration is unknown or unsupported.
            CheckpointError: If the weights do not fit.
        """
        return _dual_tower(self.config)


def _dual_tower(config: OpenClip.Config) -> DualTower:
    table = resolve_table(config)
    about = table.pop("preprocess_cfg", {})
    if table["text_cfg"].get("hf_model_name") and open_clip.hf_model.transformers is None:
        # a command imports open_clip without transformers, see `components.light_imports`
        open_clip.model.HFTextEncoder = reload(open_clip.hf_model).HFTextEncoder
    try:
        model = open_clip.CustomTextCLIP(**deepcopy(table))
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        raise UsageError(f"open_clip cannot build '{config.model}': {error}") from error
    if config.clip_init:
        _draw_as_clip(model.visual, config.model)
    logit_scale = table.get("init_logit_scale", LOGIT_SCALE_START)
    if config.init_logit_scale is not None:
        logit_scale = math.log(config.init_logit_scale)
    if config.pretrained and not model.logit_scale.is_meta:  # on the meta device only sizes matter
        about = {**about, **_load(model, config)}
        logit_scale = model.logit_scale.item()
    size = square_side(table["vision_cfg"].get("image_size", 224), config.model)
    trunk: Any = getattr(model.visual, "trunk", None)
    if hasattr(trunk, "set_input_size"):  # open_clip does not resize timm towers
        trunk.set_input_size(size)
    use_fast_modules(model.visual)
    image = ImageTower(
        model.visual,
        nn.Identity(),  # open_clip's tower includes the projection
        image_size=size,
        embed_dim=table["embed_dim"],
        mean=config.mean or about.get("mean") or open_clip.OPENAI_DATASET_MEAN,
        std=config.std or about.get("std") or open_clip.OPENAI_DATASET_STD,
        fresh=lambda: _dual_tower(replace(config, pretrained="")).image,
        fit=config.fit,
    )
    tokenizer = _tokenizer(table["text_cfg"], config.model)
    return DualTower(image, TextTower(model.text, tokenizer, model.context_length), logit_scale)


def resolve_table(config: OpenClip.Config) -> dict[str, Any]:
    """Return open_clip's configuration of the model, with the overrides of the recipe."""
    table = read_table(config.model)
    table.pop("custom_text", None)  # CustomTextCLIP does not accept it
    # weights come from `pretrained` or from an initializer
    vision = {**table["vision_cfg"], "timm_model_pretrained": False, **config.vision_args}
    text = {**table["text_cfg"], "hf_model_pretrained": False, **config.text_args}
    if config.image_size:
        vision["image_size"] = config.image_size
    embed_dim = config.embed_dim or table["embed_dim"]
    return {**table, "embed_dim": embed_dim, "vision_cfg": vision, "text_cfg": text}


@torch.no_grad()
def _draw_as_clip(tower: Any, name: str) -> None:
    """Initialize the blocks and positions of a vision transformer like CLIP's text tower (Radford 2021)."""
    if not isinstance(tower, VisionTransformer):
        raise UsageError(f"clip_init: the image tower of '{name}' is not a vision transformer of open_clip")
    width = tower.transformer.width
    blocks = tower.transformer.resblocks
    tower.positional_embedding.normal_(std=0.01)
    for block in blocks:
        block.attn.in_proj_weight.normal_(std=width**-0.5)
        block.attn.out_proj.weight.normal_(std=(width * 2 * len(blocks)) ** -0.5)
        block.mlp.c_fc.weight.normal_(std=(2 * width) ** -0.5)
        block.mlp.c_proj.weight.normal_(std=(width * 2 * len(blocks)) ** -0.5)


def _load(model: nn.Module, config: OpenClip.Config) -> Mapping[str, Any]:
    """Load the weights of both towers strictly, and return their metadata, such as mean and std."""
    if problems := find_pretrained_problems(config.model, config.pretrained):
        raise UsageError(problems[0])
    about: Mapping[str, Any] = {}
    if config.pretrained.endswith(".safetensors"):
        path = config.pretrained
        load_weights(Path(path))  # raises if the file is damaged
    else:
        about = open_clip.get_pretrained_cfg(config.model, config.pretrained)
        try:
            path = open_clip.download_pretrained(about)
        except Exception as error:  # of one of several clients, with dozens of types
            raise CheckpointError(
                f"weights '{config.pretrained}' of open_clip model '{config.model}' cannot be downloaded "
                f"({error}). Without a network, set 'pretrained' to a local .safetensors file"
            ) from error
    try:
        # converts other layouts, and resizes position embeddings
        open_clip.load_checkpoint(model, path, strict=True)
    except (RuntimeError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{path} does not fit open_clip model '{config.model}': {error}") from error
    return about


def _tokenizer(text: Mapping[str, Any], name: str) -> Tokenizer:
    options = dict(text.get("tokenizer_kwargs") or {})
    if not text.get("hf_tokenizer_name"):
        return open_clip.SimpleTokenizer(**options) if options else clip_tokenizer()
    try:
        from open_clip.tokenizer import HFTokenizer

        return HFTokenizer(text["hf_tokenizer_name"], **options)
    except ImportError as error:
        raise MissingPackageError(
            f"the tokenizer of open_clip model '{name}' needs the package '{error.name}'. "
            f"Install it: pip install {error.name}"
        ) from error


def read_table(model: str) -> dict[str, Any]:
    """Return the configuration of a model: `embed_dim`, `vision_cfg`, `text_cfg` and other keys.

    Args:
        model: Name, or path of a .json file. For files in the layout of the Hugging Face Hub (`model_cfg` and
            `preprocess_cfg`), the result contains `preprocess_cfg`.

    Raises:
        UsageError: If the model is unknown or has a generative tower (CoCa).
        DataError: If the file is invalid.
    """
    if model.endswith(".json"):
        table = _read_file(Path(model))
    elif model in (known := open_clip.list_models()):
        table = open_clip.get_model_config(model)
    else:
        raise UsageError(
            f"open_clip has no model '{model}'.{suggest(model, known)} See open_clip.list_models(), or set a "
            "path that ends in .json"
        )
    if "multimodal_cfg" in table:
        raise UsageError(
            f"open_clip model '{model}' with a generative tower (CoCa) is not supported. Choose another model"
        )
    return table


def _read_file(path: Path) -> dict[str, Any]:
    whole = read_json(path, dict[str, Any], "an open_clip configuration")
    table = dict(whole.get("model_cfg", whole))
    missing = [key for key in ("embed_dim", "vision_cfg", "text_cfg") if key not in table]
    if missing:
        raise UsageError(f"{path}: not an open_clip configuration, missing {', '.join(missing)}")
    if "preprocess_cfg" in whole:
        table["preprocess_cfg"] = whole["preprocess_cfg"]
    return table


def square_side(size: Any, model: str) -> int:
    """Return the height of square images; UsageError for other shapes."""
    sides = {size} if isinstance(size, int) else set(size)
    if len(sides) != 1:
        raise UsageError(
            f"open_clip model '{model}' has image size {size}, but only square images are supported"
        )
    return sides.pop()


def find_published_fit(model: str, pretrained: str) -> FitMode | None:
    """Return the fit mode of published weights, or of preprocess_cfg in a JSON file; None if not stated."""
    about = open_clip.get_pretrained_cfg(model, pretrained) or read_table(model).get("preprocess_cfg", {})
    return next((fit for fit, mode in RESIZE_MODES.items() if mode == about.get("resize_mode")), None)


def find_pretrained_problems(model: str, pretrained: str) -> list[str]:
    """Return problems with weights that can be found before a download.

    Args:
        model: Name of the model.
        pretrained: Tag of the model, or path of a .safetensors file.
    """
    if pretrained.endswith(".safetensors"):
        return [] if Path(pretrained).is_file() else [f"pretrained = '{pretrained}': no such file"]
    tags = open_clip.list_pretrained_tags_by_model(model)
    if pretrained not in tags:
        problem = f"neither a .safetensors file nor a tag of '{model}'. Tags: {', '.join(tags) or 'none'}"
        return [f"pretrained = '{pretrained}': {problem}"]
    trained = bool(open_clip.get_pretrained_cfg(model, pretrained).get("quick_gelu"))
    if trained == bool(read_table(model).get("quick_gelu")):
        return []
    how = "with" if trained else "without"
    return [
        f"pretrained = '{pretrained}' was trained {how} QuickGELU, unlike model '{model}'. Use the model "
        f"name {how} -quickgelu"
    ]
