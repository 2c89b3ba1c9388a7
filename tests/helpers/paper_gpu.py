"""A GPU on paper: CPU tensors that report device cuda:0, to find errors and waits of a GPU without a GPU.

Numbers are real. Operations that a GPU refuses raise (operands on two devices, `.numpy()`). `waits` records where the
host would wait: values read, masks, blocking copies and copies from pageable memory. Only calls from Python in the
current thread are observed, not C++ code (DDP) or kernels.

    python tests/helpers/paper_gpu.py run quickstart --smoke --arm pi --device cuda     any command on the simulated GPU
"""

import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import torch
from torch.distributed.fsdp._fully_shard._fsdp_param import FSDPParam
from torch.distributed.fsdp._fully_shard._fsdp_param_group import FSDPParamGroup
from torch.distributed.tensor import DTensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten

import perceptinit

T = torch.Tensor
CUDA = torch.device("cuda:0")
PACKAGE = Path(perceptinit.__file__).parent

# allowed waits of a training step, by file and function, with the reason
ALLOWED_WAITS = {
    "initializers/triplet_training.py:_fetch": "loss and violations are read every tenth step, to be shown",
    "pretrainers/objective.py:forward": "a plug-in's library may choose by masks in its loss, as lightly does",
    "compute/devices.py:numbers": "the step before is settled once the next one is under way",
}

READS = {T.item, T.tolist, T.__bool__, T.__float__, T.__int__, T.__index__, T.__repr__}
READS |= {
    torch.nonzero,
    T.nonzero,
    torch.masked_select,
    T.masked_select,
    torch.equal,
    torch.allclose,
}
READS |= {torch.unique, T.unique}
# operations that accept tensors of two devices
MIXED = {
    T.copy_,
    T.to,
    T.__getitem__,
    T.__setitem__,
    T.data.__set__,
    T.grad.__set__,
    T.grad.__get__,
}
MIXED |= {
    torch._has_compatible_shallow_copy_type,
    torch.autograd.backward,
    T.backward,
    T.requires_grad_,
}


@dataclass(frozen=True)
class Wait:
    """why: the reason of the wait. place: file and function of perceptinit; stack: its functions, outermost first."""

    why: str
    place: str
    line: int
    stack: tuple[str, ...]


class Storages:
    """Memory that tensors share. A weak reference keeps the address reserved until the memory is freed."""

    def __init__(self) -> None:
        self._held: dict[int, StorageWeakRef] = {}
        self._limit = 1000

    def __contains__(self, tensor: T) -> bool:
        return tensor.untyped_storage()._cdata in self._held

    def add(self, tensor: T) -> None:
        storage = tensor.untyped_storage()
        self._held.setdefault(storage._cdata, StorageWeakRef(storage))
        if len(self._held) > self._limit:
            self._held = {key: held for key, held in self._held.items() if not held.expired()}
            self._limit = 2 * len(self._held) + 1000


