"""Measurements that come with perceptinit."""

from __future__ import annotations

from collections.abc import Iterable

from perceptinit import Component, hookimpl


@hookimpl
def perceptinit_evaluators() -> Iterable[Component]:
    return [
        Component(
            name="two-afc",
            target="perceptinit.evaluators.two_afc:TwoAFC",
            summary="agreement with human similarity judgments, and embedding spread",
        ),
        Component(
            name="zero-shot",
            target="perceptinit.evaluators.zero_shot:ZeroShot",
            summary="zero-shot classification with class names and prompt templates",
        ),
    ]
