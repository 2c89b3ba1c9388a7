"""Is a pass computed now, or only recorded for inputs of other sizes and other devices?"""

from __future__ import annotations

import torch


def is_recorded() -> bool:
    """Tell whether torch.jit.trace, torch.compile or torch.export records the pass."""
    return torch.jit.is_tracing() or torch.compiler.is_compiling()


def is_eager_on_cpu(tensor: torch.Tensor) -> bool:
    """Tell whether what is done with the tensor is computed now, and on a CPU."""
    return tensor.device.type == "cpu" and not is_recorded()
