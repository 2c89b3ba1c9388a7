"""Models that are built to have weights loaded into them, without the time of drawing random ones first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch.nn import init
from torch.overrides import TorchFunctionMode

# not the tensors' own methods: code that draws until the values suit would never end
_DRAWS = (init.normal_, init.uniform_, init.kaiming_normal_, init.kaiming_uniform_)


class Undrawn(TorchFunctionMode):
    """Leaves weights as the memory was, for the block; what is loaded has to cover every one of them.

    Draws that go another way than through these functions of `torch.nn.init` are made. ViT-B/32 with its text
    tower is built in 0.13 s instead of 0.7 s, with timm's tower in 0.45 instead of 0.9 s.
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
