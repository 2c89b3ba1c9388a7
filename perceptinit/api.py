"""The Python API: functions of the command line for use in other programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from perceptinit.components.building import read_spec
from perceptinit.components.plugin_manager import build_plugin_manager
from perceptinit.errors import UsageError, require_valid
from perceptinit.registry import Entry

if TYPE_CHECKING:
    import torch
    from torch import nn

    from perceptinit.judgments.sources import Source
    from perceptinit.types import FitMode, InitReport
    from perceptinit.verdict.headline import Judged

RGB = tuple[float, float, float]


def list_components(kind: str | None = None) -> list[Entry]:
    """Return the installed components, without importing them.

    Args:
        kind: Kind of component, such as "initializer"; by default all kinds.
    """
    registry = build_plugin_manager().registry
    return registry.of_kind(kind) if kind else list(registry.entries)


def build(kind: str, table: dict[str, Any]) -> Any:
    """Build a component from a recipe table: `build("judgments", {"use": "synthetic", "seed": 1})`.

    Args:
        kind: Kind of the component, such as "judgments".
        table: `use` (the name), the keys of its Config, and the tables of nested components.

    Raises:
        RecipeError: If the table is invalid; lists all problems.
    """
    return require_valid(read_spec(build_plugin_manager().registry, kind, table, kind)).build()


def run_recipe(
    recipe: str | Path,
    *,
    arms: Sequence[str] = (),
    seeds: Sequence[int] = (),
    out: str | Path = "runs",
    overrides: Sequence[str] = (),
    device: str = "auto",
    smoke: bool = False,
    fresh: bool = False,
    jobs: int = 1,
) -> list[dict[str, Any]]:
    """Run a recipe like `perceptinit run`, and return the records of its runs.

    Args:
        recipe: Recipe file, or the name of a bundled recipe.
        arms: Only these arms; by default all.
        seeds: Only these seeds; by default those of the recipe.
        out: Runs are written to OUT/<recipe>/<arm>/seed<k>/.
        overrides: Keys to override, such as "pretrain.epochs=1".
        device: A torch device, or "auto".
        smoke: Run a small version on simulated data, which takes seconds.
        fresh: Repeat finished and interrupted runs from the start.
        jobs: Number of parallel runs, each in its own process.

    Returns:
        The records, as in record.json, in the order of the runs.

    Raises:
        RecipeError: If the recipe is invalid; lists all problems before anything starts.
    """
    from perceptinit.recipe.reading import load_recipe
    from perceptinit.running import runner

    loaded = load_recipe(recipe, overrides)
    loaded = loaded.smoke() if smoke else loaded
    return runner.run_recipe(
        loaded, arms=arms, seeds=seeds, out=Path(out), device=device, fresh=fresh, jobs=jobs
    )


@dataclass(frozen=True, slots=True, repr=False)
class Comparison:
    """A comparison of arms. `print` shows its table in Markdown with the verdict."""

    judged: Judged

    @property
    def verdict(self) -> str:
        """The answer, what it does not say and, for a table, how it was read: a paragraph each."""
        return "\n".join(self.judged.answer)

    def table(self) -> list[dict[str, Any]]:
        """Return a row for each score, arm and contrast, unrounded, with shares in [0, 1]."""
        from perceptinit.reports.columns import flat_rows

        return list(flat_rows(self.judged.comparison.all_scores))

    def to_html(self) -> str:
        """Return the page that `perceptinit report` writes. Requires the extra `report`."""
        from perceptinit.reports.report import render

        return render(self.judged)

    def __repr__(self) -> str:
        from perceptinit.reports.formats import markdown_table

        return markdown_table(self.judged, self.judged.comparison.all_scores)


def compare(
    table: Any,
    *,
    baseline: str | None = None,
    delta: float | None = None,
    columns: Mapping[str, str] | None = None,
    plan: str | Path | None = None,
    pairing: Literal["seeds", "none"] = "seeds",
    direction: Literal["higher", "lower"] | None = None,
    at: int | None = None,
) -> Comparison:
    """Compare arms like `perceptinit compare`.

    Args:
        table: Path of a table or of a folder of runs, or a data frame.
        baseline: Arm with which the others are compared. Required for a table without a plan.
        delta: Largest difference that does not matter, for a table: in points if its scores are shares, else
            in their unit.
        columns: Columns of a table by field, such as `{"arm": "init", "value": "accuracy"}`.
        plan: `plan.json` of `perceptinit preregister`, for a table.
        pairing: "none" compares the arms of a table as independent samples, even if their seeds are equal.
        direction: Better values of a measure whose name does not state them, for a table.
        at: Compare at this evaluation and not at the end.

    Returns:
        A comparison with `verdict` (text), `table()` (rows), and `to_html()`.

    Raises:
        DataError: If the table is invalid.
        UsageError: If arguments are invalid, or the runs are not comparable.
    """
    from perceptinit.analysis.compare import compare as compare_runs
    from perceptinit.results.run_tables import TableOptions, load_results
    from perceptinit.verdict.headline import Judged

    if pairing not in ("seeds", "none"):
        raise UsageError(f'pairing = {pairing!r}: expected "seeds" or "none"')
    options = TableOptions(
        baseline=baseline,
        delta=delta,
        columns=columns or {},
        plan=None if plan is None else Path(plan),
        is_unpaired=pairing == "none",
        direction=direction,
    )
    runs = load_results([table if hasattr(table, "columns") else Path(table)], options=options)
    return Comparison(Judged.of(compare_runs(runs, "equal" if at is None else at, baseline)))


def apply_perceptual_init(
    model: nn.Module,
    method: str = "triplet",
    *,
    judgments: Source = None,
    also_on: Source = None,
    encode: Callable[[torch.Tensor], torch.Tensor] | None = None,
    image_size: int | None = None,
    mean: RGB | None = None,
    std: RGB | None = None,
    fit: FitMode = "center-crop",
    device: str | None = None,
    seed: int = 0,
    cache: bool = True,
    progress: bool = True,
    num_workers: int = 2,
    **options: Any,
) -> InitReport:
    """Initialize the vision tower of `model` from human similarity judgments, in place.

    Only weights and buffers of the vision tower change. Modes, device, dtype, requires_grad, gradients and
    hooks are unchanged. After an error, the weights are unchanged, too. The computation uses float32,
    regardless of the model's dtype and of autocast.

    Args:
        model: A model of timm, open_clip, torchvision or Hugging Face transformers, or any module with
            `encode`. With DistributedDataParallel, call the function in every process; all processes end
            with equal weights.
        method: Name of an initializer, such as "linear" (`perceptinit list initializer`).
        judgments: Name of a data set, path of a table or a matrix, a name or path with its options
            `(name, {...})`, a dict as for `build`, a component, or Triplets. By default NIGHTS. A published
            set is read from `root`, else from the folder in `<NAME>_ROOT`, else from `data/<name>`.
        also_on: Judgments that are not trained on, like `judgments`. 2AFC on them is reported, with a warning
            if it decreases by more than its error.
        encode: Maps images (B, 3, S, S) to embeddings (B, D). Required for models of other libraries.
        image_size: Height and width S of the input, pixels; by default that of the model. Required with
            `encode`.
        mean: Mean of red, green and blue for pixels in [0, 1]; by default that of the model. With `encode`,
            images are not normalized by default.
        std: Standard deviation of red, green and blue, like `mean`.
        fit: How non-square images are made square: "center-crop", "squash" or "pad" with the mean.
        device: A torch device for the computation; by default the device of the model.
        seed: Random seed.
        cache: Load the result of an earlier call with the same weights, judgments, settings and seed, and
            save new results (`perceptinit cache`).
        progress: Show progress bars.
        num_workers: Number of threads that decode images.
        **options: Keys of the initializer, such as `epochs=4` (`perceptinit show initializer NAME`). Stage 1
            chooses loss, rate, batch, epochs and patience by whether the weights are learned or random.

    Returns:
        A report with the names of changed tensors, hashes of the weights, and metrics such as
        `unseen_2afc_after`. `print(report)` prints up to six lines.

    Raises:
        UsageError: If arguments are invalid or do not fit the model.
        DataError: If judgments are missing or invalid.
        InitializerError: If no weight changes.
    """
    from perceptinit.files.cache import Cache, cache_folder
    from perceptinit.library.adapters import adapt, broadcast, model_names, unwrap
    from perceptinit.library.applying import initialize_tower, read_job
    from perceptinit.library.arguments import check_arguments
    from perceptinit.progress import Bars

    given: dict[str, Any] = {"encode": encode, "image_size": image_size, "mean": mean, "std": std, "fit": fit}
    check_arguments(model, method, judgments, options, seed, given)
    registry = build_plugin_manager().registry
    with Bars(stays=True, shown=progress) as bars:
        bars.update("loading data", 0)
        job = read_job(registry, method, options, judgments, seed, also_on)
        tower = adapt(model, **given)
        bars.retain([])
        job, sentences = job.suited(tower, options)
        for sentence in sentences:
            bars.say(sentence)
        report = initialize_tower(
            tower,
            job,
            bars,
            device=device,
            cache=Cache(cache_folder()) if cache else None,
            num_workers=num_workers,
        )
    broadcast(model, tower)
    return model_names(report, unwrap(model), tower)
