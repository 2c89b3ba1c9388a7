"""`show` lists inherited keys of a Config from any module, without importing the modules."""

import sys
import textwrap

import pytest

from perceptinit import Component
from perceptinit.components.describe import describe
from perceptinit.errors import PerceptInitError
from perceptinit.registry import Entry


@pytest.fixture
def describe_class(tmp_path, monkeypatch):
    """Return a function that writes modules that must not be imported and describes one of their classes."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def run(target, **modules):
        package = tmp_path / "acme_source"
        package.mkdir(exist_ok=True)
        (package / "__init__.py").write_text("")
        for name, source in modules.items():
            (package / f"{name}.py").write_text(textwrap.dedent(source))
        component = Component(name="acme/x", target=f"acme_source.{target}", summary="x")
        before = set(sys.modules)
        described = describe(Entry(kind="initializer", component=component, plugin="acme"))
        assert not [m for m in set(sys.modules) - before if m.startswith("acme_source")]
        return described

    return run


BASE = """
    from perceptinit.configs import PositiveInt
    raise RuntimeError("imported")

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


@pytest.mark.parametrize(
    ("imports", "base"),
    [
        ("from acme_source.base import Training", "Training"),
        ("from .base import Training as T", "T"),
        ("from acme_source import base", "base.Training"),
        ("import acme_source.base as b", "b.Training"),
        ("import acme_source.base", "acme_source.base.Training"),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .base import Training", "Training"),
    ],
)  # fmt: skip
def test_keys_of_a_base_in_another_file_come_first(describe_class, imports, base):
    source = f"{imports}\nclass Mine:\n    class Config({base}):\n        std: float = 0.1\n"
    described = describe_class("mine:Mine", base=BASE, mine=source)
    assert [f.name for f in described.fields] == ["size", "epochs", "std"]
    assert described.fields[1].doc == "Passes over the judgments."
    assert described.unseen == ()


def test_an_overridden_key_keeps_its_position_and_documentation(describe_class):
    source = """
        from acme_source.base import Training

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


def test_a_config_may_be_an_alias_and_a_class_may_share_the_name_of_its_base(describe_class):
    source = """
        from acme_source.base import Base, Training

        class Base(Base):
            Config = Training
    """
    described = describe_class("mine:Base", base=BASE, mine=source)
    assert [f.name for f in described.fields] == ["size", "epochs"]
    assert described.parts == ("judgments",)


def test_a_config_may_inherit_from_another_class_of_the_same_component(describe_class):
    source = """
        from acme_source.base import Training

        class Mine:
            class Config(Training):
                pass

            class Longer(Config):
                std: float = 0.1

        class Other:
            class Config(Mine.Longer):
                pass
    """
    described = describe_class("mine:Other", base=BASE, mine=source)
    assert [f.name for f in described.fields] == ["size", "epochs", "std"]


def test_bases_are_found_through_modules_that_reexport_them(describe_class):
    source = "from .front import Front\nclass Mine:\n    class Config(Front):\n        pass\n"
    front = "from acme_source.base import Training as Front\n"
    described = describe_class("mine:Mine", base=BASE, front=front, mine=source)
    assert [f.name for f in described.fields] == ["size", "epochs"]


def test_a_shared_base_is_listed_once_and_class_variables_are_ignored(describe_class):
    source = """
        from typing import ClassVar
        from acme_source.base import Training

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


def test_a_base_that_is_not_found_is_reported(describe_class):
    source = "from no_such_package import Gone\nclass Mine:\n    class Config(Gone):\n        std: int = 0\n"
    described = describe_class("mine:Mine", mine=source)
    assert described.unseen == ("Gone",)
    assert [f.name for f in described.fields] == ["std"]


def test_a_circular_reexport_ends_the_search(describe_class):
    there, back = "from .back import X\n", "from .there import X\n"
    source = "from .there import X\nclass Mine:\n    class Config(X):\n        std: int = 0\n"
    assert describe_class("mine:Mine", there=there, back=back, mine=source).unseen == ("X",)


def test_a_missing_module_and_a_missing_class_are_reported(describe_class):
    with pytest.raises(PerceptInitError, match=r"no module acme_source\.gone"):
        describe_class("gone:Mine")
    with pytest.raises(PerceptInitError, match=r"empty\.py has no class Mine"):
        describe_class("empty:Mine", empty="")
