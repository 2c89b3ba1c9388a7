"""`show` sees the keys that a Config inherits, wherever its bases are written, and imports none of them."""

import sys
import textwrap

import pytest

from perceptinit import Component
from perceptinit.components.describe import describe
from perceptinit.errors import PerceptInitError
from perceptinit.registry import Entry


@pytest.fixture
def describe_class(tmp_path, monkeypatch):
    """Write modules of a package that must not be imported; describe one of its classes."""
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


def test_a_key_that_is_given_anew_keeps_its_place_and_its_documentation(describe_class):
    source = """
        from acme_source.base import Training

        class Mine:
            class Config(Training):
                epochs: int = 9
    """
    described = describe_class("mine:Mine", base=BASE, mine=source)
    assert [(f.name, f.default) for f in described.fields] == [("size", None), ("epochs", "9")]
    assert described.fields[1].doc == "Passes over the judgments."


def test_a_component_inherits_config_parts_and_documentation(describe_class):
    source = "from .base import Base\nclass Mine(Base):\n    pass\n"
    described = describe_class("mine:Mine", base=BASE, mine=source)
    assert [f.name for f in described.fields] == ["size", "epochs", "seed"]
    assert described.parts == ("judgments",)
    assert described.doc == "A base."


def test_a_config_may_be_another_class_and_a_class_may_have_the_name_of_its_base(describe_class):
    source = """
        from acme_source.base import Base, Training

        class Base(Base):
            Config = Training
    """
    described = describe_class("mine:Base", base=BASE, mine=source)
    assert [f.name for f in described.fields] == ["size", "epochs"]
    assert described.parts == ("judgments",)


def test_a_base_may_stand_beside_the_config_in_the_same_class(describe_class):
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


def test_names_are_followed_through_modules_that_hand_them_on(describe_class):
    source = "from .front import Front\nclass Mine:\n    class Config(Front):\n        pass\n"
    front = "from acme_source.base import Training as Front\n"
    described = describe_class("mine:Mine", base=BASE, front=front, mine=source)
    assert [f.name for f in described.fields] == ["size", "epochs"]


def test_a_shared_base_counts_once_and_class_variables_are_no_keys(describe_class):
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


def test_a_base_that_is_not_found_is_told(describe_class):
    source = "from no_such_package import Gone\nclass Mine:\n    class Config(Gone):\n        std: int = 0\n"
    described = describe_class("mine:Mine", mine=source)
    assert described.unseen == ("Gone",)
    assert [f.name for f in described.fields] == ["std"]


def test_two_modules_that_hand_a_name_to_each_other_are_no_endless_search(describe_class):
    there, back = "from .back import X\n", "from .there import X\n"
    source = "from .there import X\nclass Mine:\n    class Config(X):\n        std: int = 0\n"
    assert describe_class("mine:Mine", there=there, back=back, mine=source).unseen == ("X",)


def test_an_absent_module_and_an_absent_class_are_told(describe_class):
    with pytest.raises(PerceptInitError, match=r"no module acme_source\.gone"):
        describe_class("gone:Mine")
    with pytest.raises(PerceptInitError, match=r"empty\.py has no class Mine"):
        describe_class("empty:Mine", empty="")
