"""Every component in the registry satisfies the requirements of its kind."""

import dataclasses
import inspect

import pytest

from perceptinit import protocols
from perceptinit.components.describe import describe
from perceptinit.components.plugin_manager import build_plugin_manager
from perceptinit.registry import KINDS

METHODS = {
    "initializer": protocols.Initializer,
    "backbone": protocols.Backbone,
    "pretrainer": protocols.Pretrainer,
    "judgments": protocols.Judgments,
    "pairs": protocols.Pairs,
    "evaluator": protocols.Evaluator,
    "tracker": protocols.Tracker,
}
ENTRIES = build_plugin_manager().registry.entries
every_component = pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: f"{e.kind}-{e.name}")


def test_every_kind_has_built_ins():
    assert {entry.kind for entry in ENTRIES} == set(KINDS)


@every_component
def test_a_component_has_the_methods_of_its_kind(entry):
    cls = entry.load()
    for name, method in inspect.getmembers(METHODS[entry.kind], inspect.isfunction):
        if name.startswith("_"):
            continue
        assert callable(getattr(cls, name, None)), f"{entry.title} lacks {name}()"
        wanted = list(inspect.signature(method).parameters)
        assert list(inspect.signature(getattr(cls, name)).parameters) == wanted, f"{entry.title}.{name}"


@every_component
def test_a_config_is_a_frozen_dataclass_with_keyword_fields(entry):
    config = entry.load().Config
    assert dataclasses.is_dataclass(config)
    assert config.__dataclass_params__.frozen
    assert all(field.kw_only for field in dataclasses.fields(config))


@every_component
def test_each_key_of_a_component_is_documented(entry):
    description = describe(entry)
    assert len(description.doc) > 40, "the class needs a docstring"
    undocumented = [f.name for f in description.fields if len(f.doc) < 10]
    assert undocumented == []
    assert [f.name for f in description.fields] == [f.name for f in dataclasses.fields(entry.load().Config)]


@every_component
def test_the_summary_of_a_component_is_one_line(entry):
    assert 10 < len(entry.component.summary) < 110
    assert "\n" not in entry.component.summary


@every_component
def test_show_prints_a_component(entry, cli):
    if entry.name in {"webdataset", "triplet-hinge"}:  # each takes a process, so two represent all
        done = cli("show", entry.kind, entry.name)
        assert done.returncode == 0, done.stderr
        assert f'use = "{entry.name}"' in done.stdout
