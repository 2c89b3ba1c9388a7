"""Zero-shot classifiers of ViT-B/32's text tower, compared with open_clip's `build_zero_shot_classifier` on a CPU.

    python benchmarks/classifiers.py
    python benchmarks/classifiers.py --classes 4 --rounds 2 --ways "open_clip fp32" "perceptinit bf16"

Both use the same random weights, class names and templates: ImageNet's first classes and 80 templates from
open_clip. open_clip encodes ten classes at a time, its default, with 77 tokens per prompt. perceptinit
(`zero_shot_classifier`, which evaluators and `perceptinit eval` use) encodes each prompt at its own length.
The command prints medians and ratios of CPU seconds and wall time, and the largest difference between
components of unit-length class vectors from open_clip's in fp32.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import open_clip
import torch

sys.path.insert(0, str(Path(__file__).parent))
import train_sets as made

from perceptinit.backbones.open_clip_backbone import OpenClip
from perceptinit.evaluators.classifier import zero_shot_classifier
from perceptinit.results.record import processor_name

REFERENCE = "open_clip fp32"
TEMPLATES = open_clip.OPENAI_IMAGENET_TEMPLATES

Build = Callable[[], torch.Tensor]


def with_open_clip(model: torch.nn.Module, classnames: list[str], dtype: torch.dtype) -> torch.Tensor:
    """Return open_clip's classifier float32 (C, D)."""
    autocast = nullcontext() if dtype == torch.float32 else torch.autocast("cpu", dtype=torch.bfloat16)
    tokenizer = open_clip.SimpleTokenizer()
    with autocast:
        columns = open_clip.build_zero_shot_classifier(model, tokenizer, classnames, TEMPLATES)
    return columns.T.float()


def ways(classnames: list[str], folder: Path) -> dict[str, Build]:
    """Return the compared methods by name. All have equal weights."""
    config, weights = made.write_model(folder, "vit-b-32")
    peer = open_clip.create_model(f"local-dir:{folder}").eval()
    ours = OpenClip(OpenClip.Config(model=str(config), pretrained=str(weights))).build().eval()
    filled = [template("{c}") for template in TEMPLATES]
    return {
        REFERENCE: partial(with_open_clip, peer, classnames, torch.float32),
        "open_clip bf16": partial(with_open_clip, peer, classnames, torch.bfloat16),
        "perceptinit fp32": partial(zero_shot_classifier, ours, classnames, filled),
        "perceptinit bf16": partial(zero_shot_classifier, ours, classnames, filled, precision="bf16"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--classes", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ways", nargs="+", help=f"methods to compare, besides {REFERENCE!r}")
    asked = parser.parse_args()
    classnames = list(open_clip.IMAGENET_CLASSNAMES[: asked.classes])
    num_prompts = len(classnames) * len(TEMPLATES)
    print(
        f"{len(classnames)} classes x {len(TEMPLATES)} templates, {torch.get_num_threads()} thread(s), "
        f"medians of {asked.rounds}; torch {torch.__version__}, open_clip {open_clip.__version__}, "
        f"{processor_name()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    cpu: dict[str, list[float]] = {}
    wall: dict[str, list[float]] = {}
    vectors: dict[str, torch.Tensor] = {}
    with tempfile.TemporaryDirectory() as folder:
        chosen = {
            name: build
            for name, build in ways(classnames, Path(folder)).items()
            if name == REFERENCE or name in (asked.ways or [name])
        }
        for _ in range(asked.rounds):
            for name, build in chosen.items():
                begin, cpu_begin = time.perf_counter(), time.process_time()
                vectors[name] = build()
                cpu.setdefault(name, []).append(time.process_time() - cpu_begin)
                wall.setdefault(name, []).append(time.perf_counter() - begin)
    middle = {name: (statistics.median(cpu[name]), statistics.median(wall[name])) for name in cpu}
    for name, (cpu_seconds, wall_seconds) in middle.items():
        difference = (vectors[name] - vectors[REFERENCE]).abs().max().item()
        print(
            f"{name:17} {1000 * cpu_seconds / num_prompts:6.2f} CPU ms per prompt "
            f"({1000 * min(cpu[name]) / num_prompts:.2f} to {1000 * max(cpu[name]) / num_prompts:.2f}), "
            f"{middle[REFERENCE][0] / cpu_seconds:5.2f} x; "
            f"{1000 * wall_seconds / num_prompts:6.2f} ms wall, {middle[REFERENCE][1] / wall_seconds:5.2f} x; "
            f"largest difference {difference:.1e}"
        )


if __name__ == "__main__":
    main()
