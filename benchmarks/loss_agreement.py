"""The first training losses, compared with open_clip's model, loss and optimizer on the same batches.

    python benchmarks/loss_agreement.py --steps 20

Both start from the same weights and use the batches of perceptinit's loader; fingerprints verify that the batches are
equal. The peer is open_clip's CLIP and ClipLoss in the steps of `open_clip_train.train`, with its parameter groups,
its autocast, and captions padded to 77 tokens. The command prints both curves and the largest difference in each
precision, and fails if a difference exceeds the tolerance. In fp32, the tolerance is 1e-5 of the loss, because only the
order of sums differs (rounding is 6e-8 and accumulates over steps). In bf16, it is 2^-8, the rounding of one number,
because open_clip computes logits in bf16, perceptinit computes them in fp32, and the towers round at different
positions. The learning rate warms up over all steps, so the weights change.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bench
import open_clip
import torch
import torch.nn.functional as F
import train_sets
from open_clip_train.precision import get_autocast

from perceptinit.backbones.open_clip_backbone import OpenClip
from perceptinit.compute.optim import warmup_cosine
from perceptinit.pairs.augment import Augment
from perceptinit.pairs.batches import PairBatch, fingerprint
from perceptinit.pairs.loader import PairLoader
from perceptinit.pairs.webdataset_pairs import WebdatasetPairs
from perceptinit.pretrainers.clip import Clip
from perceptinit.types import RunContext

PEER_PRECISIONS = {"fp32": "fp32", "bf16": "amp_bf16"}
TOLERANCES = {"fp32": 1e-5, "bf16": 2**-8}  # shares of the loss
EPOCHS = 4


def our_losses(config: Clip.Config, pairs: Any, backbone: OpenClip, steps: int) -> tuple[list, str]:
    """Return the losses of our training and the fingerprint of its batches."""
    clip = Clip(config, pairs)
    run = clip.steps(backbone.build(), RunContext(stage="pretrain", device="cpu"))
    losses = [float(next(run).metrics["loss"]) for _ in range(steps)]
    sha256 = clip.data_sha256
    run.close()
    return losses, sha256


def batches(config: Clip.Config, pairs: Any, backbone: OpenClip, steps: int) -> Iterator[PairBatch]:
    """Yield the batches of our training again."""
    model = backbone.build()
    loader = PairLoader(
        pairs,
        batch_size=config.batch_size,
        image_size=model.image_size,
        tokenize=model.tokenize,
        context_length=model.context_length,
        ctx=RunContext(stage="pretrain", device="cpu"),
        augment=Augment(crop=config.crop, scale=config.crop_scale, ratio=config.crop_ratio),
        shuffle_blocks=config.shuffle_blocks,
    )
    yield from loader.batches(0, steps)


def peer_losses(
    config: Clip.Config, given: Iterator[PairBatch], folder: Path, total_steps: int
) -> tuple[list, str]:
    """Return the losses of open_clip's steps on these batches, and the batches' fingerprint."""
    model = open_clip.create_model(f"local-dir:{folder}", output_dict=True).train()
    loss_of = open_clip.ClipLoss()
    optimizer = _peer_optimizer(model, config)
    autocast = get_autocast(PEER_PRECISIONS[config.precision], device_type="cpu")
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in _mean_std(model))
    losses, sha256 = [], ""
    for step, batch in enumerate(given, start=1):
        for group in optimizer.param_groups:
            group["lr"] = warmup_cosine(step, total_steps, config.warmup_steps, config.lr)
        images = (batch.images / 255 - mean) / std
        texts = F.pad(batch.tokens, (0, train_sets.CONTEXT - batch.tokens.shape[1]))
        optimizer.zero_grad()
        with autocast():
            loss = sum(loss_of(**model(images, texts), output_dict=True).values())
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(100))
        losses.append(loss.item())
        sha256 = fingerprint(sha256, batch)
    return losses, sha256


def _mean_std(model: Any) -> tuple[Any, Any]:
    return model.visual.image_mean, model.visual.image_std


def _peer_optimizer(model: torch.nn.Module, config: Clip.Config) -> torch.optim.AdamW:
    """Return AdamW over the groups of `open_clip_train.main`."""

    def is_exempt(name: str, parameter: torch.nn.Parameter) -> bool:
        parts = ("bn", "ln", "bias", "logit_scale")
        return parameter.ndim < 2 or any(part in name for part in parts)

    named = list(model.named_parameters())
    return torch.optim.AdamW(
        [
            {"params": [p for n, p in named if is_exempt(n, p)], "weight_decay": 0.0},
            {
                "params": [p for n, p in named if not is_exempt(n, p)],
                "weight_decay": config.weight_decay,
            },
        ],
        lr=config.lr,
        betas=config.betas,
        eps=config.eps,
    )


def main() -> None:
    options = bench.parse(
        __doc__,
        model={"choices": sorted(train_sets.MODELS), "default": "small"},
        batch_size=64,
        steps=20,
        lr=5e-4,
        photos=bench.PHOTOS,
        tiny={"batch_size": 16, "steps": 2},
    )
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        num_pairs = options.batch_size * options.steps
        shards = train_sets.write_shards(work / "shards", num_pairs, 2, options.photos)
        pairs = WebdatasetPairs(WebdatasetPairs.Config(shards=shards))
        model, weights = train_sets.write_model(work / "model", options.model)
        backbone = OpenClip(OpenClip.Config(model=str(model), pretrained=str(weights)))
        about = bench.about("torch", "open_clip_torch")
        print(f"{options.model}, batch {options.batch_size}; {about}", flush=True)
        for precision in PEER_PRECISIONS:
            config = Clip.Config(
                epochs=EPOCHS,
                batch_size=options.batch_size,
                lr=options.lr,
                warmup_steps=options.steps,
                weight_decay=0.2,
                precision=precision,
                num_workers=0,
            )
            ours, sha256 = our_losses(config, pairs, backbone, options.steps)
            given = batches(config, pairs, backbone, options.steps)
            theirs, peer_sha256 = peer_losses(config, given, model.parent, EPOCHS * options.steps)
            assert sha256 == peer_sha256, "the two sides saw different batches"
            worst = max(abs(a - b) / b for a, b in zip(ours, theirs, strict=True))
            print(
                f"{precision}: largest difference {worst:.1e} of the loss (tolerance "
                f"{TOLERANCES[precision]:.0e}), batches {sha256[:12]} on both sides"
            )
            print("  perceptinit " + " ".join(f"{loss:.5f}" for loss in ours))
            print("  open_clip   " + " ".join(f"{loss:.5f}" for loss in theirs), flush=True)
            if worst > TOLERANCES[precision]:
                raise SystemExit(f"{precision}: the losses do not agree")


if __name__ == "__main__":
    main()
