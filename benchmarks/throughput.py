"""Samples per second and memory of CLIP pretraining, by number of processes and batch size.

    python benchmarks/throughput.py --batch-size 256
    torchrun --nproc-per-node 8 benchmarks/throughput.py --model vit_base_patch32_clip_224 \\
        --batch-size 6144 --micro-batch 512 --precision bf16 --peak-tflops 989

Images are created before, so no loader is measured. With `--peak-tflops` of the GPU, the command also prints the
fraction of the peak.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import bench
import numpy as np
import torch

from perceptinit.backbones.timm_backbone import Timm
from perceptinit.compute import distributed
from perceptinit.compute.devices import choose_device
from perceptinit.pretrainers.clip import Clip
from perceptinit.recipe.cost import TRAINING_FACTOR
from perceptinit.seeding import named_torch_seed
from perceptinit.types import Pair, RunContext


class Noise:
    """One random image with captions of 12 words."""

    block_sizes = (1 << 20,)
    num_pairs = 1 << 20

    def __init__(self, size: int) -> None:
        self._image = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)

    def pair(self, index: int) -> Pair:
        return Pair(str(index), self._image, "a photograph of a thing on a table in a room ")


def flops_of_pair(model: torch.nn.Module, tokens: int) -> float:
    """Return floating-point operations of one pair, forward and backward."""
    from torch.utils.flop_counter import FlopCounterMode

    size, device = model.image_size, next(model.parameters()).device
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.encode_image(torch.zeros(1, 3, size, size, device=device))
        model.encode_text(torch.zeros(1, tokens, dtype=torch.int64, device=device))
    return TRAINING_FACTOR * float(counter.get_total_flops())


def main() -> None:
    options = bench.parse(
        __doc__,
        model="vit_tiny_patch16_224",
        text_width=512,
        text_layers=12,
        batch_size=64,
        micro_batch=0,
        precision="fp32",
        sharding="none",
        compile="",
        steps=5,
        peak_tflops=0.0,
        tiny={"model": "test_vit", "text_width": 64, "text_layers": 1, "batch_size": 4, "steps": 1},
    )
    with distributed.process_group():
        device = distributed.local_device(choose_device("auto"))
        config = Timm.Config(
            model=options.model, text_width=options.text_width, text_layers=options.text_layers
        )
        with named_torch_seed(0, "backbone"):
            model = Timm(config).build().to(device)
        clip = Clip(
            Clip.Config(
                batch_size=options.batch_size,
                micro_batch=options.micro_batch,
                precision=options.precision,
                sharding=options.sharding,
                compile=options.compile,
                crop="center",
                warmup_steps=1,
            ),
            Noise(model.image_size),
        )
        steps = clip.steps(model, RunContext(stage="pretrain", device=device))
        for _ in range(2):  # kernels, buckets, threads
            next(steps)
        seconds = bench.spend(lambda: take(steps, options.steps, device)).wall
        steps.close()
        if distributed.is_first():
            report(options, model, device, options.steps * options.batch_size / seconds)


def take(steps: Iterator[object], num: int, device: str) -> None:
    """Take steps and wait for the GPU."""
    for _ in range(num):
        next(steps)
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def report(options: argparse.Namespace, model: torch.nn.Module, device: str, rate: float) -> None:
    """Print the figures of the first process."""
    if device.startswith("cuda"):
        name, memory = torch.cuda.get_device_name(device), torch.cuda.max_memory_allocated() / 2**30
    else:
        name, memory = "CPU", bench.memory_bytes() / 2**30
    num = distributed.world_size()
    teraflops = rate * flops_of_pair(model, tokens=14) / num / 1e12
    print(
        f"{num} x {name}: {options.model}, batch {options.batch_size}, "
        f"micro-batch {options.micro_batch or 'none'}, {options.precision}, {options.sharding}: "
        f"{rate:.1f} samples/s, {memory:.2f} GiB a process; {bench.about('torch')}"
    )
    share = f", {teraflops / options.peak_tflops:.1%} of peak" if options.peak_tflops else ""
    print(f"  {teraflops:.3f} TFLOP/s a process{share}")


if __name__ == "__main__":
    main()
