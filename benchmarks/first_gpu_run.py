"""The first hour on a GPU: is it right, is it fast, and what keeps it from being faster?

    python benchmarks/first_gpu_run.py                              on a GPU, 45 minutes at most, no network
    python benchmarks/first_gpu_run.py --size tiny --device cpu     seconds, to see that it runs

Writes OUT.json with all numbers and OUT.md, a page with what to look at. A part that fails is told there, and the
others go on. What is compared: losses with those of a CPU in fp32, a run with itself, with one that was stopped,
and every built-in initializer that needs no file; then samples/s, share of peak, memory, the time in which
the GPU waits for the host, decoding threads beside Python's lock, and stage 1.
"""

from __future__ import annotations

import argparse
import io
import json
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
from throughput import Noise, flops_of_pair

from perceptinit.backbones.timm_backbone import Timm
from perceptinit.components.building import find_parts
from perceptinit.components.plugin_manager import build_plugin_manager
from perceptinit.compute.devices import choose_device, set_up_process, usable_cores
from perceptinit.errors import PerceptInitError
from perceptinit.files.checkpoints import weights_sha256
from perceptinit.initializers.triplet import TripletHinge
from perceptinit.judgments.controls.synthetic import SyntheticJudgments
from perceptinit.pairs.synthetic import SyntheticPairs
from perceptinit.pretrainers.clip import Clip
from perceptinit.results.record import processor_name
from perceptinit.running.dry_run import PEAK
from perceptinit.seeding import named_torch_seed
from perceptinit.testing.contract import tiny_pairs, tiny_pretrainer
from perceptinit.types import Pair, RunContext

