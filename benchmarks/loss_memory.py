"""Forward and backward pass of CLIP's loss, in chunks and as one matrix, compared with open_clip. CPU or GPU.

    python benchmarks/loss_memory.py --rows 16384 --rounds 3

Every measurement runs in its own process, and methods alternate. The command prints the median CPU seconds (GPU:
wall seconds) and the largest increase of memory beyond the features.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time

WAYS = ("chunked", "one matrix", "open_clip")


def measure(way: str, rows: int, width: int, log_scale: float, device: str) -> dict[str, float]:
    """Return seconds, the rise of memory in MB and the loss."""
    import torch
    import torch.nn.functional as F

    from perceptinit.pretrainers import pair_loss

    generator = torch.Generator().manual_seed(0)
    images, texts = (
        torch.randn(rows, width, generator=generator).to(device).requires_grad_() for _ in range(2)
    )
    scale = torch.tensor(log_scale, device=device).requires_grad_()
    pair_loss.PLAIN_ROWS = 0 if way == "chunked" else rows
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
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=16384)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--log-scale", type=float, default=4.6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--way", choices=WAYS)
    options = parser.parse_args()
    shape = (options.rows, options.width, options.log_scale, options.device)
    if options.way:
        print(json.dumps(measure(options.way, *shape)))
        return
    results: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for _ in range(options.rounds):
        for way in WAYS:
            command = [sys.executable, __file__, *sys.argv[1:], "--way", way]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            results[way].append(json.loads(output))
    print(f"{options.rows} x {options.width}, {options.device}, median of {options.rounds} rounds")
    base = statistics.median(r["seconds"] for r in results["chunked"])
    for way, rows in results.items():
        seconds = statistics.median(r["seconds"] for r in rows)
        memory = statistics.median(r["megabytes"] for r in rows)
        print(
            f"{way:12} {seconds:8.2f} s ({seconds / base:.2f} x chunked)  {memory:8.0f} MB  "
            f"loss {rows[0]['loss']:.6f}"
        )


if __name__ == "__main__":
    main()
