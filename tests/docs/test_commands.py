"""Every documented command runs, shortened, in one prepared folder, or a list states why it does not."""

import re
import runpy
import shlex
import sys
import tomllib
from dataclasses import dataclass

import numpy as np
import pytest
import typer.main
from helpers.command_line import ROOT, run_command
from helpers.made_runs import record, score, write
from helpers.plugin_packages import write_metadata
from helpers.tiny_recipes import RECIPE
from PIL import Image

PAGES = [
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs/results").glob("*.md")),
    *sorted((ROOT / "plugins").glob("*/README.md")),
    *sorted((ROOT / "examples").glob("*/README.md")),
    *(ROOT / name for name in ("README.md", "recipes/README.md", "recipes/known_effects/README.md")),
]
PROGRAMS = ("perceptinit", "python", "pip", "make", "torchrun", "pytest", "bash", "git")

# pages whose commands another test runs, in the order of the page
RUN_ELSEWHERE = {
    "docs/align.md": "test_align.py",
    "docs/first-day.md": "test_first_day.py",
    "docs/tutorial.md": "test_tutorial.py",
    "docs/any-results.md": "test_any_results.py",
    "docs/write-a-plugin.md": "test_docs.py and tests/plugins",
    "docs/collect.md": "plugins/perceptinit-collect/tests",
    "plugins/perceptinit-collect/README.md": "plugins/perceptinit-collect/tests",
}

# beginnings of commands that cannot run here; their options are compared with `--help`
NOT_RUN = {
    "perceptinit data download": "a download",
    "perceptinit data index s3://": "a bucket; test_remote.py has one",
    "perceptinit data check s3://": "a bucket; test_remote_copies.py has one",
    "perceptinit data check https://": "a web server; test_remote_copies.py has one",
    "perceptinit data check nights": "published files; test_judgment_sources.py makes some",
    "perceptinit data check bapps": "published files; its package's tests make some",
    "perceptinit data check paper29": "31 test sets; test_suite.py makes some",
    "perceptinit eval checkpoints/": "31 test sets; test_eval.py makes some",
    "perceptinit eval open-clip:ViT-B-32": "published weights; test_eval.py makes some",
    "perceptinit eval timm:": "published weights; test_eval.py makes some",
    "perceptinit init timm": "published files; test_tower_cache.py makes towers",
    "perceptinit run pi_clip_yfcc --nproc": "8 processes; test_distributed.py",
    "perceptinit run pi_clip_yfcc --submit slurm": "Slurm; test_slurm.py",
    "perceptinit run pi_clip_yfcc --submit commands": "data of weeks; test_slurm.py",
    "srun": "Slurm; slurm_on_one_node.sh",
    "parallel -j": "the commands of the command before; slurm_on_one_node.sh",
    "perceptinit compare runs/pi-clip-yfcc": "the runs of the command before; test_slurm.py",
    "perceptinit status runs/pi-clip-yfcc": "the jobs of the command before; test_slurm.py",
    "perceptinit estimate pi_clip_yfcc": "plugins/perceptinit-estimate/tests compares its output with the page",
    "torchrun": "8 processes; test_distributed.py",
    "perceptinit run recipes/known_effects/initializations.toml": "needs perceptinit-simclr",
    "python -m venv": "installs packages",
    "python -m open_clip_train.main": "image-text pairs; test_export.py makes some",
    "python tests/helpers/paper_gpu.py": "test_paper_gpu.py",
}

# `run` of these takes hours: `validate` reads them with the same overrides
LONG = ("recipes/", "declip_yfcc15m_b32", "pi_clip_yfcc")
SHORTER = {
    "run": ["--smoke"],
    "tune": ["--jobs=1", "--set=tune.trials=1", "--set=tune.searches=1", "--set=seeds=[0]"],
}


@dataclass(frozen=True)
class Command:
    page: str
    line: int
    words: tuple[str, ...]

    def __str__(self) -> str:
        return shlex.join(self.words)

    def begins(self, beginnings) -> bool:
        return any(f"{self} ".startswith(f"{b} ") or str(self).startswith(b) for b in beginnings)


