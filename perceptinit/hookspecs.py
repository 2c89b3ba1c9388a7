"""The hooks a plug-in can implement. This file is the manual page; docs/hooks.md is made from it.

A plug-in is a module with functions decorated by `perceptinit.plugin.hookimpl`, named in its package's
metadata:

    [project.entry-points.perceptinit]
    my-lab = "my_lab.perceptinit_plugin"

The seven component hooks take no arguments and return `Component` descriptions, so that listing
components imports none of them. A hook is only ever extended: arguments may be added, never
removed, and a hook that is to go warns its implementers first.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    import typer

    from perceptinit.registry import Component

PROJECT = "perceptinit"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def perceptinit_initializers() -> Iterable[Component]:
    """Offer ways to set the weights of an image tower before (or after) pretraining.

    The class gives `initialize(model, ctx) -> InitReport`. Recipe slots `[[init]]` and
    `[[posthoc]]`. Since 0.1.
    """
    raise NotImplementedError


@hookspec
def perceptinit_backbones() -> Iterable[Component]:
    """Offer networks.

    The class gives `build() -> DualEncoder`. Recipe slot `[backbone]`. Since 0.1.
    """
    raise NotImplementedError


@hookspec
def perceptinit_pretrainers() -> Iterable[Component]:
    """Offer pretraining objectives.

    The class gives `steps(model, ctx) -> Iterator[StepResult]`, `state_dict()` and
    `load_state_dict(state)`. Recipe slot `[pretrain]`. Since 0.1.
    """
    raise NotImplementedError


@hookspec
def perceptinit_judgments() -> Iterable[Component]:
    """Offer human-perception data sets.

    The class gives `load(split) -> Triplets` and a `card`. Recipe slots `[init.judgments]` and
    `[eval.judgments]`. Since 0.1.
    """
    raise NotImplementedError


@hookspec
def perceptinit_pairs() -> Iterable[Component]:
    """Offer image-text sources.

    The class gives `num_pairs` and `pair(index) -> Pair`. Recipe slot `[pretrain.pairs]`.
    Since 0.1.
    """
    raise NotImplementedError


@hookspec
def perceptinit_evaluators() -> Iterable[Component]:
    """Offer measurements of a model.

    The class gives `evaluate(model, ctx) -> Iterable[Score]`. Recipe slot `[[eval]]`. Since 0.1.
    """
    raise NotImplementedError


@hookspec
def perceptinit_trackers() -> Iterable[Component]:
    """Offer places to send the numbers of a run.

    The class gives `log(event)` and `close()`. Recipe slot `[[track]]`. Since 0.1.
    """
    raise NotImplementedError


@hookspec
def perceptinit_commands(app: typer.Typer) -> None:
    """Add verbs to the `perceptinit` command line.

    Called once for each command line that is started, before it is parsed: import heavy packages
    inside the verbs. A verb that the core already has is an error. Since 0.1.
    """
    raise NotImplementedError