MAX_MINUTES = 45
NUM_STEPS = 20
# largest difference of a loss from the CPU's in fp32 that calls for no look; rounding, of losses of some 5
TOLERANCE = {"fp32": 1e-3, "tf32": 0.02, "bf16": 0.1, "fp16": 0.05, "compile": 1e-3}
# what the issue of speed hopes for
GOALS = "8,000 samples/s at 768 pairs in bf16 on an H100 with 16 cores, less than 5 % waiting for the host"


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is done: steps that are timed, pairs of a step, judgments of stage 1."""

    model: dict[str, Any]
    batch_size: int
    micro_batch: int
    timed_steps: int
    photo: int
    num_triplets: int
    compile: str


VIT_B32 = {"model": "vit_base_patch32_clip_224", "embed_dim": 512}
SIZES = {
    "full": Size(
        model=VIT_B32,
        batch_size=768,
        micro_batch=256,
        timed_steps=30,
        photo=512,
        num_triplets=2000,
        compile="inductor",
    ),
    "tiny": Size(
        model={},
        batch_size=16,
        micro_batch=8,
        timed_steps=2,
        photo=48,
        num_triplets=32,
        compile="eager",
    ),
}


class Photographs(Noise):
    """One JPEG that is decoded again for every pair."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        file = io.BytesIO()
        smooth = Image.fromarray(self._image).resize((size // 8, size // 8)).resize((size, size))
        smooth.save(file, "JPEG", quality=90)
        self._bytes = file.getvalue()

    def pair(self, index: int) -> Pair:
        return Pair(str(index), self._bytes, "a photograph of a thing on a table in a room")


class FirstRun:
    """The parts, each a method that returns plain numbers."""

    def __init__(self, size: Size, device: str) -> None:
        self.size, self.device = size, device
        self.is_gpu = device.startswith("cuda")

    def _model(self, device: str | None = None, small: bool = False) -> Any:
        config = Timm.Config(**self.size.model) if self.size.model and not small else None
        with named_torch_seed(0, "backbone"):
            model = Timm(config or Timm.Config().smoke()).build()
        return model.to(device or self.device)

    def _context(self, device: str | None = None, **options: Any) -> RunContext:
        return RunContext(stage="pretrain", device=device or self.device, **options)

    def _small(self, **settings: Any) -> Clip:
        pairs = SyntheticPairs(SyntheticPairs.Config(num_pairs=16 * NUM_STEPS))
        keys = {"epochs": 1, "batch_size": 16, "warmup_steps": 2, "lr": 1e-3, **settings}
        return Clip(Clip.Config(**keys), pairs)

    def _losses(self, device: str | None = None, **settings: Any) -> list[float]:
        steps = self._small(**settings).steps(self._model(device, True), self._context(device))
        return [float(result.metrics["loss"]) for result in steps]

    def losses(self) -> dict[str, Any]:
        """Compare 20 losses in each precision, and compiled, with those of a CPU in fp32."""
        want = self._losses("cpu")
        found: dict[str, Any] = {}
        for name, tolerance in TOLERANCE.items():
            settings = {"compile": self.size.compile} if name == "compile" else {"precision": name}
            got = self._losses(**settings)
            # fp16 leaves out steps until it has found its scale: only the first loss is of the same weights
            num = 1 if name == "fp16" else len(want)
            worst = max(abs(a - b) for a, b in zip(got[:num], want[:num], strict=True))
            found[name] = {
                "largest_difference": worst,
                "last_difference": abs(got[-1] - want[-1]),
                "is_as_expected": worst <= tolerance,
            }
        return found

    def repeats(self) -> dict[str, Any]:
        """Train twice, and once in two pieces, and compare the weights."""
        whole, again, pieces = (self._model(small=True) for _ in range(3))
        for model in (whole, again):
            list(self._small().steps(model, self._context()))
        first = self._small()
        steps = first.steps(pieces, self._context())
        for _ in range(NUM_STEPS // 2):
            next(steps)
        state = first.state_dict()
        steps.close()
        second = self._small()
        second.load_state_dict(state)
        list(second.steps(pieces, self._context()))
        return {
            "two_runs_are_identical": weights_sha256(whole) == weights_sha256(again),
            "two_runs_differ_by": _distance(whole, again),
            "resumed_is_identical": weights_sha256(whole) == weights_sha256(pieces),
            "resumed_differs_by": _distance(whole, pieces),
        }

    def initializers(self) -> dict[str, Any]:
        """Run every built-in initializer whose keys all have defaults."""
        found: dict[str, Any] = {}
        made = {
            "judgments": lambda: SyntheticJudgments(SyntheticJudgments.Config().smoke()),
            "pairs": tiny_pairs,
            "pretrain": tiny_pretrainer,
        }
        for entry in build_plugin_manager().registry.entries:
            if entry.kind != "initializer":
                continue
            cls = entry.load()
            try:
                config = cls.Config()
                config = config.smoke() if hasattr(config, "smoke") else config
            except (TypeError, ValueError):
                found[entry.name] = "needs a file"
                continue
            parts = {name: made[name]() for name in find_parts(cls)}
            ctx = replace(self._context(), stage="init.0")
            report = cls(config, **parts).initialize(self._model(small=True).image, ctx)
            found[entry.name] = f"changed {len(report.changed)} tensors"
        return found

    def speed(self) -> dict[str, Any]:
        """Time steps in several settings: samples/s, share of peak, memory."""
        s = self.size
        bf16 = {"precision": "bf16"}
        settings: dict[str, dict[str, Any]] = {
            "fp32": {},
            "tf32": {"precision": "tf32"},
            "bf16": bf16,
            "bf16, micro-batches": {**bf16, "micro_batch": s.micro_batch},
            "bf16, compiled": {**bf16, "compile": s.compile},
        }
        flops = flops_of_pair(self._model(), tokens=14)
        return {name: self._timed(keys, flops) for name, keys in settings.items()}

    def _timed(self, keys: dict[str, Any], flops: float) -> dict[str, float]:
        if self.is_gpu:
            torch.cuda.reset_peak_memory_stats(self.device)
        with closing(self._steps(keys)) as steps:
            for _ in range(3):  # kernels, threads, plans
                next(steps)
            seconds = self._seconds(steps)
        rate = self.size.timed_steps * self.size.batch_size / seconds
        numbers = {"samples_per_second": rate}
        if self.is_gpu:
            numbers["share_of_peak"] = rate * flops / PEAK[keys.get("precision", "fp32")]
            numbers["memory_gb"] = torch.cuda.max_memory_allocated(self.device) / 1e9
        return numbers

    def _steps(self, keys: dict[str, Any], pairs: Any = None, num_workers: int | None = None) -> Any:
        s, model = self.size, self._model()
        config = Clip.Config(batch_size=s.batch_size, warmup_steps=1, **{"crop": "center", **keys})
        workers = usable_cores() if num_workers is None else num_workers
        ctx = self._context(num_workers=workers)
        return Clip(config, pairs or Noise(model.image_size)).steps(model, ctx)

    def _seconds(self, steps: Any) -> float:
        self._wait()
        begin = time.perf_counter()
        for _ in range(self.size.timed_steps):
            next(steps)
        self._wait()
        return time.perf_counter() - begin

    def _wait(self) -> None:
        if self.is_gpu:
            torch.cuda.synchronize(self.device)

    def host_gap(self) -> dict[str, Any]:
        """Profile a few steps: the share of time in which the GPU has nothing to do."""
        if not self.is_gpu:
            return {"left_out": "there is no GPU"}
        from torch.profiler import ProfilerActivity, profile

        with closing(self._steps({"precision": "bf16"})) as steps:
            for _ in range(3):
                next(steps)
            with profile(activities=[ProfilerActivity.CUDA]) as profiler:
                seconds = self._seconds(steps)
        rows = sorted(profiler.key_averages(), key=lambda row: -row.self_device_time_total)
        busy = sum(row.self_device_time_total for row in rows) / 1e6
        top = {row.key[:80]: row.self_device_time_total / 1e6 / seconds for row in rows[:12]}
        return {"share_without_work": max(0.0, 1 - busy / seconds), "share_of_kernels": top}

    def decoding(self) -> dict[str, Any]:
        """Train on JPEGs with 1, 2, 4 ... threads: where more do not help, Python's lock is what is short."""
        photos, most = Photographs(self.size.photo), usable_cores()
        counts = sorted({*(2**i for i in range(most.bit_length()) if 2**i <= most), most})
        found = {}
        for count in counts:
            keys = {"precision": "bf16", "crop": "random"}
            with closing(self._steps(keys, photos, count)) as steps:
                next(steps)
                seconds = self._seconds(steps)
            rate = self.size.timed_steps * self.size.batch_size / seconds
            found[f"{count} threads"] = {"samples_per_second": rate}
        return found

    def stage_1(self) -> dict[str, Any]:
        """Train an epoch of triplets and work out 32 epochs of 20,000."""
        model, num = self._model().image, self.size.num_triplets
        judgments = SyntheticJudgments(
            SyntheticJudgments.Config(num_train=num, num_val=32, num_test=32, image_size=model.image_size)
        )
        config = TripletHinge.Config(epochs=1, batch_size=min(128, num // 2), precision="bf16")
        ctx = replace(self._context(num_workers=usable_cores()), stage="init.0")
        begin = time.perf_counter()
        report = TripletHinge(config, judgments).initialize(model, ctx)
        seconds = time.perf_counter() - begin
        return {
            "steps": report.metrics["steps"],
            "seconds_with_making_images": seconds,
            "minutes_of_20000_triplets_in_32_epochs_at_most": seconds / num * 20_000 * 32 / 60,
        }


def _distance(first: torch.nn.Module, second: torch.nn.Module) -> float:
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    return max(float((a - b).detach().abs().max()) for a, b in pairs)


PARTS: dict[str, str] = {
    "losses": "Every precision `is_as_expected`; else look at that precision first, everything below rests on it.",
    "repeats": "`resumed_differs_by` should not exceed `two_runs_differ_by`: kernels may add up in another order, a resume may not add to that.",
    "initializers": "None may fail.",
    "speed": f"Goal: {GOALS}. Compiled should beat plain; if not, look for recompilations (TORCH_LOGS=recompiles).",
    "host_gap": "Above 5 %, the host keeps the GPU waiting: a read, a copy, launches. The kernels that take longest are listed.",
    "decoding": "Samples/s should rise with threads up to those of `speed`; where they stop before, Python's lock is short, and processes would help.",
    "stage_1": "Goal: under 3 minutes; the figure here counts making the images in every epoch, which a real run does once.",
}


def attempt(part: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what a part gives with the seconds it took, or why it failed."""
    begin = time.perf_counter()
    try:
        result = {"found": part()}
    except (TimeoutError, KeyboardInterrupt):
        raise
    except Exception as error:  # told on the page; the other parts go on
        result = {"failed": f"{type(error).__name__}: {error}", "where": traceback.format_exc()}
    return {**result, "seconds": round(time.perf_counter() - begin, 1)}


def page(report: dict[str, Any]) -> str:
    """Return the page: what to look at, then the numbers of each part."""
    failed = [name for name, part in report["parts"].items() if "failed" in part]
    lines = [
        f"# First run on {report['card']}",
        "",
        f"torch {report['torch']}, {report['cores']} cores, ",
    ]
    lines[-1] += f"{report['minutes']:.1f} minutes. " + (
        f"Failed: {', '.join(failed)}." if failed else "Nothing failed."
    )
    for name, advice in PARTS.items():
        part = report["parts"].get(name, {"failed": "not begun: the time was over"})
        numbers = json.dumps(part.get("found", part.get("failed")), indent=1)
        lines += ["", f"## {name}", "", advice, "", "```", numbers, "```"]
    return "\n".join(lines) + "\n"


def _time_is_over(*_: object) -> None:
    raise TimeoutError


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SIZES, default="full")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--out", type=Path, default=Path("first_gpu_run"))
    o = parser.parse_args(arguments)
    try:
        device = choose_device(o.device)
    except PerceptInitError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    set_up_process(device)
    run, begin = FirstRun(SIZES[o.size], device), time.perf_counter()
    report: dict[str, Any] = {
        "card": torch.cuda.get_device_name(device) if run.is_gpu else processor_name(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cores": usable_cores(),
        "size": o.size,
        "parts": {},
    }
    signal.signal(signal.SIGALRM, _time_is_over)
    signal.alarm(MAX_MINUTES * 60)
    try:
        for name in PARTS:
            report["parts"][name] = attempt(getattr(run, name))
            print(f"{name}: {report['parts'][name]['seconds']} s", flush=True)
    except TimeoutError:
        print(f"stopped after {MAX_MINUTES} minutes", file=sys.stderr)
    finally:
        signal.alarm(0)
        report["minutes"] = (time.perf_counter() - begin) / 60
        o.out.with_suffix(".json").write_text(json.dumps(report, indent=1))
        o.out.with_suffix(".md").write_text(page(report))
    return 1 if any("failed" in part for part in report["parts"].values()) else 0


if __name__ == "__main__":
    sys.exit(main())
