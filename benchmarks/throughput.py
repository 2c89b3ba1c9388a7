"""Samples per second and memory of CLIP pretraining, by number of processes and batch size.

    python benchmarks/throughput.py --batch-size 256
    torchrun --nproc-per-node 8 benchmarks/throughput.py --model vit_base_patch32_clip_224 \\
        --batch-size 6144 --micro-batch 512 --precision bf16 --peak-tflops 989

Images are created before, so no loader is measured. With `--peak-tflops` of the GPU, the command also prints the
fraction of the peak.
"""

from __future__ import annotations

import argparse
import os
import resource
import time

import numpy as np
import torch

from perceptinit.backbones.timm_backbone import Timm
from perceptinit.compute import distributed
from perceptinit.compute.devices import choose_device
from perceptinit.pretrainers.clip import Clip
from perceptinit.recipe.plan import TRAINING_FACTOR
from perceptinit.results.record import processor_name
from perceptinit.seeding import named_torch_seed
from perceptinit.types import Pair, RunContext


class Noise:
    """One random image with captions of 12 words."""

    block_sizes = (1 << 20,)
    num_pairs = 1 << 20

    def __init__(self, size: int) -> None:
        self._image = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)

    def pair(self, index: int) -> Pair:
        return Pair(str(index), self._image, "a photograph of a thing on a table in a room " * 1)


def flops_of_pair(model: torch.nn.Module, tokens: int) -> float:
    """Return floating-point operations of one pair, forward and backward."""
    from torch.utils.flop_counter import FlopCounterMode

    size, device = model.image_size, next(model.parameters()).device
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.encode_image(torch.zeros(1, 3, size, size, device=device))
        model.encode_text(torch.zeros(1, tokens, dtype=torch.int64, device=device))
    return TRAINING_FACTOR * float(counter.get_total_flops())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="vit_tiny_patch16_224")
    parser.add_argument("--text-width", type=int, default=512)
    parser.add_argument("--text-layers", type=int, default=12)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--micro-batch", type=int, default=0)
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--sharding", default="none")
    parser.add_argument("--compile", default="")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--peak-tflops", type=float, default=0.0)
    o = parser.parse_args()
    with distributed.process_group():
        device = distributed.local_device(choose_device("auto"))
        config = Timm.Config(model=o.model, text_width=o.text_width, text_layers=o.text_layers)
        with named_torch_seed(0, "backbone"):
            model = Timm(config).build().to(device)
        clip = Clip(
            Clip.Config(
                batch_size=o.batch_size,
                micro_batch=o.micro_batch,
                precision=o.precision,
                sharding=o.sharding,
                compile=o.compile,
                crop="center",
                warmup_steps=1,
            ),
            Noise(model.image_size),
        )
        steps = clip.steps(model, RunContext(stage="pretrain", device=device))
        for _ in range(2):  # kernels, buckets, threads
            next(steps)
        torch.cuda.synchronize() if device.startswith("cuda") else None
        begin = time.perf_counter()
        for _ in range(o.steps):
            next(steps)
        torch.cuda.synchronize() if device.startswith("cuda") else None
        rate = o.steps * o.batch_size / (time.perf_counter() - begin)
        steps.close()
        if distributed.is_first():
            report(o, model, device, rate)


def report(o: argparse.Namespace, model: torch.nn.Module, device: str, rate: float) -> None:
    """Print the figures of the first process."""
    if device.startswith("cuda"):
        name, memory = torch.cuda.get_device_name(device), torch.cuda.max_memory_allocated() / 2**30
    else:
        name = f"{processor_name()}, {os.environ.get('OMP_NUM_THREADS', 'all')} threads"
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    num = distributed.world_size()
    flops = flops_of_pair(model, tokens=14)
    line = f"{num} x {name}: {o.model}, batch {o.batch_size}, micro-batch {o.micro_batch or 'none'}"
    print(f"{line}, {o.precision}, {o.sharding}: {rate:.1f} samples/s, {memory:.2f} GiB a process")
    print(f"  {rate * flops / num / 1e12:.3f} TFLOP/s a process", end="")
    print(f", {rate * flops / num / 1e12 / o.peak_tflops:.1%} of peak" if o.peak_tflops else "")


if __name__ == "__main__":
    main()
