"""A first run on a GPU: correctness, speed and bottlenecks.

    pip install ./plugins/perceptinit-estimate            which predicts the memory
    python benchmarks/first_gpu_run.py                    on a GPU, 8 minutes, no network
    python benchmarks/first_gpu_run.py --tiny             everything on a CPU at a tiny size

Parts run in order of importance: losses in each precision compared with a CPU in fp32, repeated and resumed
runs, every built-in initializer that needs no file, stage 1 at the size of NIGHTS, samples/s with the share of
the peak and with predicted and measured memory, open_clip on the same batches, idle time of the GPU, NCCL,
compilation, and decoding threads. An error in a setting is recorded, and the next setting starts. OUT.json and
OUT.md are written after each setting, so a killed process leaves its measurements.
"""

from __future__ import annotations

import io
import json
import pkgutil
import re
import signal
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import bench
import torch
from perceptinit_estimate.dry_run import GB, PEAK, dry_runs
from PIL import Image
from throughput import Noise, flops_of_pair

from perceptinit.backbones.open_clip_backbone import OpenClip
from perceptinit.backbones.timm_backbone import Timm
from perceptinit.components.building import find_parts
from perceptinit.components.plugin_manager import build_plugin_manager
from perceptinit.compute.devices import choose_device, set_up_process, usable_cores
from perceptinit.compute.optim import autocast
from perceptinit.errors import PerceptInitError
from perceptinit.files.atomic import atomic_path, write_json
from perceptinit.files.checkpoints import weights_sha256
from perceptinit.initializers.triplet_hinge import TripletHinge
from perceptinit.judgments.controls.synthetic import SyntheticJudgments
from perceptinit.pairs.synthetic import SyntheticPairs
from perceptinit.pretrainers.clip import Clip
from perceptinit.recipe.reading import read_recipe
from perceptinit.results.record import processor_name
from perceptinit.seeding import named_torch_seed
from perceptinit.testing.contract import tiny_pairs, tiny_pretrainer
from perceptinit.types import Pair, RunContext

