"""Pretrained weights of timm (`imagenet`)."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from perceptinit.errors import CheckpointError, InitializerError, problems_of
from perceptinit.files.checkpoints import load_strict, load_weights
from perceptinit.initializers.weights import reporting
from perceptinit.types import InitReport, RunContext

WEIGHTS_FILE = "model.safetensors"  # file name in timm's repositories


@dataclass(frozen=True, slots=True, kw_only=True)
class TimmSource:
    """Source of the weights of a timm model: a local file or a download."""

    file: Path | None = None
    """Safetensors file in timm's layout. The input mean and std of the tower do not change."""
    tag: str | None = None
    """Tag of the timm weights to download, such as "augreg_in1k". There is no default, because timm's default
    weights may have been trained on captioned images."""

    def __post_init__(self) -> None:
        if (self.file is None) == (self.tag is None):
            raise ValueError("set either 'file' (safetensors) or 'tag' (of timm's weights)")


@dataclass(eq=False)
class ImageNet:
    """Load timm's pretrained weights for the architecture into the trunk. The projection is left unchanged.

    The classifier in the file is ignored. If the image or patch size differs, timm resamples the position and
    patch embeddings. Both are reported as warnings.

    Source: timm. The model card of each tag states its license and training data.
    """

    name = "imagenet"
    smoke_stand_in = "random"  # full-size weights do not fit the smoke model

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(TimmSource):
        """The source of the weights."""

    config: Config

    def preflight(self) -> Iterator[str]:
        """Yield problems with a local file."""
        file = self.config.file
        return problems_of(load_weights, file) if file else iter(())

    def initialize(self, model: Any, ctx: RunContext) -> InitReport:
        """Load the weights in place. With a tag, also set the input mean and std.

        Raises:
            InitializerError: If the trunk is not a timm model.
            CheckpointError: If the weights do not exist, or a name or shape differs.
        """
        found = read_timm_weights(self.config, timm_architecture(model.trunk, self.name), model.trunk)
        return load_trunk(self.name, model, found, found.weights, ctx)


@dataclass(frozen=True, slots=True, eq=False)
class TimmWeights:
    """Weights adapted to a timm model.

    Attributes:
        source: File and architecture, for messages.
        about: timm's `PretrainedCfg`, None for a local file.
        weights: Tensors by name.
        notes: How the weights were changed to fit the model, for a warning.
    """

    source: str
    about: Any
    weights: dict[str, Tensor]
    notes: list[str]


def read_timm_weights(source: TimmSource, architecture: str, like: nn.Module) -> TimmWeights:
    """Return timm weights for an architecture, downloaded if needed and adapted to the module `like`."""
    path, about = (source.file, None) if source.file else download(architecture, str(source.tag))
    return TimmWeights(f"{path} ({architecture})", about, *fit(load_weights(path), like))


def load_trunk(
    name: str, model: Any, found: TimmWeights, weights: Mapping[str, Tensor], ctx: RunContext
) -> InitReport:
    """Load weights into the trunk, set the input mean and std if known, and warn about `found.notes`.

    Args:
        name: Name of the initializer.
        model: Image tower with a timm trunk.
        found: Source, normalization and notes of the weights.
        weights: Tensors with the names and shapes of the trunk.
        ctx: Receives the warning.

    Raises:
        CheckpointError: If a name or shape differs.
    """
    with reporting(name, model, hint="The model already has these weights") as report:
        load_strict(model.trunk, weights, found.source)
        if found.about is not None:
            model.mean.copy_(torch.tensor(found.about.mean))
            model.std.copy_(torch.tensor(found.about.std))
    if found.notes:
        ctx.warn(f"{name}: {found.source}: {'; '.join(found.notes)}")
    return report.result


def timm_architecture(trunk: nn.Module, initializer: str) -> str:
    """Return timm's name for the architecture.

    Raises:
        InitializerError: If the trunk is not a timm model.
    """
    architecture = (getattr(trunk, "pretrained_cfg", None) or {}).get("architecture")
    if not architecture:
        raise InitializerError(
            f"initializer '{initializer}' needs a timm trunk, got {type(trunk).__module__}."
            f"{type(trunk).__name__}. Use backbone 'timm', or initializer 'checkpoint' with a key_map"
        )
    return architecture


def download(architecture: str, tag: str) -> tuple[Path, Any]:
    """Return the path of a timm weights file, downloaded if not cached, and its `PretrainedCfg`.

    Raises:
        CheckpointError: If the tag is unknown, or the file cannot be downloaded.
    """
    from huggingface_hub import hf_hub_download
    from timm.models import get_pretrained_cfg, list_pretrained

    name = f"{architecture}.{tag}"
    known = {n: get_pretrained_cfg(n) for n in list_pretrained(f"{architecture}.*")}
    cfg = known.get(name)
    if cfg is None or not cfg.hf_hub_id:
        tags = ", ".join(n.partition(".")[2] for n, c in known.items() if c and c.hf_hub_id) or "none"
        raise CheckpointError(f"timm has no hub weights '{name}'. Tags of {architecture}: {tags}")
    repository, _, revision = cfg.hf_hub_id.partition("@")
    try:
        file = hf_hub_download(repository, WEIGHTS_FILE, revision=revision or None)
    except Exception as error:  # the client raises dozens of error types for a missing or unreachable file
        raise CheckpointError(
            f"{WEIGHTS_FILE} of {cfg.hf_hub_id} cannot be downloaded ({error}). Without a network, set "
            "'file' to a local copy"
        ) from error
    return Path(file), cfg


def fit(weights: Mapping[str, Tensor], trunk: nn.Module) -> tuple[dict[str, Tensor], list[str]]:
    """Return weights adapted to the trunk, and notes on the changes.

    timm's filter for the architecture renames and resamples tensors. The trunk's classifier is left
    unchanged.
    """
    adapt = getattr(sys.modules[type(trunk).__module__], "checkpoint_filter_fn", None)
    adapted = adapt(dict(weights), trunk) if adapt else dict(weights)
    classifier = (getattr(trunk, "pretrained_cfg", None) or {}).get("classifier") or ()
    heads = tuple(f"{n}." for n in ((classifier,) if isinstance(classifier, str) else classifier))
    left_out = sorted(name for name in adapted if name.startswith(heads))
    resampled = sorted(
        f"{name} {tuple(weights[name].shape)} to {tuple(adapted[name].shape)}"
        for name in adapted.keys() & weights.keys()
        if adapted[name].shape != weights[name].shape
    )
    own = {k: v for k, v in trunk.state_dict().items() if k.startswith(heads)}
    fitted = {k: v for k, v in adapted.items() if k not in left_out} | own
    notes = [f"ignored the classifier ({', '.join(left_out)})"] if left_out else []
    return fitted, notes + ([f"resampled {', '.join(resampled)}"] if resampled else [])


class AnyTimmWeights(ImageNet):
    """Load any published timm weights for the architecture of the trunk: MAE, DINO, CLIP, ImageNet.

    The same as `imagenet`. `timm.list_pretrained("vit_base*")` lists the tags. If a tag was trained on
    captioned images or on the test sets, a comparison with random weights also compares training data.
    """

    name = "timm-weights"
