"""The packages in plugins/ and examples/: companions of the core, and examples of what a third party writes."""

import tomllib
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from perceptinit import __version__
from perceptinit.registry import COMPANIONS

ROOT = Path(__file__).parents[2]
PLUGINS = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))
EXAMPLES = sorted(path.parent for path in ROOT.glob("examples/*/pyproject.toml"))
NAMES = {companion.distribution for companion in COMPANIONS}
each_package = pytest.mark.parametrize("folder", [*PLUGINS, *EXAMPLES], ids=lambda folder: folder.name)


def read_project(folder):
    return tomllib.loads((folder / "pyproject.toml").read_text())["project"]


def read_minimums(folder):
    """Return the lowest version of each dependency, also of extras."""
    project = read_project(folder)
    extras = project.get("optional-dependencies", {}).values()
    texts = [*project["dependencies"], *chain.from_iterable(extras)]
    requirements = [Requirement(text) for text in texts]
    return {r.name: Version(s.version) for r in requirements for s in r.specifier if s.operator == ">="}


def test_plugins_holds_at_most_ten_packages_with_every_companion():
    assert len(PLUGINS) <= 10
    assert {folder.name for folder in PLUGINS} >= NAMES
    assert not {folder.name for folder in EXAMPLES} & NAMES


@pytest.mark.parametrize("folder", [f for f in [*PLUGINS, *EXAMPLES] if (f / "README.md").is_file()], ids=str)
def test_the_first_line_of_a_readme_says_companion_or_example(folder):
    sort = "companion" if folder.name in NAMES else "example"
    assert (folder / "README.md").read_text().splitlines()[0] == f"# {folder.name} ({sort})"


@each_package
def test_a_companion_requires_the_minor_version_of_the_core_and_an_example_any_later_one(folder):
    core = Version(__version__)
    project = read_project(folder)
    (text,) = [text for text in project["dependencies"] if Requirement(text).name == "perceptinit"]
    if folder.name in NAMES:
        assert text == f"perceptinit>={core.major}.{core.minor},<{core.major}.{core.minor + 1}"
        assert project["version"] == __version__
    else:
        assert text == "perceptinit>=0.2"  # the first version with the documented names


@each_package
def test_a_package_allows_no_older_dependency_than_the_core(folder):
    core = read_minimums(ROOT)
    own = read_minimums(folder)
    assert {name: own[name] for name in own if name in core and own[name] < core[name]} == {}
