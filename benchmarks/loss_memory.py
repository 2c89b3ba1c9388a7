"""Forward and backward pass of CLIP's loss, in chunks and as one matrix, compared with open_clip. CPU or GPU.

    python benchmarks/loss_memory.py --rows 16384 --rounds 3

Every measurement runs in its own process, and methods alternate. The command prints the median CPU seconds (GPU:
wall seconds) and the largest increase of memory beyond the features.
"""

from __future__ import annotations

import resource
import statistics
import time
from functools import partial

import bench

BASE = "chunked"
WAYS = (BASE, "one matrix", "open_clip")


def measure(way: str, rows: int, width: int, log_scale: float, device: str) -> dict[str, float]:
    """Return seconds, the increase of memory in MB and the loss."""
    import torch
    import torch.nn.functional as F

    from perceptinit.pretrainers import pair_loss

    generator = torch.Generator().manual_seed(0)
    images, texts = (
        torch.randn(rows, width, generator=generator).to(device).requires_grad_() for _ in range(2)
    )
    scale = torch.tensor(log_scale, device=device).requires_grad_()
    pair_loss.PLAIN_ROWS = 0 if way == BASE else rows
    run_once = pair_loss.contrastive_loss
    if way == "open_clip":
        from open_clip.loss import ClipLoss

        def run_once(images, texts, scale):
            normal = F.normalize(images, dim=-1), F.normalize(texts, dim=-1)
            return ClipLoss()(*normal, scale.exp())

    run_once(images[:64], texts[:64], scale).backward()  # loads kernels
    images.grad = texts.grad = None
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before, begin = torch.cuda.memory_allocated(), time.perf_counter()
    else:
        before, begin = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    loss = run_once(images, texts, scale)
    loss.backward()
    if device == "cuda":
        torch.cuda.synchronize()
        seconds = time.perf_counter() - begin
        rise = (torch.cuda.max_memory_allocated() - before) / 1e6
    else:
        seconds = time.process_time() - begin
        rise = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / 1e6
    return {"seconds": seconds, "megabytes": rise, "loss": loss.item()}


def main() -> None:
    options = bench.parse(
        __doc__, rows=16384, width=512, log_scale=4.6, rounds=3, device="cpu", tiny={"rows": 256, "rounds": 1}
    )
    print(
        f"{options.rows} x {options.width}, {options.device}, medians of {options.rounds}; {bench.about('torch')}"
    )
    shape = (options.rows, options.width, options.log_scale, options.device)
    sides = {way: partial(bench.in_new_process, measure, way, *shape) for way in WAYS}
    results = bench.alternate(sides, options.rounds)
    seconds = {way: [row["seconds"] for row in rows] for way, rows in results.items()}
    for way, rows in results.items():
        memory = statistics.median(row["megabytes"] for row in rows)
        print(
            f"{way:12} {bench.spread(seconds[way], 's')}, {bench.ratio(seconds[way], seconds[BASE])} of chunked, "
            f"{memory:.0f} MB, loss {rows[0]['loss']:.6f}"
        )


if __name__ == "__main__":
    main()
