"""ImageNet weights (`imagenet`)."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from perceptinit.errors import CheckpointError, InitializerError, problems_of
from perceptinit.files.checkpoints import load_strict, load_weights
from perceptinit.initializers.report import reporting
from perceptinit.types import InitReport, RunContext

WEIGHTS_FILE = "model.safetensors"  # as timm calls it in its repositories


class ImageNet:
    """Loads timm's pretrained weights of the same architecture into the trunk; a projection stays as it is.

    The classifier of the file is left out. Where image or patch size differ, timm's own functions
    resample position and patch embeddings. Both are told as a warning and so stand in the record.
    """

    smoke_stand_in = "random"  # weights of a full-size model do not fit a shrunken one

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        file: Path | None = None
        """Safetensors file in timm's layout, instead of a download; the tower keeps its mean and std."""
        tag: str | None = None
        """Which of timm's weights to download, such as "augreg_in1k"; required without a file, because
        timm's default for an architecture may have been trained on captioned images."""

        def __post_init__(self) -> None:
            check_source(self.file, self.tag)

    def __init__(self, config: Config) -> None:
        self.config = config

    def preflight(self) -> Iterator[str]:
        """Yield what is wrong with a local file."""
        file = self.config.file
        return problems_of(load_weights, file) if file else iter(())

    def initialize(self, model: Any, ctx: RunContext) -> InitReport:
        """Load the weights; with a tag also the mean and std of the images they were trained on.

        Raises InitializerError when the trunk is none of timm's, CheckpointError when there are no
        such weights or a name or shape differs.
        """
        architecture = timm_architecture(model.trunk, "imagenet")
        found = read_weights(self.config.file, self.config.tag, architecture, model.trunk)
        return load_trunk("imagenet", model, found, found.weights, ctx)


@dataclass(frozen=True, slots=True, eq=False)
class TimmWeights:
    """Weights as a timm model needs them.

    source: their file and architecture. about: timm's facts on them, None for a local file. notes:
    sentences on what differs from the file.
    """

    source: str
    about: Any
    weights: dict[str, Tensor]
    notes: list[str]


def check_source(file: Path | None, tag: str | None) -> None:
    """Raise ValueError unless exactly one of both is given."""
    if (file is None) == (tag is None):
        raise ValueError("needs either 'file' (safetensors) or 'tag' (which of timm's weights)")


def read_weights(file: Path | None, tag: str | None, architecture: str, like: nn.Module) -> TimmWeights:
    """Return weights of an architecture, from a file or downloaded, as the module `like` needs them."""
    path, about = (file, None) if file else download(architecture, str(tag))
    return TimmWeights(f"{path} ({architecture})", about, *fit(load_weights(path), like))


def load_trunk(
    name: str, model: Any, found: TimmWeights, weights: Mapping[str, Tensor], ctx: RunContext
) -> InitReport:
    """Load the weights into the trunk, set mean and std where timm states them, and warn of `notes`."""
    with reporting(name, model, hint="it already holds these weights") as report:
        load_strict(model.trunk, weights, found.source)
        if found.about is not None:
            model.mean.copy_(torch.tensor(found.about.mean))
            model.std.copy_(torch.tensor(found.about.std))
    if found.notes:
        ctx.warn(f"{name}: {found.source}: {'; '.join(found.notes)}")
    return report.result


def timm_architecture(trunk: nn.Module, initializer: str) -> str:
    """Return timm's name of the architecture.

    Raises InitializerError when the trunk is none of timm's.
    """
    architecture = _timm_facts(trunk).get("architecture")
    if not architecture:
        raise InitializerError(
            f"initializer '{initializer}' needs a timm trunk, this one is {type(trunk).__module__}."
            f"{type(trunk).__name__}. Use backbone 'timm', or initializer 'checkpoint' with a key_map"
        )
    return architecture


def _timm_facts(trunk: nn.Module) -> Mapping[str, Any]:
    return getattr(trunk, "pretrained_cfg", None) or {}


def download(architecture: str, tag: str) -> tuple[Path, Any]:
    """Return timm's weights file, from the local cache or the network, and timm's facts about it.

    Raises CheckpointError that names the known tags, or says what to do without a network.
    """
    from huggingface_hub import hf_hub_download
    from timm.models import get_pretrained_cfg, list_pretrained

    name = f"{architecture}.{tag}"
    known = list_pretrained(f"{architecture}.*")
    cfg = get_pretrained_cfg(name) if name in known else None
    if cfg is None or not cfg.hf_hub_id:
        tags = ", ".join(n.partition(".")[2] for n in known) or "none"
        raise CheckpointError(f"timm has no weights '{name}'. Tags of {architecture}: {tags}")
    repository, _, revision = cfg.hf_hub_id.partition("@")
    try:
        file = hf_hub_download(repository, WEIGHTS_FILE, revision=revision or None)
    except Exception as error:  # the client has dozens of errors for a missing or unreachable file
        raise CheckpointError(
            f"{WEIGHTS_FILE} of {cfg.hf_hub_id} cannot be fetched ({error}). Without a network, fetch it "
            "elsewhere and give its path as 'file'"
        ) from error
    return Path(file), cfg


def fit(weights: Mapping[str, Tensor], trunk: nn.Module) -> tuple[dict[str, Tensor], list[str]]:
    """Return the weights as the trunk needs them, and sentences on what differs from the file.

    The classifier is the trunk's own, if it has one; timm's filter of the architecture renames
    and resamples.
    """
    adapt = getattr(sys.modules[type(trunk).__module__], "checkpoint_filter_fn", None)
    adapted = adapt(dict(weights), trunk) if adapt else dict(weights)
    left_out = sorted(name for name in adapted if _is_classifier(name, trunk))
    resampled = sorted(
        f"{name} {tuple(weights[name].shape)} to {tuple(adapted[name].shape)}"
        for name in adapted.keys() & weights.keys()
        if adapted[name].shape != weights[name].shape
    )
    own = {k: v for k, v in trunk.state_dict().items() if _is_classifier(k, trunk)}
    fitted = {k: v for k, v in adapted.items() if k not in left_out} | own
    notes = [f"left out its classifier ({', '.join(left_out)})"] if left_out else []
    return fitted, notes + ([f"resampled {', '.join(resampled)}"] if resampled else [])


def _is_classifier(name: str, trunk: nn.Module) -> bool:
    classifier = _timm_facts(trunk).get("classifier") or ()
    heads = (classifier,) if isinstance(classifier, str) else classifier
    return any(name.startswith(f"{head}.") for head in heads)
