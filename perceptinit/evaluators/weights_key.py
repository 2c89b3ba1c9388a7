"""What tells two models apart for caches: weights, and the modules that they belong to."""

from __future__ import annotations

import hashlib
from typing import Any

from torch import nn

from perceptinit.files.checkpoints import weights_sha256


def text_key(model: Any) -> str | None:
    """Return a hash of the text tower, None when the model is no torch module with one."""
    return _key(getattr(model, "text", None))


def image_key(model: Any) -> str | None:
    """Return a hash of the image tower, None when the model is no torch module with one."""
    return _key(getattr(model, "image", None))


def _key(module: Any) -> str | None:
    """Return a hash of weights and structure: equal weights with another activation differ."""
    if not isinstance(module, nn.Module):
        return None
    structure = hashlib.sha256(repr(module).encode()).hexdigest()
    return f"{structure[:32]}{weights_sha256(module)[:32]}"
