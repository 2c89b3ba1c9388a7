"""How often tables and pages say more than is true: tiny experiments whose truth is known, from recipe to page by commands.

    git worktree add ../old 58d8151
    nice python benchmarks/false_sentences.py run --checkout . --checkout ../old --work /tmp/false-sentences
    python benchmarks/false_sentences.py sum --work /tmp/false-sentences --out benchmarks/results/false_sentences.json
    python benchmarks/calibration.py --out docs/calibration.md

`run` can be stopped, and goes on where it was; --processes N shares the work. Commands run with the package of the checkout (by
PYTHONPATH) and the libraries of the Python that runs this, imported once and forked for every command. What is known, and how: `KINDS`
below and `known_world.py`; what counts as more than true: `sentence_rules.py`.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import known_world
import sentence_rules

DELTA = 2.0  # points within which a difference does not matter
Command = Callable[[Path, Sequence[str]], str]


@dataclass(frozen=True, slots=True)
class Kind:
    """A sort of experiment: `num` of them, arms after `random`, what they learn from, and what is known.

    arms: name -> stage 1 (TOML); `{coin}` and `{world}` are filled in. overrides: of the command line.
    score, pretrain: what is measured, and after how much pretraining.
    nothing: arms that differ by nothing, by construction. cause, taught, alike: see `sentence_rules.Truth`.
    """

    name: str
    num: int
    arms: dict[str, str]
    nothing: tuple[tuple[str, str], ...] = ()
    cause: str = ""
    taught: bool = False
    alike: bool = False
    score: str = "knn/hues"
    pretrain: str = "epochs = 1\nlr = 3e-3"
    num_seeds: int = 3
    overrides: tuple[str, ...] = ()

    @property
    def arm(self) -> str:
        """Return the arm that the headline speaks of."""
        return next(iter(self.arms))


def _stage(judgments: str, epochs: int = 2, lr: float = 1e-2) -> str:
    training = (
        f'use = "triplet-hinge", margin = 0.3, epochs = {epochs}, batch_size = 128, lr = {lr}'
    )
    return f"{{ {training}, eval_every = 100, judgments = {judgments} }}"


def _through(wrapper: str, judgments: str) -> str:
    return f'{{ use = "{wrapper}", judgments = {judgments} }}'


PEOPLE = '{ use = "table", path = "{world}/people.csv", images = "{world}/judged" }'
COIN = '{ use = "table", path = "{coin}", images = "{world}/judged" }'
PIXELS = _through("pixel-triplets", PEOPLE)
CLASSES = '{ use = "class-triplets", root = "{world}/classes", num_triplets = 256 }'


def _with_control(judgments: str, epochs: int = 2, arm: str = "pi") -> dict[str, str]:
    own, control = judgments, _through("shuffled-votes", judgments)
    return {arm: _stage(own, epochs), "shuffled": _stage(control, epochs)}


AGAIN = '{ use = "random" }'
DEALT = '{ use = "statistics-matched", keep = "values" }'  # fresh values, each tensor's in another order
KINDS = (
    Kind(
        "A/A", 60, {"again": AGAIN}, (("again", "random"),), alike=True,
        score="top1/hues", pretrain="epochs = 3\nlr = 1e-2",
    ),
    Kind("A/A that the package cannot see", 60, {"dealt": DEALT}, (("dealt", "random"),)),
    Kind("an override makes arms unequal", 40, _with_control(COIN), overrides=("arm.shuffled.init.0.lr=1e-5",)),
    Kind("pixels answer", 30, _with_control(PIXELS, arm="pixels"), cause="program"),
    Kind("class labels answer", 30, _with_control(CLASSES, arm="classes"), cause="program"),
    Kind(
        "the score is the trained task", 40, {"pi": _stage(PEOPLE)}, cause="people", taught=True,
        score="2afc/people",
    ),
    Kind("a coin answers", 50, _with_control(COIN), (("pi", "shuffled"),)),
    Kind("small effect", 45, {"pi": _stage(PEOPLE, 1, 1e-3)}, cause="people", num_seeds=5),
    Kind("large effect", 45, _with_control(PEOPLE, 3), cause="people", num_seeds=5),
)  # fmt: skip

RECIPE = """\
schema = 1
name = "known"
seeds = {seeds}
baseline = "random"
{verdict}
[backbone]
use = "timm"
model = "vit_tiny_patch16_224"
image_size = 8
embed_dim = 16
text_width = 16
text_heads = 1
text_layers = 1
context_length = 4
model_args = {{ patch_size = 4, embed_dim = 16, num_heads = 1, depth = 1, global_pool = "avg", class_token = false }}
[pretrain]
use = "clip"
{pretrain}
batch_size = 32
warmup_steps = 2
pairs = {{ use = "csv", file = "{world}/pairs.csv" }}
[[eval]]
{measure}
every = "end"
[[track]]
use = "jsonl"
[[arm]]
name = "random"
init = []
"""
MEASURES = {
    "top1/hues": 'use = "zero-shot"\nroot = "{world}/sets"\ndatasets = ["hues"]',
    "knn/hues": 'use = "knn"\nk = 5\nroot = "{world}/sets"\ndatasets = ["hues"]',
    "2afc/people": f'use = "two-afc"\njudgments = {PEOPLE}',
}


def recipe(kind: Kind, index: int, world: Path, has_delta: bool) -> str:
    """Return an experiment's recipe; its seeds are in no other experiment. has_delta: the package takes `[verdict]`."""
    first = 1000 * _number(kind) + kind.num_seeds * index
    text = RECIPE.format(
        seeds=list(range(first, first + kind.num_seeds)),
        verdict=f"[verdict]\ndelta = {DELTA}" if has_delta else "",
        pretrain=kind.pretrain,
        measure=MEASURES[kind.score],
        world="{world}",
    )
    text += "".join(
        f'[[arm]]\nname = "{name}"\ninit = [{stage}]\n' for name, stage in kind.arms.items()
    )
    if "{coin}" in text:
        text = text.replace("{coin}", known_world.write_coin(world, index).as_posix())
    return text.replace("{world}", world.as_posix())


