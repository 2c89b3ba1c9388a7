"""`show` lists the keys of a Config and of its bases, from any module."""

import textwrap

import pytest

from perceptinit import Component
from perceptinit.components.describe import describe
from perceptinit.errors import PerceptInitError
from perceptinit.registry import Entry


@pytest.fixture
def describe_class(tmp_path, monkeypatch):
    """Return a function that writes modules and describes one of their classes."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def run(target, **modules):
        package = tmp_path / f"acme_{tmp_path.name}"
        package.mkdir(exist_ok=True)
        (package / "__init__.py").write_text("")
        for name, source in modules.items():
            (package / f"{name}.py").write_text(textwrap.dedent(source))
        component = Component(name="acme/x", target=f"{package.name}.{target}", summary="x")
        return describe(Entry(kind="initializer", component=component, plugin="acme"))

    return run


BASE = """
    from dataclasses import dataclass
    from perceptinit.configs import PositiveInt

    @dataclass(frozen=True, kw_only=True)
    class Training:
        size: int
        'Height and width, pixels.'
        epochs: PositiveInt = 4
        'Passes over the judgments.'

    class Base:
        'A base.'

        class Config(Training):
            seed: int = 0
            'Names the draw.'

        def __init__(self, config, judgments):
            pass
"""


def test_keys_of_a_base_in_another_file_come_first(describe_class):
    source = "from .base import Training as T\nclass Mine:\n    class Config(T):\n        std: float = 0.1\n"
    described = describe_class("mine:Mine", base=BASE, mine=source)
    assert [(f.name, f.type) for f in described.fields] == [
        ("size", "int"),
        ("epochs", "PositiveInt"),
        ("std", "float"),
    ]
    assert described.fields[1].doc == "Passes over the judgments."
    assert described.location.endswith("mine.py:2")


def test_an_overridden_key_keeps_its_position_and_documentation(describe_class):
    source = """
        from .base import Training

        class Mine:
            class Config(Training):
                epochs: int = 9
    """
    described = describe_class("mine:Mine", base=BASE, mine=source)
    assert [(f.name, f.default) for f in described.fields] == [("size", None), ("epochs", "9")]
    assert described.fields[1].doc == "Passes over the judgments."


def test_a_component_inherits_config_parts_and_docstring(describe_class):
    source = "from .base import Base\nclass Mine(Base):\n    pass\n"
    described = describe_class("mine:Mine", base=BASE, mine=source)
    assert [f.name for f in described.fields] == ["size", "epochs", "seed"]
    assert described.parts == ("judgments",)
    assert described.doc == "A base."


def test_a_shared_base_is_listed_once_and_class_variables_are_ignored(describe_class):
    source = """
        from typing import ClassVar
        from .base import Training

        class Left(Training):
            left: int = 0

        class Right(Training):
            right: int = 0
            kind: ClassVar[str] = "x"

        class Mine:
            class Config(Left, Right):
                pass
    """
    described = describe_class("mine:Mine", base=BASE, mine=source)
    # as dataclasses order them: the last base first
    assert [f.name for f in described.fields] == ["size", "epochs", "right", "left"]


def test_a_missing_module_and_a_missing_class_are_reported(describe_class):
    with pytest.raises(PerceptInitError, match="gone"):
        describe_class("gone:Mine")
    with pytest.raises(PerceptInitError, match="Mine"):
        describe_class("empty:Mine", empty="")