# kernels by what they are for, in the order of matching
CAUSES = {
    "copies between host and GPU": r"memcpy (htod|dtoh)",
    "layer norm": r"layer_?norm",
    "GELU": r"gelu",
    "attention": r"fmha|flash|sdpa|attention|softmax",
    "optimizer": r"adam|multi_tensor|foreach",
    "exchange between GPUs": r"nccl",
    "matrix products": r"gemm|nvjet|cutlass|xmma|splitk",
    "casts and copies": r"copy|memcpy dtod|bfloat16tofloat|cast",
}
# work of the main thread between launches
HOST_WORK = {
    "fingerprint of batches": "perceptinit.pretrainers.training:fingerprint",
    "rows of packed captions": "perceptinit.backbones.text:token_rows",
    "exchange of errors": "perceptinit.compute.distributed:exchange",
    "copies to the device": "perceptinit.pretrainers.training:to_device",
}
NUM_STEPS = 20
WARM_UP = 3
# Largest difference of a loss (about 5) from the CPU's in fp32 that rounding explains.
TOLERANCE = {"fp32": 1e-3, "tf32": 0.02, "bf16": 0.1, "fp16": 0.05}
NIGHTS_TRIPLETS, NIGHTS_EPOCHS = 20_000, 32
TOKENS = 14  # of the captions of `Noise`
# a name of a setting, and the function that measures it
Setting = tuple[str, Callable[[], Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Models, pairs of a step, timed steps, and judgments of stage 1."""

    models: dict[str, dict[str, Any]]
    open_clip: dict[str, Any]
    batch_size: int
    micro_batch: int
    timed_steps: int
    photo: int
    num_triplets: int
    compile: str


FULL = Size(
    models={
        "ViT-B/32": {"model": "vit_base_patch32_clip_224", "embed_dim": 512},
        "ViT-B/16": {"model": "vit_base_patch16_clip_224", "embed_dim": 512},
    },
    open_clip={"model": "ViT-B-32"},
    batch_size=768,
    micro_batch=256,
    timed_steps=20,
    photo=512,
    num_triplets=1000,
    compile="inductor",
)
SMALL = {"embed_dim": 32, "text_width": 32, "text_heads": 2, "text_layers": 1, "image_size": 32}
TINY = Size(
    models={
        name: {**SMALL, "model_args": {"patch_size": patch, "embed_dim": 32, "depth": 1, "num_heads": 2}}
        for name, patch in (("patches of 16", 16), ("patches of 8", 8))
    },
    open_clip={
        "image_size": 32,
        "embed_dim": 32,
        "vision_args": {"width": 32, "head_width": 16, "layers": 1, "patch_size": 16},
        "text_args": {"width": 32, "heads": 2, "layers": 1},
    },
    batch_size=16,
    micro_batch=8,
    timed_steps=2,
    photo=48,
    num_triplets=32,
    compile="eager",
)


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
    """The parts of the benchmark. Each method yields names of settings and functions that measure them."""

    def __init__(self, size: Size, device: str) -> None:
        self.size, self.device = size, device
        self.is_gpu = device.startswith("cuda")
        self.first_model = next(iter(size.models))

    def losses(self) -> Iterator[Setting]:
        """Compare 20 losses in each precision with those of a CPU in fp32."""
        want = self._losses("cpu")
        for name, tolerance in TOLERANCE.items():
            yield name, partial(self._compare_losses, want, tolerance, precision=name)

    def _compare_losses(self, want: list[float], tolerance: float, **settings: Any) -> dict[str, Any]:
        got = self._losses(**settings)
        # fp16 skips steps until its scale is found, so only the first loss has equal weights
        num = 1 if settings.get("precision") == "fp16" else len(want)
        worst = max(abs(a - b) for a, b in zip(got[:num], want[:num], strict=True))
        return {"largest_difference": worst, "is_as_expected": worst <= tolerance}

    def repeats(self) -> Iterator[Setting]:
        """Train twice, and once in two pieces, and compare the weights."""
        whole = self._model(small=True)
        list(self._small().steps(whole, self._context()))
        yield "the same run again", partial(self._distance_from, whole, self._train_again)
        yield "stopped and resumed", partial(self._distance_from, whole, self._train_in_pieces)

    def _distance_from(self, whole: torch.nn.Module, train: Callable[[], torch.nn.Module]) -> dict[str, Any]:
        other = train()
        pairs = zip(whole.parameters(), other.parameters(), strict=True)
        largest = max(float((a - b).detach().abs().max()) for a, b in pairs)
        return {"is_identical": weights_sha256(whole) == weights_sha256(other), "largest_difference": largest}

    def _train_again(self) -> torch.nn.Module:
        model = self._model(small=True)
        list(self._small().steps(model, self._context()))
        return model

    def _train_in_pieces(self) -> torch.nn.Module:
        model, first, second = self._model(small=True), self._small(), self._small()
        with closing(first.steps(model, self._context())) as steps:
            for _ in range(NUM_STEPS // 2):
                next(steps)
            state = first.state_dict()
        second.load_state_dict(state)
        list(second.steps(model, self._context()))
        return model

    def initializers(self) -> Iterator[Setting]:
        """Run every built-in initializer whose keys all have defaults."""
        for entry in build_plugin_manager().registry.entries:
            if entry.kind == "initializer":
                yield entry.name, partial(self._initialize, entry.load())

    def _initialize(self, cls: Any) -> str:
        made = {
            "judgments": lambda: SyntheticJudgments(SyntheticJudgments.Config().smoke()),
            "pairs": tiny_pairs,
            "pretrain": tiny_pretrainer,
        }
        try:
            config = cls.Config()
            config = config.smoke() if hasattr(config, "smoke") else config
        except (TypeError, ValueError):
            return "needs a file"
        parts = {name: made[name]() for name in find_parts(cls) if name in made}  # `also_on` is optional
        ctx = replace(self._context(), stage="init.0")
        model = self._model(small=True)
        if cls.__name__ == "Covariance":  # for depthwise convolutions
            model = Timm(Timm.Config(**SMALL, model="test_convnext")).build().to(self.device)
        report = cls(config, **parts).initialize(model.image, ctx)
        return f"changed {len(report.changed)} tensors"

    def stage_1(self) -> Iterator[Setting]:
        """Time an epoch of triplets, and extrapolate to NIGHTS in 32 epochs."""
        yield self.first_model, self._time_stage_1

    def _time_stage_1(self) -> dict[str, float]:
        num = self.size.num_triplets
        side = self._model().image_size
        judgments = SyntheticJudgments(
            SyntheticJudgments.Config(num_train=num, num_val=32, num_test=32, image_size=side)
        )
        seconds = []
        for epochs in (1, 3):  # the difference is without the rendering of images
            keys = {"epochs": epochs, "batch_size": min(128, num // 2), "precision": "bf16"}
            keys["allow_collapse"] = True  # the tiny model is hardly trained
            ctx = replace(self._context(num_workers=usable_cores()), stage="init.0")
            begin = time.perf_counter()
            TripletHinge(TripletHinge.Config(**keys), judgments).initialize(self._model().image, ctx)
            seconds.append(time.perf_counter() - begin)
        epoch = max(0.0, seconds[1] - seconds[0]) / 2
        minutes = epoch / num * NIGHTS_TRIPLETS * NIGHTS_EPOCHS / 60
        return {"triplets_per_second": num / epoch if epoch else 0.0, "minutes_at_nights_size": minutes}

    def speed(self) -> Iterator[Setting]:
        """Time steps: samples/s, share of the peak, and measured next to predicted memory."""
        bf16 = {"precision": "bf16"}
        for name in self.size.models:
            yield f"{name}, bf16", partial(self._time_steps, name, bf16)
        micro = {**bf16, "micro_batch": self.size.micro_batch}
        yield f"{self.first_model}, bf16, micro-batches", partial(self._time_steps, self.first_model, micro)
        for precision in ("tf32", "fp32"):
            keys = {"precision": precision}
            yield f"{self.first_model}, {precision}", partial(self._time_steps, self.first_model, keys)

    def _time_steps(self, name: str, keys: dict[str, Any]) -> dict[str, float]:
        model = self._model(name)
        flops = flops_of_pair(model, tokens=TOKENS)
        if self.is_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)
        with closing(self._steps(keys, model=model)) as steps:
            for _ in range(WARM_UP):
                next(steps)
            seconds = self._seconds(steps, self.size.timed_steps)
        rate = self.size.timed_steps * self.size.batch_size / seconds
        numbers = {"samples_per_second": rate, "predicted_gb": self._predict_bytes(name, keys) / GB}
        if self.is_gpu:
            numbers["share_of_peak"] = rate * flops / PEAK[keys.get("precision", "fp32")]
            numbers["measured_gb"] = torch.cuda.max_memory_allocated(self.device) / GB
        return numbers

    def _predict_bytes(self, name: str, keys: dict[str, Any]) -> float:
        """Return the memory that `perceptinit estimate` predicts, at full context lengths."""
        settings = {"batch_size": self.size.batch_size, **keys}
        lines = ["schema = 1", 'name = "memory"', "seeds = [0]", "[backbone]", 'use = "timm"']
        lines += [f"{key} = {_toml(value)}" for key, value in self.size.models[name].items()]
        lines += ["[pretrain]", 'use = "clip"', *(f"{key} = {_toml(v)}" for key, v in settings.items())]
        lines += ["[pretrain.pairs]", 'use = "synthetic"', "[[arm]]", 'name = "random"']
        [run] = dry_runs(read_recipe("\n".join(lines)), [1], memory_gb=1e6)
        return run.total_bytes(run.micro_batch)

    def open_clip(self) -> Iterator[Setting]:
        """Train open_clip's model in bf16 with this package and with a plain loop, in turns of five steps."""
        yield str(self.size.open_clip.get("model", "tiny")), self._compare_with_open_clip

    def _compare_with_open_clip(self) -> dict[str, float]:
        with named_torch_seed(0, "backbone"):
            model = OpenClip(OpenClip.Config(**self.size.open_clip)).build().to(self.device)
        rates: dict[str, list[float]] = {"perceptinit": [], "open_clip": []}
        num = min(5, self.size.timed_steps)
        with closing(self._steps({"precision": "bf16"}, model=model)) as ours:
            sides = {"perceptinit": ours, "open_clip": self._open_clip_steps(model.image_size)}
            for steps in sides.values():
                for _ in range(WARM_UP):
                    next(steps)
            for _ in range(3):
                for side, steps in sides.items():
                    rates[side].append(num * self.size.batch_size / self._seconds(steps, num))
        first, second = (statistics.median(found) for found in rates.values())
        return {"perceptinit": first, "open_clip": second, "ratio": first / second}

    def _open_clip_steps(self, side: int) -> Iterator[None]:
        """Yield after each step of open_clip's model and loss, on copies of the images and captions of ours."""
        import open_clip

        from perceptinit.backbones.open_clip_backbone import resolve_table

        model = open_clip.CustomTextCLIP(**resolve_table(OpenClip.Config(**self.size.open_clip)))
        model.to(self.device)
        loss_of = open_clip.ClipLoss()
        optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4, weight_decay=0.2)
        pair = Noise(side).pair(0)
        tokens = open_clip.tokenize([pair.text] * self.size.batch_size).to(self.device)
        host = (
            torch.from_numpy(pair.image)
            .permute(2, 0, 1)
            .expand(self.size.batch_size, -1, -1, -1)
            .contiguous()
        )
        if self.is_gpu:
            host = host.pin_memory()
        mean, std = (
            torch.full((3, 1, 1), 0.5, device=self.device),
            torch.full((3, 1, 1), 0.27, device=self.device),
        )
        while True:
            images = (host.to(self.device, non_blocking=True).float() / 255 - mean) / std
            with autocast(self.device, "bf16"):
                image, text, scale = model(images, tokens)[:3]
                loss = loss_of(image, text, scale)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            yield

    def host_gap(self) -> Iterator[Setting]:
        """Profile a few steps: the share of time without work on the GPU, of kernels, and of the main thread."""
        yield f"{self.first_model}, bf16", self._profile_steps

    def _profile_steps(self) -> dict[str, Any]:
        from torch.profiler import ProfilerActivity, profile

        activity = ProfilerActivity.CUDA if self.is_gpu else ProfilerActivity.CPU
        with closing(self._steps({"precision": "bf16"})) as steps, timed(HOST_WORK) as host:
            for _ in range(WARM_UP):
                next(steps)
            host.clear()
            with profile(activities=[activity]) as profiler:
                seconds = self._seconds(steps, self.size.timed_steps)
        of_host = {name: spent / seconds for name, spent in host.items()}
        if not self.is_gpu:
            return {"share_of_main_thread": of_host, "left_out": "kernels, because there is no GPU"}
        rows = sorted(profiler.key_averages(), key=lambda row: -row.self_device_time_total)
        kernels = {row.key: row.self_device_time_total / 1e6 / seconds for row in rows}
        return {
            "share_without_work": max(0.0, 1 - sum(kernels.values())),
            "share_by_cause": add_by_cause(kernels),
            "share_of_main_thread": of_host,
            "share_of_kernels": {name[:80]: share for name, share in list(kernels.items())[:12]},
        }

    def processes(self) -> Iterator[Setting]:
        """Train in one process for each GPU, which communicate through NCCL (gloo on a CPU)."""
        num = torch.cuda.device_count() if self.is_gpu else 2
        yield f"{num} processes", partial(self._run_processes, num)

    def _run_processes(self, num: int) -> dict[str, Any]:
        script = Path(__file__).with_name("throughput.py")
        keys = ["--batch-size", str(16 * num), "--steps", "2"]
        if self.is_gpu:
            model = self.size.models[self.first_model]["model"]
            keys = ["--model", model, "--batch-size", str(256 * num), "--precision", "bf16"]
        else:
            keys += ["--model", "test_vit", "--text-width", "64", "--text-layers", "1"]
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command += ["--nproc-per-node", str(num), str(script), *keys]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            try:
                out, errors = process.communicate()
            except BaseException:
                process.terminate()
                raise
        if process.returncode:
            raise RuntimeError(errors[-2000:])
        return {"printed": out.strip().splitlines()}

    def compiled(self) -> Iterator[Setting]:
        """Compile the towers: the losses, then samples/s."""
        keys = {"compile": self.size.compile}
        yield "losses", lambda: self._compare_losses(self._losses("cpu"), TOLERANCE["fp32"], **keys)
        bf16 = {"precision": "bf16", **keys}
        yield f"{self.first_model}, bf16", partial(self._time_steps, self.first_model, bf16)

    def decoding(self) -> Iterator[Setting]:
        """Train on JPEGs with 1, 2, 4 ... threads."""
        photos, most = Photographs(self.size.photo), usable_cores()
        counts = sorted({*(2**i for i in range(most.bit_length()) if 2**i <= most), most}, reverse=True)
        for count in counts:
            yield f"{count} threads", partial(self._time_decoding, photos, count)

    def _time_decoding(self, photos: Photographs, num_workers: int) -> dict[str, float]:
        keys = {"precision": "bf16", "crop": "random"}
        num = max(2, self.size.timed_steps // 2)
        with closing(self._steps(keys, photos, num_workers)) as steps:
            next(steps)
            seconds = self._seconds(steps, num)
        return {"samples_per_second": num * self.size.batch_size / seconds}

    def _model(self, name: str = "", device: str | None = None, small: bool = False) -> Any:
        config = Timm.Config().smoke() if small else Timm.Config(**self.size.models[name or self.first_model])
        with named_torch_seed(0, "backbone"):
            return Timm(config).build().to(device or self.device)

    def _context(self, device: str | None = None, **options: Any) -> RunContext:
        return RunContext(stage="pretrain", device=device or self.device, **options)

    def _small(self, **settings: Any) -> Clip:
        pairs = SyntheticPairs(SyntheticPairs.Config(num_pairs=16 * NUM_STEPS))
        keys = {"epochs": 1, "batch_size": 16, "warmup_steps": 2, "lr": 1e-3, **settings}
        return Clip(Clip.Config(**keys), pairs)

    def _losses(self, device: str | None = None, **settings: Any) -> list[float]:
        model = self._model(device=device, small=True)
        steps = self._small(**settings).steps(model, self._context(device))
        return [float(result.metrics["loss"]) for result in steps]

    def _steps(
        self, keys: dict[str, Any], pairs: Any = None, num_workers: int | None = None, model: Any = None
    ) -> Any:
        model = model or self._model()
        settings = {"crop": "center", "batch_size": self.size.batch_size, "warmup_steps": 1, **keys}
        workers = usable_cores() if num_workers is None else num_workers
        ctx = self._context(num_workers=workers)
        return Clip(Clip.Config(**settings), pairs or Noise(model.image_size)).steps(model, ctx)

    def _seconds(self, steps: Iterator[Any], num: int) -> float:
        self._wait()
        begin = time.perf_counter()
        for _ in range(num):
            next(steps)
        self._wait()
        return time.perf_counter() - begin

    def _wait(self) -> None:
        if self.is_gpu:
            torch.cuda.synchronize(self.device)


PARTS: dict[str, str] = {
    "losses": "Every precision `is_as_expected`; otherwise look at it first: all other numbers depend on it.",
    "repeats": "The difference of a resumed run should not exceed that of a repeated run, which may add in another order.",
    "initializers": "None may fail.",
    "stage_1": "Goal: under 3 minutes at the size of NIGHTS.",
    "speed": "Goal: 8,000 samples/s in bf16 on an H100 for ViT-B/32. Predicted memory should not be below measured memory.",
    "open_clip": "Samples/s on the same batches; texts of open_clip have 77 tokens.",
    "host_gap": "Above 5 %, the GPU waits for the host: a read, a copy, or launches.",
    "processes": "One process for each GPU; samples/s should grow with their number.",
    "compiled": "Faster than without; otherwise look for recompilations (TORCH_LOGS=recompiles).",
    "decoding": "Samples/s should rise with threads up to those of `speed`.",
}


class Report:
    """Results of all settings so far, in OUT.json and OUT.md."""

    def __init__(self, out: Path, about: dict[str, Any]) -> None:
        self.out, self.values = out, {**about, "parts": {}}
        self._begin = time.perf_counter()
        self.write()

    def add(self, part: str, setting: str, result: dict[str, Any]) -> None:
        """Add the result of a setting and write both files."""
        self.values["parts"].setdefault(part, {})[setting] = result
        self.write()

    def write(self) -> None:
        """Write both files; each is complete or the previous one."""
        self.values["minutes"] = (time.perf_counter() - self._begin) / 60
        write_json(self.out.with_suffix(".json"), self.values)
        with atomic_path(self.out.with_suffix(".md")) as path:
            path.write_text(page(self.values), encoding="utf-8")

    @property
    def failed(self) -> list[str]:
        """Names of the settings that failed."""
        return failures(self.values)


def add_by_cause(kernels: Mapping[str, float]) -> dict[str, float]:
    """Return the sum over the kernels of each cause; the first fitting pattern of `CAUSES` counts."""
    found = dict.fromkeys([*CAUSES, "others"], 0.0)
    for name, share in kernels.items():
        fitting = (cause for cause, pattern in CAUSES.items() if re.search(pattern, name, re.IGNORECASE))
        found[next(fitting, "others")] += share
    return found


@contextmanager
def timed(places: Mapping[str, str]) -> Iterator[dict[str, float]]:
    """Add up the seconds in functions of modules during the block, by name; places: "module:function"."""
    spent: dict[str, float] = {}

    def wrap(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*arguments, **options)
            finally:
                spent[name] = spent.get(name, 0.0) + time.perf_counter() - start

        return call

    with ExitStack() as stack:
        for name, place in places.items():
            module, _, function = place.partition(":")
            target = f"{module}.{function}"
            stack.enter_context(mock.patch(target, wrap(name, pkgutil.resolve_name(place))))
        yield spent


def failures(values: dict[str, Any]) -> list[str]:
    """Return the names of the settings of a report that failed."""
    parts = values["parts"].items()
    return [f"{part}: {name}" for part, found in parts for name, one in found.items() if "failed" in one]


def page(values: dict[str, Any]) -> str:
    """Return the report as Markdown: what to look at, then the numbers of each part."""
    failed = ", ".join(failures(values))
    lines = [
        f"# First run on {values['card']}",
        "",
        f"torch {values['torch']}, {values['cores']} cores, {values['minutes']:.1f} minutes. "
        + (f"Failed: {failed}." if failed else "No setting failed."),
    ]
    for name, advice in PARTS.items():
        part = values["parts"].get(name)
        shown = json.dumps(part, indent=1) if part else "not started"
        lines += ["", f"## {name}", "", advice, "", "```", shown, "```"]
    return "\n".join(lines) + "\n"


@contextmanager
def limit(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in the block after this time."""

    def is_over(*_: object) -> None:
        raise TimeoutError(f"more than {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, is_over)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.1))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def measure_part(run: FirstRun, part: str, report: Report, end: float, share: float) -> None:
    """Measure the settings of a part, each at most `share` seconds, until `end` (perf_counter)."""
    settings = getattr(run, part)()
    while True:
        begin, setting = time.perf_counter(), "preparation"
        if begin >= end:
            return
        result: dict[str, Any]
        try:
            with limit(min(share, end - begin)):
                setting, measure = next(settings)
                result = {"found": measure()}
        except StopIteration:
            return
        except Exception as error:  # recorded; the next setting starts
            result = {"failed": f"{type(error).__name__}: {error}", "where": traceback.format_exc()}
        seconds = round(time.perf_counter() - begin, 1)
        report.add(part, setting, {**result, "seconds": seconds})
        print(f"{part}: {setting}: {'failed' if 'failed' in result else 'measured'}, {seconds} s", flush=True)
        if setting == "preparation":
            return


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(one)}" for key, one in value.items()) + " }"
    return json.dumps(value)


def main(arguments: list[str] | None = None) -> int:
    options = bench.parse(
        __doc__,
        minutes={"default": 8.0, "help": "stop after this time"},
        device="cuda",
        out={"default": Path("first_gpu_run"), "help": "report, without suffix"},
        tiny={"device": "cpu"},
        arguments=arguments,
    )
    try:
        device = choose_device(options.device)
    except PerceptInitError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    set_up_process(device)
    run = FirstRun(TINY if options.tiny else FULL, device)
    about = {
        "card": torch.cuda.get_device_name(device) if run.is_gpu else processor_name(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cores": usable_cores(),
        "is_tiny": options.tiny,
    }
    report = Report(options.out, about)
    end = time.perf_counter() + 60 * options.minutes
    for part in PARTS:
        measure_part(run, part, report, end, share=60 * options.minutes / 4)
    if time.perf_counter() >= end:
        print(f"stopped after {options.minutes:g} minutes", file=sys.stderr)
    report.write()
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