def _number(kind: Kind) -> int:
    return [one.name for one in KINDS].index(kind.name)


def experiment(
    kind: Kind, index: int, world: Path, command: Command, has_delta: bool
) -> dict[str, Any]:
    """Run one experiment from recipe to page, and return its scores (per cent) and sentences.

    command: runs a command line of the package in a folder and returns what it prints.
    """
    folder = world / f"{_number(kind)}-{index:04d}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "known.toml").write_text(recipe(kind, index, world, has_delta), encoding="utf-8")
    overrides = [word for override in kind.overrides for word in ("--set", override)]
    command(folder, ["run", "known.toml", "--device", "cpu", *overrides])
    table = json.loads(command(folder, ["compare", "runs/known", "--json"]))
    command(folder, ["report", "runs/known", "--no-examples", "--out", "page.html"])
    page = sentence_rules.page_sentences((folder / "page.html").read_text(encoding="utf-8"))
    shutil.rmtree(folder)
    values = table["values"][kind.score]
    return {
        "kind": kind.name,
        "index": index,
        "values": {
            arm: [round(100 * v, 4) for v in by_seed.values()] for arm, by_seed in values.items()
        },
        "sentences": list(dict.fromkeys([*table["summary"], *page])),
    }


def planned(share: float) -> Iterator[tuple[Kind, int]]:
    """Yield all experiments, the kinds mixed, so that whoever stops early has some of each."""
    every = [(i / kind.num, kind, i) for kind in KINDS for i in range(round(share * kind.num))]
    yield from ((kind, i) for _, kind, i in sorted(every, key=lambda e: e[0]))


