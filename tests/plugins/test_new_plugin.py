"""`perceptinit new plugin` writes a linted, typed package that passes its contract, for every kind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from perceptinit.components.scaffold import new_plugin
from perceptinit.errors import UsageError
from perceptinit.registry import KINDS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """A package of each kind, named after a laboratory and the kind."""
    folder = tmp_path_factory.mktemp("packages")
    return {kind: new_plugin(f"acme-my-{kind}", kind, folder) for kind in KINDS}


def run(folder, *command, **environment):
    env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}", **environment}
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, env=env, capture_output=True, text=True, check=False
    )  # fmt: skip


def test_the_contract_tests_of_every_kind_pass(packages):
    # one process: importing torch seven times would take longest
    tests = [str(folder / "tests") for folder in packages.values()]
    path = os.pathsep.join([str(ROOT), *map(str, packages.values())])
    done = run(
        ROOT,
        "pytest",
        "-q",
        "--import-mode=importlib",
        "-p",
        "no:cacheprovider",
        *tests,
        PYTHONPATH=path,
    )
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_a_package_is_linted_and_formatted(packages, kind):
    for command in (["check", "--extend-select", "I,UP,B"], ["format", "--check"]):
        done = run(packages[kind], "ruff", *command, "--no-cache", ".")
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_packages_are_typed(packages):
    """Slow: mypy follows the imports into torch."""
    pytest.importorskip("mypy", reason="extra 'test' not installed")
    files = [str(f) for folder in packages.values() for f in folder.glob("acme_*/*.py")]
    done = run(ROOT, "mypy", "--config-file", str(packages["pairs"] / "pyproject.toml"), *files)
    assert done.returncode == 0, done.stdout


def test_an_installed_package_is_listed(cli_process, packages, tmp_path):
    folder = packages["initializer"]
    info = tmp_path / "acme_my_initializer-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text("[perceptinit]\nacme = acme_my_initializer\n")
    path = os.pathsep.join(map(str, (tmp_path, folder, ROOT)))
    done = cli_process(
        "show", "initializer", "acme/my-initializer", PYTHONPATH=path, PERCEPTINIT_PLUGINS="acme"
    )
    assert 'use = "acme/my-initializer"' in done.stdout, done.stderr
    assert "Standard deviation of the weights" in done.stdout


def test_new_plugin_prints_the_written_files_and_the_next_commands(cli, tmp_path):
    done = cli("new", "plugin", "judgments", "acme-texture")
    assert done.returncode == 0, done.stderr
    assert "acme-texture/tests/test_contract.py" in done.stdout
    assert "pip install -e '.[test]'; pytest" in done.stdout
    project = (tmp_path / "acme-texture/pyproject.toml").read_text()
    assert 'description = "The judgments acme/texture for perceptinit."' in project
    assert 'name="acme/texture"' in (tmp_path / "acme-texture/acme_texture/__init__.py").read_text()


@pytest.mark.parametrize(
    ("name", "kind", "sentence"),
    [
        ("acme", "initialiser", "no kind called 'initialiser'. Did you mean 'initializer'?"),
        ("My Plugin", "pairs", "'My Plugin' is not a valid package name"),
        ("json", "pairs", "'json' would shadow Python's module json"),
        ("os", "tracker", "'os' would shadow Python's module os"),
        ("class", "pairs", "'class' contains Python's keyword 'class'"),
        ("acme-import", "initializer", "'acme-import' contains Python's keyword 'import'"),
        ("acme-none", "initializer", "'acme-none' contains Python's keyword 'None'"),
    ],
)
def test_an_invalid_kind_or_name_is_reported(name, kind, sentence, tmp_path):
    with pytest.raises(UsageError) as error:
        new_plugin(name, kind, tmp_path)
    assert sentence in str(error.value)


def test_an_existing_folder_is_not_changed(tmp_path):
    (tmp_path / "acme").mkdir()
    with pytest.raises(UsageError, match="already exists"):
        new_plugin("acme", "pairs", tmp_path)
    assert list((tmp_path / "acme").iterdir()) == []


def test_the_name_of_an_installed_package_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"'filelock' is installed \(version .*\)\. Choose another name"):
        new_plugin("filelock", "pairs", tmp_path)
