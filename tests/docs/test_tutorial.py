"""The package of the tutorial passes its contract, and the commands of the tutorial run."""

import importlib
import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.command_line import run_command

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "tutorial.md").read_text()
PACKAGE = ROOT / "examples" / "acme-piles"
SHOWN = re.findall(r'^```\w+ title="([^"]+)"\n--8<-- "examples/acme-piles/([^"]+)"\n```', TEXT, re.MULTILINE)
FILES = {name: (PACKAGE / name).read_text() for _, name in SHOWN}


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """The folder of the tutorial with all files and data, discoverable as an installed package."""
    folder = tmp_path_factory.mktemp("tutorial")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    info = folder / "acme_piles-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-piles\nVersion: 0.1.0\n")
    (entry,) = re.findall(r"^acme = .*$", FILES["pyproject.toml"], re.MULTILINE)
    (info / "entry_points.txt").write_text(f"[perceptinit]\n{entry.replace(chr(34), '')}\n")
    subprocess.run([sys.executable, "make_data.py"], cwd=folder, check=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.setenv("PERCEPTINIT_PLUGINS", "acme")
        yield folder
    for name in [n for n in sys.modules if n.partition(".")[0] == "acme_piles"]:
        del sys.modules[name]


def test_the_tests_of_the_tutorial_pass(package):
    # a new process, as for its author: no module of the test suite is imported before
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(package)])}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    done = subprocess.run(command, cwd=package, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_files_of_the_tutorial_are_linted_and_formatted(package):
    for command in (["check", "--extend-select", "I,UP,B,N,SIM,PT"], ["format", "--check"]):
        options = ["--no-cache", "--config", "line-length = 110", "."]
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, *options],
            cwd=package,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout


def test_the_commands_of_the_tutorial_run_and_2afc_rises(package):
    commands = [
        shlex.split(line)[1:]
        for block in re.findall(r"```console\n(.*?)```", TEXT, re.DOTALL)
        for line in block.splitlines()
        if line.startswith("perceptinit ")
    ]
    for command in commands:
        shorter = ["--seed", "0"] if command[0] == "run" and "--smoke" not in command else []
        done = run_command((*command, *shorter), package, PERCEPTINIT_PLUGINS="acme")
        assert done.returncode == 0, done.stderr
    last = {}
    for path in package.glob("runs/piles/*/seed0/record.json"):
        found = json.loads(path.read_text())
        last[found["arm"]["name"]] = {s["name"]: s["value"] for s in found["scores"]}
    assert last["random"]["2afc/piles"] > 0.8  # as the text states of a network with random weights
    assert last["pi"]["2afc_unanimous/piles"] > last["shuffled"]["2afc_unanimous/piles"]


def test_an_unnamed_random_draw_gives_the_documented_message(package, tmp_path):
    spec = importlib.util.spec_from_file_location("tutorial", package / "tests/test_contract.py")
    contracts = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(contracts)
    source = FILES["acme_piles/piles.py"]
    broken = re.sub(r"generator\(c\.seed.*\)", "np.random.default_rng()", source)
    assert broken != source
    names = {"__name__": "acme_piles.piles"}
    exec(compile(broken, "piles.py", "exec"), names)
    contract = type("Broken", (contracts.TestPiles,), {"component": names["Piles"]})()
    with pytest.raises(AssertionError) as error:
        contract.test_loading_is_reproducible(tmp_path)
    (quoted,) = re.findall(r'^```text title="a broken contract"\n(.*?)^```', TEXT, re.MULTILINE | re.DOTALL)
    assert " ".join(quoted.split()) == str(error.value)


def test_a_missing_image_is_reported_with_its_row(package):
    judgments = importlib.import_module("acme_piles.piles").Piles
    config = judgments.Config(path=package / "piles.csv", images=package / "tests")
    (sentence,) = judgments(config).preflight()
    assert "piles.csv, row 2: image 'disc_00.png': no such file in" in sentence


def test_the_tutorial_shows_every_file_of_the_package_under_its_name():
    assert all(title == name for title, name in SHOWN)
    files = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*") if path.is_file()}
    assert {name for name in files if "__pycache__" not in name} == set(FILES)