def run(checkout: Path, work: Path, share: float, part: int, parts: int) -> None:
    """Do this part of the experiments that have no result yet; the package is that of the checkout."""
    home = work / _commit(checkout)
    world = home / f"world-{part}"
    shutil.rmtree(world, ignore_errors=True)
    known_world.write_world(world)
    done = {(r["kind"], r["index"]) for r in results(home)}
    has_delta = (checkout / "perceptinit/recipe/verdict_config.py").is_file()
    experiment(KINDS[-1], 0, world, in_this_process, has_delta)  # imports all that the forks need
    with (home / f"{part}.jsonl").open("a", encoding="utf-8") as file:
        for number, (kind, index) in enumerate(planned(share)):
            if number % parts == part and (kind.name, index) not in done:
                row = experiment(kind, index, world, in_a_fork, has_delta)
                file.write("\n" + json.dumps(row) + "\n")
                file.flush()
    shutil.rmtree(world)


def results(home: Path) -> list[dict[str, Any]]:
    """Return what is there of a commit; a line that a killed process left half is left out."""
    found = []
    for path in sorted(home.glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                found.append(json.loads(line))
    return found


def _commit(checkout: Path) -> str:
    git = ["git", "-C", str(checkout), "rev-parse", "--short=7", "HEAD"]
    return subprocess.run(git, check=True, capture_output=True, text=True).stdout.strip()


def in_this_process(folder: Path, arguments: Sequence[str]) -> str:
    """Be `perceptinit ARGUMENTS` and return what it prints; SystemExit with it when the command fails."""
    from perceptinit.cli import main

    printed = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(printed):
        sys.argv = ["perceptinit", *arguments]
        try:
            main()
        except SystemExit as end:
            if end.code:
                raise SystemExit(
                    f"{folder}: {sys.argv} ended with {end.code}:\n{printed.getvalue()}"
                ) from end
    return printed.getvalue()


def in_a_fork(folder: Path, arguments: Sequence[str]) -> str:
    """Do the same in a process of its own, which knows only what this one has imported."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            printed = in_this_process(folder, arguments)
            with open(writer, "w", encoding="utf-8") as out:  # noqa: PTH123  (a descriptor)
                out.write(printed)
            status = 0
        except BaseException as error:
            print(repr(error), file=sys.stderr)
        finally:
            os._exit(status)
    os.close(writer)
    printed = b"".join(iter(lambda: os.read(reader, 1 << 16), b""))
    os.close(reader)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        raise SystemExit(f"{folder}: perceptinit {' '.join(arguments)} failed")
    return printed.decode()


def start(checkouts: Sequence[Path], work: Path, share: float, processes: int) -> None:
    """Run the experiments with each checkout's package, in processes of their own."""
    for checkout in checkouts:
        (work / _commit(checkout)).mkdir(parents=True, exist_ok=True)
        own = {"PYTHONPATH": str(checkout.resolve()), "OMP_NUM_THREADS": "1", "COLUMNS": "500"}
        words = ["--checkout", str(checkout), "--work", str(work), "--share", str(share)]
        started = [
            subprocess.Popen(
                [sys.executable, __file__, "run", *words, "--part", f"{part}/{processes}"],
                env=os.environ | own,
            )
            for part in range(processes)
        ]
        statuses = [process.wait() for process in started]
        if any(statuses):
            raise SystemExit(f"{checkout}: not finished; the same command goes on")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    runs = verbs.add_parser("run", help="do the experiments that are not done")
    runs.add_argument("--checkout", type=Path, action="append", required=True)
    runs.add_argument("--work", type=Path, required=True, help="where results are kept")
    runs.add_argument("--share", type=float, default=1.0, help="of the experiments of each kind")
    runs.add_argument("--processes", type=int, default=1)
    runs.add_argument("--part", help=argparse.SUPPRESS)
    sums = verbs.add_parser("sum", help="count what was found")
    sums.add_argument("--work", type=Path, required=True)
    sums.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    if options.verb == "sum":
        from false_sentences_sum import summarise

        found = {home.name: results(home) for home in sorted(options.work.iterdir())}
        options.out.parent.mkdir(exist_ok=True)
        options.out.write_text(json.dumps(summarise(found), indent=1) + "\n", encoding="utf-8")
    elif options.part:
        part, parts = map(int, options.part.split("/"))
        run(options.checkout[0], options.work, options.share, part, parts)
    else:
        start(options.checkout, options.work, options.share, options.processes)


if __name__ == "__main__":
    main()