def find_commands():
    """Yield the commands of all pages: lines of `console` blocks without their comments."""
    for path in PAGES:
        text, page = path.read_text("utf-8"), str(path.relative_to(ROOT))
        for block in re.finditer(r"^```console\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            for line in block[1].replace("\\\n", " ").splitlines():
                if words := tuple(shlex.split(line, comments=True)):
                    yield Command(page, text[: block.start()].count("\n") + 1, words)


COMMANDS = list(find_commands())


def used_options(command):
    return {word.partition("=")[0] for word in command.words if re.match(r"--?[a-zA-Z]", word)}


def test_commands_are_in_console_blocks():
    start = rf"(?:\$ )?(?:{'|'.join(PROGRAMS)}) "
    for path in PAGES:
        outside = re.sub(r"(?s)^```(?:console|python|toml).*?^```", "", path.read_text(), flags=re.MULTILINE)
        found = re.findall(rf"^(?: {{4}}|```\w*\n){start}.*", outside, re.MULTILINE)
        assert found == [], path


def test_each_entry_of_the_lists_matches_a_command():
    assert [b for b in NOT_RUN if not any(c.begins([b]) for c in COMMANDS)] == []
    assert [page for page in RUN_ELSEWHERE if not any(c.page == page for c in COMMANDS)] == []


# ---- the folder in which commands run --------------------------------------------------------------


@pytest.fixture(scope="module")
def plugins(tmp_path_factory):
    """Install the packages whose pages are read for this module; returns the names of their entry points."""
    folder = tmp_path_factory.mktemp("installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        names = []
        paths = {page.parent for page in PAGES if (page.parent / "pyproject.toml").is_file()} - {ROOT}
        for path in sorted(paths):
            patch.syspath_prepend(path)
            names += write_metadata(path, folder)
        yield names


def draw(path, level):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((16, 16, 3), level, dtype=np.uint8)).save(path)


def write_rows(path, *rows):
    path.write_text("\n".join([*rows, ""]))


@pytest.fixture(scope="module")
def lab(tmp_path_factory, plugins):
    """A folder with the files that the pages assume: tables, images, recipes and finished runs."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = tmp_path_factory.mktemp("lab")
    for name in ("recipes", "docs"):
        (folder / name).symlink_to(ROOT / name)
    names = [f"{i}.png" for i in range(12)]
    for i, name in enumerate(names):
        for parent in ("photographs", "stimuli", f"photos/{'cats' if i % 2 else 'dogs'}"):
            draw(folder / parent / name, 20 * i)
    triples = [[names[(i + k) % 12] for k in (0, 1, 5)] for i in range(12)]
    first_votes = [f"{','.join(row)},4,1" for row in triples]
    write_rows(folder / "judgments.csv", "anchor,first,second,first_votes,second_votes", *first_votes)
    odd = [",".join([*row, row[2]]) for row in triples]
    write_rows(folder / "choices.csv", "image_1,image_2,image_3,odd", *odd)
    rated = [f"{names[i % 3]},{name},{i}" for i, name in enumerate(names[3:])]
    write_rows(folder / "ratings.csv", "reference,image,rating", *rated)
    of_models = [
        f'{name},0,top1,{value},"{{""source"":""models""}}"' for name, value in (("a", 0.5), ("b", 0.6))
    ]
    write_rows(folder / "scores.csv", "arm,seed,measure,value,details", *of_models)
    places = np.random.default_rng(0).normal(size=(12, 3))
    matrix = np.linalg.norm(places[:, None] - places[None], axis=-1)
    np.save(folder / "rdm.npy", matrix)
    write_rows(folder / "names.txt", *names)
    for subject in ("sub-01", "sub-02"):
        (folder / "nod" / subject).mkdir(parents=True)
        write_rows(folder / "nod" / subject / "filenames.txt", *names)
        for region in ("V1", "V2", "V3"):
            vector = matrix[np.triu_indices(12, 1)]
            np.save(folder / "nod" / subject / f"{region}_roi_rdm_vector.npy", vector)
    images = [(folder / "photographs" / name).read_bytes() for name in names]
    kinds = [i % 2 for i in range(12)]
    columns = {"image": images, "caption": names, "label": kinds, "class": [f"class {k}" for k in kinds]}
    for name in ("pairs", "train", "test"):
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")
    tuned = RECIPE.replace('plugins = ["local.py"]', "").replace('[[track]]\nuse = "local/spy"', "")
    (folder / "my_recipe.toml").write_text(f"{tuned}\n{TUNE}")
    (folder / "runs/quickstart").mkdir(parents=True)
    (folder / "runs/quickstart-smoke").symlink_to("quickstart")  # `run quickstart` runs with --smoke here
    write_finished_runs(folder / "runs/controls-materials", ("random", "pi"), 100)
    write_finished_runs(folder / "runs/compute-matched", ("random-longer",), 200)
    return folder


def write_finished_runs(folder, arms, samples_seen):
    records = [record(arm, seed, [score(0.5, samples_seen)]) for arm in arms for seed in (0, 1)]
    tables = "".join(f'[[arm]]\nname = "{arm}"\n' for arm in arms)
    for one in records:
        one["recipe"] |= {
            "name": folder.name,
            "text": f'schema = 1\nname = "{folder.name}"\nseeds = [0, 1]\n{tables}',
        }
    write(folder.parent, records).rename(folder)


TUNE = """
[tune]
measure = "2afc"
trials = 2
searches = 1
[tune.eval]
use = "two-afc"
split = "val"
[tune.eval.judgments]
use = "synthetic"
num_train = 64
num_val = 32
num_test = 32
image_size = 16
seed = 1
[tune.space]
init.lr = { low = 1e-4, high = 1e-2, scale = "log" }
"""


def runs_here(command):
    return command.page not in RUN_ELSEWHERE and not command.begins(NOT_RUN)


def as_run_here(command):
    """Return the arguments of a command, shortened."""
    verb, *rest = (word.replace("$CIFAR10_ROOT", "cifar10") for word in command.words[1:])
    if verb == "run" and rest[0].startswith(LONG):
        return ["validate", rest[0]]
    return [verb, *rest, *SHORTER.get(verb, [])]


OURS = list({str(c): c for c in COMMANDS if c.words[0] == "perceptinit"}.values())


def test_every_documented_command_runs(lab, plugins):
    """One test for all commands, because some read files that others wrote."""
    changes = {"PERCEPTINIT_PLUGINS": ",".join(plugins), "PERCEPTINIT_CACHE": str(lab / "cache")}
    order = ("list", "new", "validate", "preregister", "run", "tune")
    failed = []
    for command in sorted(OURS, key=lambda c: [*order, c.words[1]].index(c.words[1])):
        if not runs_here(command):
            continue
        words = tuple(as_run_here(command))
        done = run_command(words, lab, **changes)
        # 1: the generated data have too few images for a split, or data is missing
        may_lack_data = command.words[1] == "data" and command.words[2] in ("check", "list")
        allowed = (0, 1) if may_lack_data or "validate" in words else (0,)
        if done.returncode not in allowed:
            failed.append(f"{command.page}:{command.line}: {command}\n{done.stdout}{done.stderr}")
    assert failed == [], "\n\n".join(failed)


# ---- options, and commands of other programs ---------------------------------------------------------


def test_every_documented_command_exists_with_its_options(plugins, monkeypatch):
    from perceptinit.cli import create_app
    from perceptinit.components.plugin_manager import build_plugin_manager

    monkeypatch.setenv("PERCEPTINIT_PLUGINS", ",".join(plugins))
    app = typer.main.get_command(create_app(build_plugin_manager()))
    for command in OURS:
        found, words = app, list(command.words[1:])
        while hasattr(found, "commands"):
            found = found.commands[words.pop(0)]
        known = {name for option in found.params for name in option.opts}
        assert used_options(command) <= known, command


SCRIPTS = [c for c in COMMANDS if c.words[0] == "python" and not c.begins(NOT_RUN)]


@pytest.mark.parametrize("command", [c for c in SCRIPTS if c.page not in RUN_ELSEWHERE], ids=str)
def test_every_documented_script_exists_with_its_options(command, monkeypatch, capsys):
    path = ROOT / command.words[1]
    if not used_options(command):
        compile(path.read_text("utf-8"), path, "exec")
        return
    monkeypatch.setattr(sys, "argv", [str(path), *command.words[2:3], "--help"])
    monkeypatch.syspath_prepend(str(path.parent))
    if command.words[2].startswith("-"):
        sys.argv.pop(1)
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(path), run_name="__main__")
    assert end.value.code == 0
    shown = capsys.readouterr().out
    assert [option for option in used_options(command) if option not in shown] == []


OTHERS = [c for c in COMMANDS if c.words[0] not in ("perceptinit", "python") and not c.begins(NOT_RUN)]


@pytest.mark.parametrize("command", OTHERS, ids=str)
def test_arguments_of_other_programs_exist(command):
    program, *rest = command.words
    names = [word for word in rest if not word.startswith("-") and "=" not in word]
    if program == "make":
        assert {re.match(rf"^{n}:", line) for n in names for line in makefile()} - {None}
    elif program == "pip" and names[1].startswith("."):
        folder, _, extras = names[1].rstrip("]").partition("[")
        project = tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"]
        assert set(extras.split(",")) - {""} <= set(project.get("optional-dependencies", {}))
    elif program in ("pytest", "bash"):
        assert [name for name in names if not (ROOT / name).exists()] == []
    else:
        assert program in ("apt-get", "export", "pip", "cd", "cat", "curl", "git", "ENV/bin/pip"), command


def makefile():
    return (ROOT / "Makefile").read_text().splitlines()
