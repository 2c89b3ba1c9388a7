"""Load the runs of output folders with their state, including failed and missing runs."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Self

from perceptinit.errors import DataError, UsageError
from perceptinit.grouping import group
from perceptinit.recipe.settings import ExpectConfig, VerdictConfig
from perceptinit.recipe.text import Origin
from perceptinit.results.locks import is_locked
from perceptinit.results.planned import Changes, Planned, read_recipe_file, verdict_of
from perceptinit.results.record import RECORD, read_record
from perceptinit.results.source import RECORDS, Progress, Source
from perceptinit.results.states import State, find_submitted, run_folder
from perceptinit.types import Items

Record = dict[str, Any]
GIVE_RUNS = "Give a folder of runs, such as runs/quickstart"
# suffixes of the output folders of tuning trials, and of runs at the best settings
TRIALS = "-trials"
BEST = "-best"
_SEED_FOLDER = re.compile(r"seed\d+")


@dataclass(frozen=True, slots=True)
class LoadedRun:
    """One arm with one seed: its scores, and what else is known about it.

    Attributes:
        folder: Folder of the run, or the table that contains it.
        state: State of the folder, or the status in the table.
        record: Record of the run; empty without one, as in tables.
        reason: Why the run is not finished, if known.
        scores: Score rows, a row for each evaluation (see `record.ScoreRow`).
        about: The row that describes the arm in records, with the number of judgments that the run learned;
            empty if it is not known.
        items: Per-item values of final scores by name, if they are not in the folder.
    """

    arm: str
    seed: int
    folder: Path
    state: State
    record: Record = field(default_factory=dict)
    reason: str = ""
    scores: tuple[dict[str, Any], ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)
    items: Mapping[str, Items] = field(default_factory=dict)

    @classmethod
    def of_record(cls, folder: Path, state: State, record: Record, reason: str = "") -> Self:
        """Return the run of a record. With post-hoc stages, only the scores after them count."""
        about = record["arm"]
        rows = record.get("scores", [])
        if about["resolved"].get("posthoc"):
            rows = [row for row in rows if row.get("stage") == "posthoc"]
        counts = [stage["metrics"].get("triplets") or 0 for stage in record.get("init", ())]
        about = {**about, "num_judgments": int(max(counts, default=0))}
        return cls(about["name"], record["seed"], folder, state, record, reason, tuple(rows), about)

    @property
    def samples_seen(self) -> int:
        """Samples seen at the last score; 0 without scores."""
        return max((row["samples_seen"] for row in self.scores), default=0)

    @property
    def last_scores(self) -> list[dict[str, Any]]:
        """Score rows of the last evaluation."""
        last = self.samples_seen
        return [row for row in self.scores if row["samples_seen"] == last]

    @property
    def final_weights(self) -> str:
        """Hash of the final weights; empty if it is not recorded."""
        return (self.record.get("hashes", {}).get("final") or {}).get("model") or ""

    @property
    def title(self) -> str:
        return f"{self.arm}, seed {self.seed}"


@dataclass(frozen=True, slots=True, eq=False)
class RunSet:
    """A set of runs to compare.

    Attributes:
        baseline: Arm with which the others are compared; empty for the best one, which `compare` finds.
        arms: Names of the arms in the recipe's order.
        rule: The decision rule, as stated in `[verdict]`.
        num_planned: Smallest number of seeds in the recipes of the runs.
        num_listed: Largest number of seeds in the recipes of the runs.
        departures: Sentences about changes of `[verdict]` since the plan.
        earlier: `[verdict]` of the first plan or, without a plan, of the first run.
        expected: Published scores.
        changes: Differences of each arm from the setting of `expected`.
        plan: The preregistered plan; empty without one.
        origins: Experiments whose runs are reused, by arm.
        planned: Planned seeds of each arm. Default: the seeds of its runs.
        is_unpaired: Whether arms are never paired by seed.
        earlier_runs: Runs whose spread is that of single runs (`[verdict] spread_from`).
        constants: Cells of columns of a table that are not read and that all runs of an arm share, by column
            and arm.
        replaced: The same runs under each plan of a table that `plan` replaced, oldest first.
        is_baseline_best: Whether the baseline was chosen because its score is the best.
        source: Where the runs come from.
    """

    name: str
    summary: str
    baseline: str
    arms: tuple[str, ...]
    runs: tuple[LoadedRun, ...]
    rule: VerdictConfig = field(default_factory=VerdictConfig)
    num_planned: int = 0
    num_listed: int = 0
    departures: tuple[str, ...] = ()
    earlier: Mapping[str, Any] = field(default_factory=dict)
    expected: tuple[ExpectConfig, ...] = ()
    changes: Changes = field(default_factory=dict)
    plan: Mapping[str, Any] = field(default_factory=dict)
    origins: Mapping[str, Origin] = field(default_factory=dict)
    planned: Mapping[str, frozenset[int]] = field(default_factory=dict)
    is_unpaired: bool = False
    earlier_runs: tuple[LoadedRun, ...] = ()
    constants: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    replaced: tuple[Self, ...] = ()
    is_baseline_best: bool = False
    source: Source = RECORDS
    _by_arm: dict[str, list[LoadedRun]] = field(default_factory=dict, init=False, repr=False)

    @property
    def finished(self) -> list[LoadedRun]:
        return [run for run in self.runs if run.state == "finished"]

    @property
    def is_pretrained(self) -> bool:
        """Return whether a finished run saw samples of pretraining."""
        return any(run.samples_seen for run in self.finished)

    @property
    def untrained(self) -> str:
        """When scores at 0 samples were measured, in words."""
        return f"{'before' if self.is_pretrained else 'without'} pretraining"

    @property
    def unfinished(self) -> list[LoadedRun]:
        return [run for run in self.runs if run.state != "finished"]

    @property
    def records(self) -> list[Record]:
        """Records of all runs that have one, whether finished or not."""
        return [run.record for run in self.runs if run.record]

    @property
    def is_simulated(self) -> bool:
        """Whether any run uses simulated images, captions or observers."""
        tables = (t for arm in self.arms for t in walk_tables(self.resolved(arm)))
        return self.is_simulated_world or any(table.get("use") == "synthetic" for table in tables)

    @property
    def is_simulated_world(self) -> bool:
        """Whether the summary of the recipe names a simulated world, as for prepared files."""
        return "simulated world" in self.summary.lower()

    @property
    def progress(self) -> Progress:
        """What counts the progress of training; records name the samples, such as `image-text pairs`."""
        stated = self.source.progress
        return replace(stated, unit=samples_in_words(self.records)) if self.records else stated

    def is_shared(self, run: LoadedRun) -> bool:
        """Return whether a run is reused from another experiment."""
        origin = self.origins.get(run.arm)
        return origin is not None and run.folder.parent.parent.name == origin.name

    def arm_runs(self, arm: str) -> list[LoadedRun]:
        if not self._by_arm:
            self._by_arm.update(group((run.arm, run) for run in self.runs))
        return list(self._by_arm.get(arm, ()))

    def about(self, arm: str) -> dict[str, Any]:
        """Return the row that describes an arm in its records; empty without records."""
        return dict(next((run.about for run in self.arm_runs(arm) if run.about), {}))

    def resolved(self, arm: str) -> dict[str, Any]:
        """Return the settings of an arm; empty without records."""
        return dict(self.about(arm).get("resolved", {}))

    @property
    def differences(self) -> list[str]:
        """Stages of each arm in words, such as `shuffled = init, but judgments through shuffled-votes`."""
        return [text for arm in self.arms if (text := self.about(arm).get("difference"))]


def walk_tables(value: Any) -> Iterable[Mapping[str, Any]]:
    """Yield the tables of resolved settings, with the tables in them."""
    if isinstance(value, Mapping):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from walk_tables(item)


def load_runs(paths: Sequence[Path], out: Path = Path("runs")) -> RunSet:
    """Load the runs under `paths`.

    Args:
        paths: Run folders, folders above them, record files, or recipes.
        out: Parent of the recipes' output folders.

    Raises:
        UsageError: If there are no runs, or two folders have the same arm and seed.
    """
    roots = [_recipe_folder(path, out) if path.suffix == ".toml" else path for path in paths]
    recipes = {root: path for path, root in zip(paths, roots, strict=True) if path != root}
    found = {
        folder.resolve(): load_run(folder)
        for root in roots
        for folder in _find_folders(root, root in recipes)
    }
    recorded = [run for run in found.values() if run.record]
    planned = [Planned.of_record(run.record, run.folder.parent.parent) for run in recorded]
    planned += [Planned.of_file(path, root) for root, path in recipes.items()]
    distinct = {(p.root, p.arms, p.seeds): p for p in planned}  # most runs have the same recipe
    for plan in distinct.values():
        for run in _find_missing(plan, roots):
            found.setdefault(run.folder.resolve(), run)
    if not found:
        raise UsageError(f"{', '.join(map(str, roots))}: no runs found (no record.json). {GIVE_RUNS}")
    return _build_set(list(found.values()), planned)


def load_experiments(paths: Sequence[Path], out: Path = Path("runs")) -> list[RunSet]:
    """Load the runs under `paths` by experiment, including trials and tuned runs.

    Raises:
        UsageError: If there are no runs.
    """
    roots: dict[Path, None] = {}
    for path in paths:
        is_recipe = path.suffix == ".toml"
        found = [path] if is_recipe else [folder.parent.parent for folder in _find_folders(path)]
        for root in dict.fromkeys(found):
            folder = _recipe_folder(root, out) if is_recipe else root
            tuned = [folder.with_name(folder.name + end) for end in (TRIALS, BEST)]
            roots.update(dict.fromkeys([root, *(place for place in tuned if place.is_dir())]))
    if not roots:
        raise UsageError(f"{', '.join(map(str, paths))}: no runs found (no record.json). {GIVE_RUNS}")
    return [load_runs([root], out) for root in roots]


def _recipe_folder(path: Path, out: Path) -> Path:
    return out / str(read_recipe_file(path).tables.get("name", path.stem))


def _find_folders(root: Path, may_be_absent: bool = False) -> list[Path]:
    """Return the run folders under `root` or, if there are none, those of submitted jobs."""
    if root.is_file():
        if root.name != RECORD:
            raise UsageError(f"{root}: expected the {RECORD} of a run, or a recipe (.toml)")
        return [root.parent]
    if root.is_dir():
        recorded = [file.parent for file in sorted(root.rglob(RECORD))]
        folders = sorted({root, *root.rglob("seed*")} - {*recorded})
        started = recorded + [f for f in folders if _SEED_FOLDER.fullmatch(f.name)]
        return started or [root / arm / f"seed{seed}" for arm, seed in find_submitted(root)]
    if may_be_absent:
        return []
    raise UsageError(f"{root}: no such folder. {GIVE_RUNS}")


def load_run(folder: Path) -> LoadedRun:
    """Return the run in `folder`, which may not exist, and whose record may be missing or damaged."""
    number = folder.name.removeprefix("seed")
    absent = partial(LoadedRun, folder.parent.name, int(number) if number.isdigit() else 0, folder)
    if not folder.exists():
        return absent("not started")
    if not (folder / RECORD).exists():
        if is_locked(folder):
            return absent("running", reason="in its first stage")
        return absent("stopped", reason="ended before its first record")
    try:
        record = read_record(folder / RECORD)
    except DataError as error:
        return absent("unreadable", reason=str(error))
    if record["status"] == "running" and not is_locked(folder):
        reason = "its process ended; rerun the same `perceptinit run` to resume it"
        return LoadedRun.of_record(folder, "stopped", record, reason)
    return LoadedRun.of_record(folder, record["status"], record, record.get("error", ""))


def _find_missing(planned: Planned, roots: Sequence[Path]) -> Iterable[LoadedRun]:
    """Yield the planned runs that have no record under `roots`, because they are missing or reused."""
    resolved = [root.resolve() for root in roots]
    for seed in planned.seeds:
        for arm in planned.arms:
            own = planned.root / arm / f"seed{seed}"
            place = own.resolve()
            if not (own / RECORD).exists() and any(map(place.is_relative_to, resolved)):
                yield load_run(run_folder(planned.root, arm, seed, planned.origins))


def _build_set(runs: list[LoadedRun], planned: Sequence[Planned]) -> RunSet:
    seen: dict[tuple[str, int], LoadedRun] = {}
    for run in runs:
        other = seen.setdefault((run.arm, run.seed), run)
        if other is not run:
            places = f"{other.folder} and {run.folder}"
            raise UsageError(f"{run.title} is in two folders: {places}. Specify the folder of one experiment")
    origins = {origin.name for p in planned for origin in p.origins.values()}
    newest = sorted(planned, key=lambda p: (p.root.name not in origins, p.started), reverse=True)
    arms = list(dict.fromkeys(arm for p in newest for arm in p.arms))
    arms += sorted({run.arm for run in runs} - set(arms))
    present = [arm for arm in arms if any(run.arm == arm for run in runs)]
    runs.sort(key=lambda run: (arms.index(run.arm), run.seed))
    first = newest[0] if newest else None
    baseline = first.baseline if first and first.baseline in present else present[0]
    name = first.name if first else runs[0].folder.parent.parent.name
    summary = first.summary if first else ""
    by_arm = group((arm, p.seeds) for p in planned for arm in p.arms)
    seeds = {arm: frozenset(chain(*own)) for arm, own in by_arm.items()}
    return RunSet(name, summary, baseline, tuple(present), tuple(runs), planned=seeds, **verdict_of(newest))


def samples_in_words(records: Iterable[Record]) -> str:
    """Return `images` if no model has a text tower, else `image-text pairs`."""
    built = [record["hashes"].get("built") for record in records]
    is_alone = bool(built) and all(hashes and "text" not in hashes for hashes in built)
    return "images" if is_alone else "image-text pairs"
