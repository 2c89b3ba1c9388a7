"""The hooks that a plug-in can implement; docs/hooks.md explains them.

A plug-in is a module of functions decorated with `perceptinit.plugin.hookimpl`. The metadata of its package
name the module:

    [project.entry-points.perceptinit]
    my-lab = "my_lab.perceptinit_plugin"

The seven component hooks take no arguments and return `Component` descriptions, so listing components
imports none of them. Later versions can add arguments to a hook. Before a hook is removed, at least one
version issues a warning for plug-ins that implement it.
"""

# mypy: disable-error-code="empty-body"
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    import typer

    from perceptinit.registry import Component

PROJECT = "perceptinit"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def perceptinit_initializers() -> Iterable[Component]:
    """Offer methods that set the weights of an image tower, before or after pretraining.

    The class has `initialize(model, ctx) -> InitReport`. Recipe slots `[[init]]` and `[[posthoc]]`. Since
    0.1.
    """


@hookspec
def perceptinit_backbones() -> Iterable[Component]:
    """Offer network architectures.

    The class has `build() -> DualEncoder`. Recipe slot `[backbone]`. Since 0.1.
    """


@hookspec
def perceptinit_pretrainers() -> Iterable[Component]:
    """Offer pretraining objectives.

    The class has `steps(model, ctx) -> Iterator[StepResult]`, `state_dict()` and `load_state_dict(state)`.
    Recipe slot `[pretrain]`. Since 0.1.
    """


@hookspec
def perceptinit_judgments() -> Iterable[Component]:
    """Offer data sets of human similarity judgments.

    The class has `load(split) -> Triplets` and a `card`. Recipe slots `[init.judgments]` and
    `[eval.judgments]`. Since 0.1.
    """


@hookspec
def perceptinit_pairs() -> Iterable[Component]:
    """Offer sources of image-text pairs.

    The class has `num_pairs` and `pair(index) -> Pair`. Recipe slot `[pretrain.pairs]`. Since 0.1.
    """


@hookspec
def perceptinit_evaluators() -> Iterable[Component]:
    """Offer evaluators, which yield scores of a model.

    The class has `evaluate(model, ctx) -> Iterable[Score]`. Recipe slot `[[eval]]`. Since 0.1.
    """


@hookspec
def perceptinit_trackers() -> Iterable[Component]:
    """Offer trackers, which log the metrics of a run.

    The class has `log(event)` and `close()`. Recipe slot `[[track]]`. Since 0.1.
    """


@hookspec
def perceptinit_report(runs: Sequence[Any]) -> Iterable[Any]:
    """Offer sections for the page of `perceptinit report`. Since 0.2.

    `report --no-examples` does not call this hook. The page states why a section is missing.

    Args:
        runs: One finished `ShownRun` per arm, in this order: arm of the verdict, baseline, other arms.

    Returns:
        `Section` objects.
    """


@hookspec
def perceptinit_commands(app: typer.Typer) -> None:
    """Add commands to `perceptinit`. Since 0.1.

    Called once each time the command line starts, before it is parsed. Import heavy packages inside the
    commands. The name of an existing command is an error.

    Args:
        app: The application, for `app.command` and `app.add_typer`.
    """
