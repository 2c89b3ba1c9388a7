"""Zero-shot classifiers of ViT-B/32's text tower, compared with open_clip's `build_zero_shot_classifier` on a CPU.

    python benchmarks/classifiers.py
    python benchmarks/classifiers.py --classes 4 --rounds 2 --ways "perceptinit bf16"

Both use the same random weights, class names and templates: ImageNet's first classes and 80 templates from
open_clip. open_clip encodes ten classes at a time, its default, with 77 tokens per prompt. perceptinit
(`zero_shot_classifier`, which evaluators and `perceptinit eval` use) encodes each prompt at its own length.
The command prints medians and ratios of CPU seconds and wall time, and the largest difference between
components of unit-length class vectors from open_clip's in fp32.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import bench
import open_clip
import torch
import train_sets

from perceptinit.backbones.open_clip_backbone import OpenClip
from perceptinit.evaluators.classifier import zero_shot_classifier

REFERENCE = "open_clip fp32"

Build = Callable[[], torch.Tensor]
Template = Callable[[str], str]


def with_open_clip(
    model: torch.nn.Module, classnames: list[str], templates: Sequence[Template], dtype: torch.dtype
) -> torch.Tensor:
    """Return open_clip's classifier float32 (C, D)."""
    autocast = nullcontext() if dtype == torch.float32 else torch.autocast("cpu", dtype=torch.bfloat16)
    tokenizer = open_clip.SimpleTokenizer()
    with autocast:
        columns = open_clip.build_zero_shot_classifier(model, tokenizer, classnames, templates)
    return columns.T.float()


def ways(model: str, classnames: list[str], templates: Sequence[Template], folder: Path) -> dict[str, Build]:
    """Return the compared methods by name. All have equal weights."""
    config, weights = train_sets.write_model(folder, model)
    peer = open_clip.create_model(f"local-dir:{folder}").eval()
    ours = OpenClip(OpenClip.Config(model=str(config), pretrained=str(weights))).build().eval()
    filled = [template("{c}") for template in templates]
    return {
        REFERENCE: partial(with_open_clip, peer, classnames, templates, torch.float32),
        "open_clip bf16": partial(with_open_clip, peer, classnames, templates, torch.bfloat16),
        "perceptinit fp32": partial(zero_shot_classifier, ours, classnames, filled),
        "perceptinit bf16": partial(zero_shot_classifier, ours, classnames, filled, precision="bf16"),
    }


def main() -> None:
    options = bench.parse(
        __doc__,
        model={"choices": sorted(train_sets.MODELS), "default": "vit-b-32"},
        classes=20,
        templates=80,
        rounds=5,
        ways={"nargs": "+", "help": f"methods to compare, besides {REFERENCE!r}"},
        tiny={"model": "small", "classes": 2, "templates": 3, "rounds": 1},
    )
    classnames = list(open_clip.IMAGENET_CLASSNAMES[: options.classes])
    templates = open_clip.OPENAI_IMAGENET_TEMPLATES[: options.templates]
    print(
        f"{len(classnames)} classes x {len(templates)} templates, medians of {options.rounds}; "
        f"{bench.about('torch', 'open_clip_torch')}",
        flush=True,
    )
    vectors: dict[str, torch.Tensor] = {}

    def measure(name: str, build: Build) -> bench.Spent:
        return bench.spend(lambda: vectors.update({name: build()}))

    with tempfile.TemporaryDirectory() as folder:
        sides = {
            name: partial(measure, name, build)
            for name, build in ways(options.model, classnames, templates, Path(folder)).items()
            if name == REFERENCE or name in (options.ways or [name])
        }
        spent = bench.alternate(sides, options.rounds)
    per_prompt = 1000 / (len(classnames) * len(templates))
    base_cpu, base_wall = bench.columns(spent[REFERENCE])
    for name, turns in spent.items():
        cpu, wall = bench.columns(turns)
        difference = (vectors[name] - vectors[REFERENCE]).abs().max().item()
        print(
            f"{name:17} {bench.spread(cpu, 'CPU ms a prompt', 2, per_prompt)}, "
            f"{bench.ratio(base_cpu, cpu)}; "
            f"{bench.spread(wall, 'ms wall', 2, per_prompt)}, {bench.ratio(base_wall, wall)}; "
            f"largest difference {difference:.1e}"
        )


if __name__ == "__main__":
    main()
