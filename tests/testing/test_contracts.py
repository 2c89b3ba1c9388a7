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


def test_every_kind_has_built_ins():
    assert {entry.kind for entry in ENTRIES} == set(KINDS)


def test_components_have_the_methods_of_their_kind():
    offenders = []
    for entry in ENTRIES:
        for name, method in inspect.getmembers(METHODS[entry.kind], inspect.isfunction):
            own = getattr(entry.load(), name, None)
            if not name.startswith("_") and not (callable(own) and parameters(own) == parameters(method)):
                offenders.append(f"{entry.title}.{name}")
    assert offenders == []


def parameters(function):
    return list(inspect.signature(function).parameters)


def test_configs_are_frozen_dataclasses_with_keyword_fields():
    configs = {entry.title: entry.load().Config for entry in ENTRIES}
    assert [title for title, config in configs.items() if not is_frozen(config)] == []


def is_frozen(config):
    return (
        dataclasses.is_dataclass(config)
        and config.__dataclass_params__.frozen
        and all(field.kw_only for field in dataclasses.fields(config))
    )


def test_components_and_their_keys_are_documented():
    offenders = []
    for entry in ENTRIES:
        description = describe(entry)
        offenders += [entry.title] if len(description.doc) <= 40 else []
        offenders += [f"{entry.title}: {f.name}" for f in description.fields if len(f.doc) < 10]
        keys = [field.name for field in dataclasses.fields(entry.load().Config)]
        assert [f.name for f in description.fields] == keys, entry.title
    assert offenders == []


def test_summaries_of_components_are_one_line():
    summaries = {entry.title: entry.component.summary for entry in ENTRIES}
    assert [t for t, summary in summaries.items() if not 10 < len(summary) < 110 or "\n" in summary] == []


@pytest.mark.parametrize(("kind", "name"), [("pairs", "webdataset"), ("initializer", "triplet-hinge")])
def test_show_prints_a_component(kind, name, cli):
    done = cli("show", kind, name)
    assert done.returncode == 0, done.stderr
    assert f'use = "{name}"' in done.stdout
