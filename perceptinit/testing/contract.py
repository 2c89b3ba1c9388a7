"""What every kind of component has to keep, whatever it does."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

from perceptinit.components.building import parts_of, preflight
from perceptinit.components.class_source import lineage_of
from perceptinit.components.describe import fields_of
from perceptinit.configs import read_config
from perceptinit.protocols import HasPlan, HasSmoke
from perceptinit.testing.optional import OPTIONAL, wrong_arguments
from perceptinit.testing.tiny import tiny_judgments, tiny_pairs
from perceptinit.types import RunContext, StagePlan

PARTS = {"judgments": tiny_judgments, "pairs": tiny_pairs}


def must(holds: bool, sentence: str) -> None:
    """Fail with a sentence that says what is wrong and what to change."""
    __tracebackhide__ = True  # pytest: show the line of the contract, not this one
    if not holds:
        raise AssertionError(sentence)


class Contract:
    """Base of the contracts: set `component`, and override `options` for keys without a default."""

    component: type
    kind: ClassVar[str]
    protocol: ClassVar[type]

    def options(self, tmp_path: Path) -> dict[str, Any]:
        """Return the component's recipe keys; make files that it needs below tmp_path."""
        return {}

    def parts(self) -> dict[str, Any]:
        """Return the judgments or pairs that `__init__` asks for: simulated ones."""
        return {name: PARTS[name]() for name in parts_of(self.component)}

    @property
    def label(self) -> str:
        return f"{self.kind} {self.component.__name__}"

    def config(self, tmp_path: Path) -> Any:
        """Return the config that `options` describe, read as a recipe is."""
        config, problems = read_config(self.component.Config, self.options(tmp_path), self.kind)  # type: ignore[attr-defined]
        must(
            not problems,
            f"{self.label}: options() are no valid keys: {'; '.join(map(str, problems))}",
        )
        return config

    def build(self, tmp_path: Path, config: Any = None) -> Any:
        """Return the component as a recipe would build it; a given config spares making its files again."""
        return self.component(config or self.config(tmp_path), **self.parts())

    def context(self, tmp_path: Path, seed: int = 0) -> RunContext:
        """Return a run's context on the CPU, with a folder of its own."""
        folder = tmp_path / "run"
        folder.mkdir(exist_ok=True)
        return RunContext(seed=seed, stage="contract", folder=folder, num_workers=0)

    def test_config_is_a_frozen_dataclass_of_keyword_fields(self) -> None:
        config = getattr(self.component, "Config", None)
        must(
            dataclasses.is_dataclass(config) and isinstance(config, type),
            f"{self.label} needs a nested dataclass Config, also when it takes no keys",
        )
        frozen = config.__dataclass_params__.frozen  # type: ignore[union-attr]
        must(
            frozen and all(field.kw_only for field in dataclasses.fields(config)),  # type: ignore[arg-type]
            f"{self.label}: write @dataclass(frozen=True, slots=True, kw_only=True) over Config",
        )

    def test_every_key_and_the_class_are_documented(self) -> None:
        must(
            len(inspect.getdoc(self.component) or "") >= 10,
            f"{self.label}: say what it does in a docstring: `perceptinit show` prints it",
        )
        for field in fields_of(lineage_of(self.component.Config)):  # type: ignore[attr-defined]
            must(
                len(field.doc) >= 10,
                f"{self.label}: Config.{field.name} has no string under it that says what it controls and its unit",
            )

    def test_methods_take_the_arguments_of_the_protocol(self) -> None:
        for name, method in inspect.getmembers(self.protocol, inspect.isfunction):
            if name.startswith("_"):
                continue
            must(
                callable(getattr(self.component, name, None)),
                f"{self.label} lacks {name}{inspect.signature(method)}",
            )
        for protocol in (self.protocol, *OPTIONAL[self.kind]):
            for difference in wrong_arguments(self.component, protocol):
                must(False, f"{self.label}: {difference}")

    def test_it_can_be_built_and_is_ready(self, tmp_path: Path) -> None:
        lacking = preflight(self.build(tmp_path))
        must(
            not lacking, f"{self.label}: preflight() says it cannot work here: {'; '.join(lacking)}"
        )

    def test_plan_and_smoke_give_what_they_promise(self, tmp_path: Path) -> None:
        component = self.build(tmp_path)
        if isinstance(component, HasPlan):
            plan = component.plan()
            must(
                isinstance(plan, StagePlan),
                f"{self.label}: plan() must return perceptinit.plugin.StagePlan, got {plan!r:.60}",
            )
        config = self.config(tmp_path)
        if isinstance(config, HasSmoke):
            small = config.smoke()
            must(
                isinstance(small, self.component.Config),  # type: ignore[attr-defined]
                f"{self.label}: Config.smoke() must return a Config, got {small!r:.60}",
            )


def different(names: Iterable[str]) -> list[str]:
    """Return the first few names, for a message."""
    return sorted(names)[:3]