class PaperGpu(TorchFunctionMode):
    """Records `waits`, and which storages are on the GPU or pinned."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[Wait] = []
        self._on_gpu = Storages()
        self._pinned = Storages()

    def steady_waits(self) -> list[Wait]:
        """Return the waits in perceptinit that are not allowed; moving a model in a test does not count."""
        return [w for w in self.waits if w.place and w.place not in ALLOWED_WAITS]

    def is_on_gpu(self, tensor: T) -> bool:
        return tensor in self._on_gpu

    def put(self, tensor: T) -> T:
        """Mark a tensor as on the GPU and return it."""
        self._on_gpu.add(tensor)
        return tensor

    def _is_pinned(self, tensor: T) -> bool:
        return tensor in self._pinned

    def _wait(self, why: str) -> None:
        ours = [f for f in traceback.extract_stack() if Path(f.filename).is_relative_to(PACKAGE)]
        if not ours:
            self.waits.append(Wait(why, "", 0, ()))
            return
        file = Path(ours[-1].filename).relative_to(PACKAGE)
        place, stack = f"{file}:{ours[-1].name}", tuple(frame.name for frame in ours)
        self.waits.append(Wait(why, place, ours[-1].lineno or 0, stack))

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        tensors = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, T)]
        gpu = [x for x in tensors if self.is_on_gpu(x)]
        if func == T.device.__get__:
            return CUDA if gpu else func(*args)
        if func == T.is_cuda.__get__:
            return bool(gpu)
        if func is T.is_pinned:
            return self._is_pinned(args[0])
        if func is T.pin_memory:
            return _tag(args[0].clone(memory_format=torch.preserve_format), self._pinned)
        if func in (T.to, T.cpu, T.cuda):
            moved = self._moved(func, args, kwargs)
            if moved is not None:
                return moved
        self._look(func, args, kwargs, tensors, gpu)
        is_pinned = kwargs.pop("pin_memory", False)
        wanted = _is_cuda(kwargs.get("device"))
        if (gpu or wanted) and kwargs.get("generator") is not None:
            raise RuntimeError("Expected a 'cuda' device type for generator but found 'cpu'")
        if wanted:
            kwargs["device"] = "cpu"
        out = func(*args, **kwargs)
        if is_pinned:
            _tag(out, self._pinned)
        if (gpu and func not in (T.copy_, T.__setitem__)) or wanted:
            for x in tree_flatten(out)[0]:
                if isinstance(x, T):
                    self.put(x)
        return out

    def _moved(self, func, args, kwargs):
        """Return the tensor on the device of `to`, `cpu` or `cuda`; None if they name no device."""
        source, rest = args[0], args[1:]
        target = {T.cpu: "cpu", T.cuda: CUDA}.get(func, kwargs.get("device", rest[0] if rest else None))
        if isinstance(target, T):
            kwargs = {"dtype": target.dtype, **kwargs}
            target = CUDA if self.is_on_gpu(target) else "cpu"
        if not isinstance(target, str | torch.device):
            return None
        dtype = kwargs.get("dtype") or next((a for a in rest[1:] if isinstance(a, torch.dtype)), source.dtype)
        to_gpu = _is_cuda(target)
        if to_gpu == self.is_on_gpu(source):
            out = source.to(dtype)
            return self.put(out) if to_gpu else out
        is_free = kwargs.get("non_blocking", False) or any(a is True for a in rest[1:])
        if not is_free:
            self._wait("blocking copy")
        elif to_gpu and not self._is_pinned(source):
            self._wait("copy from pageable memory")
        out = source.to(dtype).clone(memory_format=torch.preserve_format)
        return self.put(out) if to_gpu else _tag(out, self._pinned)

    def _look(self, func, args, kwargs, tensors, gpu) -> None:
        """Raise an error for an operation that a GPU refuses, or record a wait."""
        if not gpu:
            return
        if func in READS:
            self._wait(func.__name__)
        if func in (T.numpy, T.__array__):
            raise TypeError("can't convert cuda:0 device type tensor to numpy")
        if func in (T.__getitem__, T.__setitem__):
            index = tree_flatten(args[1])[0]
            if any(self._is_read_by_host(i) for i in index):
                self._wait("index from the host or by a mask")
        if func is T.copy_ and len({self.is_on_gpu(x) for x in tensors}) > 1:
            is_free = kwargs.get("non_blocking") or (len(args) > 2 and args[2])
            cpu = next(x for x in tensors if not self.is_on_gpu(x))
            if not is_free:
                self._wait("blocking copy_")
            elif not self._is_pinned(cpu):
                self._wait("copy_ with pageable memory")
        elif func not in MIXED and any(x.ndim and not self.is_on_gpu(x) for x in tensors):
            name = getattr(func, "__name__", func)
            raise RuntimeError(f"Expected all tensors to be on the same device: {name}")

    def _is_read_by_host(self, index: object) -> bool:
        if isinstance(index, T):
            return index.dtype == torch.bool or not self.is_on_gpu(index)
        return type(index).__module__ == "numpy" and bool(getattr(index, "ndim", 0))


def _tag(tensor: T, storages: Storages) -> T:
    storages.add(tensor)
    return tensor


def _is_cuda(device: object) -> bool:
    if device is None or isinstance(device, torch.dtype):
        return False
    return torch.device(device).type == "cuda"  # type: ignore[call-overload]


@contextmanager
def paper_gpu() -> Iterator[PaperGpu]:
    """Provide a simulated GPU, cuda:0, within the block."""
    event = SimpleNamespace(synchronize=lambda: None)
    stream = SimpleNamespace(record_event=lambda: event, synchronize=lambda: None, is_capturing=lambda: False)
    autocast = torch.autocast
    cuda = {
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "set_device": lambda *_: None,
        "current_stream": lambda *_: stream,
        "is_current_stream_capturing": lambda: False,
        "synchronize": lambda *_: None,
        "get_device_name": lambda *_: "paper",
        "is_bf16_supported": lambda **_: True,
        "get_rng_state": lambda *_: torch.zeros(16, dtype=torch.uint8),
        "set_rng_state": lambda *_: None,
        "manual_seed_all": lambda *_: None,
        "mem_get_info": lambda *_: (80 << 30, 80 << 30),
    }
    # a build for CPUs has no accelerator, one for CUDA asks the driver
    accelerator = {
        "current_accelerator": lambda *_, **__: torch.device("cuda"),
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "current_device_index": lambda: 0,
        "set_device_index": lambda *_: None,
        "current_stream": lambda *_: stream,
        "synchronize": lambda *_: None,
    }

    def on_cpu(device_type, **options):
        return autocast("cpu", **options)

    mode = PaperGpu()
    # C++ code, which does not see the simulated device
    group = torch.nn.utils.clip_grad._group_tensors_by_device_and_dtype  # type: ignore[attr-defined]

    def grouped(lists):
        return {(rows[0][0].device, kind): (rows, i) for (_, kind), (rows, i) in group(lists).items()}

    by_device = mock.patch.object(torch.nn.utils.clip_grad, "_group_tensors_by_device_and_dtype", grouped)
    with (
        by_device,
        mock.patch("torch.autocast", on_cpu),
        mock.patch.multiple("torch.cuda", **cuda),
        mock.patch.multiple("torch.accelerator", **accelerator),
        mode,
    ):
        yield mode


# work that FSDP does on its own streams
FSDP_STEPS = (
    "lazy_init",
    "pre_forward",
    "post_forward",
    "pre_backward",
    "post_backward",
    "finalize_backward",
)


@contextmanager
def fsdp_on_paper(gpu: PaperGpu) -> Iterator[None]:
    """Let FSDP communicate on the CPU; the weights that it passes to modules are marked as on the GPU."""

    from perceptinit.pretrainers import sharding

    def off_paper(function):
        def run(*args, **kwargs):
            with torch._C.DisableTorchFunction():
                return function(*args, **kwargs)

        return run

    def hand_over(fsdp_param, parameter):
        gpu.put(parameter)
        if isinstance(parameter, DTensor):
            gpu.put(parameter._local_tensor)
        set_parameter(fsdp_param, parameter)

    set_parameter, whole = FSDPParam._setattr_on_modules, off_paper(DTensor.full_tensor)
    patches = [(FSDPParamGroup, n, off_paper(getattr(FSDPParamGroup, n))) for n in FSDP_STEPS]
    patches += [
        (sharding, "fully_shard", off_paper(sharding.fully_shard)),
        (FSDPParam, "_setattr_on_modules", hand_over),
        (DTensor, "full_tensor", lambda tensor: gpu.put(whole(tensor))),
    ]
    with ExitStack() as stack:
        for owner, name, patch in patches:
            stack.enter_context(mock.patch.object(owner, name, patch))
        yield


if __name__ == "__main__":
    from perceptinit.cli import main

    with paper_gpu():
        main()
