"""The documentation covers every hook, kind, verb, recipe key and built-in, and its recipes are valid."""

import importlib
import importlib.util
import inspect
import json
import re
import sys
from pathlib import Path

import pytest
import torch
from helpers.judgment_files import write_images

from perceptinit import hookspecs
from perceptinit.cli import create_app
from perceptinit.components.plugin_manager import build_plugin_manager
from perceptinit.recipe.reading import ROOT_KEYS, read_recipe
from perceptinit.registry import KINDS, hook_name
from perceptinit.testing import InitializerContract

ROOT = Path(__file__).parents[2]
DOCS = {path.name: path.read_text() for path in sorted((ROOT / "docs").glob("*.md"))}
README = (ROOT / "README.md").read_text()
PLUGINS = build_plugin_manager()
TOML_BLOCKS = [
    pytest.param(text, id=f"{name}-{i}")
    for name, source in {**DOCS, "README.md": README}.items()
    for i, text in enumerate(re.findall(r"```toml\n(.*?)```", source, re.DOTALL))
]


PAGES = {**DOCS, "README.md": README}


def blocks(language, *names):
    """Return (page, text) of every code block in a language, on some pages or on all."""
    return [
        pytest.param(name, text, id=f"{name}-{i}")
        for name in names or PAGES
        for i, text in enumerate(re.findall(rf"```{language}\n(.*?)```", PAGES[name], re.DOTALL))
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_in_the_overview_table(kind):
    for text in (README, DOCS["index.md"]):
        assert f"| {kind} |" in text


def test_the_readme_is_short():
    cells = [cell for line in README.splitlines() if line.startswith("|") for cell in line.split("|")]
    assert len(README.splitlines()) <= 110
    assert len(README.split()) <= 850
    assert max(len(cell.split()) for cell in cells) <= 12


@pytest.mark.parametrize("page", ["README.md", "index.md"])
def test_code_of_the_first_pages_fits_a_phone(page):
    code = re.findall(r"```\w+\n(.*?)```", PAGES[page], re.DOTALL)
    lines = [line for block in code for line in block.splitlines()]
    assert [line for line in lines if len(line) > 46] == []
    assert lines


def test_the_readme_quotes_the_answer_of_the_example(cli):
    quoted = " ".join(line[2:] for line in README.splitlines() if line.startswith("> "))
    assert quoted in " ".join(cli("compare", "example").text.split())


def test_pages_are_few_and_short():
    pages = {name: text for name, text in DOCS.items() if name != "calibration-tables.md"}  # an appendix
    assert len(pages) <= 31
    assert [name for name, text in pages.items() if len(text.splitlines()) > 350] == []


@pytest.mark.parametrize(
    "hook", [*(hook_name(kind) for kind in KINDS), "perceptinit_report", "perceptinit_commands"]
)
def test_every_hook_is_documented_with_its_first_version(hook):
    assert f"`{hook}`" in DOCS["hooks.md"]
    assert re.search(r"Since\s+0\.", getattr(hookspecs, hook).__doc__ or "")


@pytest.mark.parametrize("key", ROOT_KEYS)
def test_every_recipe_key_is_documented(key):
    assert f"`{key}`" in DOCS["recipes.md"]


def test_every_verb_is_documented():
    app = create_app(PLUGINS)
    verbs = [c.name for c in app.registered_commands] + [g.name for g in app.registered_groups]
    missing = [verb for verb in verbs if f"perceptinit {verb}" not in DOCS["cli.md"]]
    assert missing == []


@pytest.mark.parametrize("text", TOML_BLOCKS)
def test_recipes_in_the_documentation_are_valid(text):
    if "schema = 1" in text:
        read_recipe(text)
    else:
        import tomllib

        tomllib.loads(text)


@pytest.fixture
def site(monkeypatch):
    """The module that generates pages of the site."""
    monkeypatch.syspath_prepend(str(ROOT / "site_hooks"))
    monkeypatch.setenv("PERCEPTINIT_PLUGINS", "")
    return importlib.import_module("pages")


def test_links_between_pages_resolve(site):
    made = {f"docs/{name}" for name in site.generated_pages()}
    for name, text in {**{f"docs/{n}": t for n, t in DOCS.items()}, "README.md": README}.items():
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
            path = (Path(name).parent / target).as_posix()
            assert path in made or (ROOT / path).exists(), f"{name}: {target}"


READMES = [
    ROOT / "README.md",
    *(ROOT / "plugins").glob("*/README.md"),
    *(ROOT / "examples").glob("*/README.md"),
]
PROSE = sorted([*READMES, *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").rglob("*.md")])
FOLDERS = ("perceptinit", "plugins", "tests", "docs", "recipes", "examples", "benchmarks", "site_hooks")
# files that a reader, a command or an attacker makes
NOT_OURS = {
    "./my_init.py",
    "./my_piles.py",
    "RECIPE.toml",
    "acme_texture/__init__.py",
    "acme_texture/texture.py",
    "cli/NAME.py",
    "json.py",
    "judgments.toml",
    "judgments-2.toml",
    "local.py",
    "mine.toml",
    "path/to/perceptinit_orthogonal.py",
    "plan.md",
    "study.toml",
}


def names_of_files(page):
    """Return the names and paths of Python files, tables and pages in the inline code of a page."""
    prose = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    code = re.findall(r"`([^`\n]+)`", prose)
    return {
        name
        for part in code
        for name in re.findall(r"(?<![\w/.{*-])[\w./-]*\w\.(?:py|toml|md)(?![\w*{])", part)
    }


@pytest.fixture(scope="module")
def endings():
    """The files of the repository with all ends of their paths, such as `slurm.py` and `running/slurm.py`."""
    files = [*ROOT.glob("*.*"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.*"))]
    parts = [path.relative_to(ROOT).parts for path in files]
    return {"/".join(each[start:]) for each in parts for start in range(len(each))}


@pytest.mark.parametrize("page", PROSE, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_file_that_a_page_names_exists(page, endings):
    assert names_of_files(page) - NOT_OURS - endings == set()


def test_files_that_are_not_ours_are_named_and_do_not_exist(endings):
    assert set().union(*map(names_of_files, PROSE)) >= NOT_OURS
    assert NOT_OURS & endings == set()


@pytest.mark.parametrize(("page", "text"), blocks("python"))
def test_python_in_the_documentation_compiles(page, text):
    compile(text, page, "exec")


def test_python_on_the_page_for_library_users_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("PERCEPTINIT_CACHE", str(tmp_path))
    few = 'judgments=("synthetic", {"num_train": 16, "num_val": 8}), batch_size=8'  # one second instead of minutes
    namespace = {}
    for parameter in blocks("python", "library.md"):
        code = parameter.values[1].replace('judgments="synthetic", epochs=1', f"{few}, epochs=1")
        exec(compile(code, "library.md", "exec"), namespace)
    assert namespace["report"].changed


def test_the_example_of_the_readme_prints_a_gain_whose_interval_excludes_0(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PERCEPTINIT_CACHE", str(tmp_path))
    torch.manual_seed(0)
    (example,) = blocks("python", "README.md")
    exec(compile(example.values[1], "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert len(printed.splitlines()) <= 6
    shown = re.search(r"chance 0\.5\) 0\.\d+ -> 0\.\d+, gain \+.*interval \[(.*), (.*)\]\n", printed)
    assert shown, printed
    assert 0 < float(shown[1]) < float(shown[2])


@pytest.fixture
def documented_plugin(tmp_path, monkeypatch):
    """The package of docs/write-a-plugin.md, copied verbatim."""
    package, code = (p.values[1] for p in blocks("python", "write-a-plugin.md")[:2])
    folder = tmp_path / "acme_texture"
    folder.mkdir()
    (folder / "__init__.py").write_text(package)
    (folder / "texture.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    for name in [n for n in sys.modules if n.partition(".")[0] == "acme_texture"]:
        del sys.modules[name]


def contract_answers(folder, tmp_path):
    texture = importlib.import_module("acme_texture.texture").Texture
    return complaints(InitializerContract, texture, tmp_path)


def complaints(kind, component, tmp_path, **options):
    members = {"component": component}
    if options:
        members["options"] = lambda self, folder: options
    contract = type("TestIt", (kind,), members)()
    found = []
    for name, check in inspect.getmembers(contract, inspect.ismethod):
        if not name.startswith("test_"):
            continue
        try:
            check(*([tmp_path] if "tmp_path" in inspect.signature(check).parameters else []))
        except AssertionError as error:
            found.append(str(error))
    return found


def test_the_documented_plugin_passes_its_contract(documented_plugin, tmp_path):
    component = importlib.import_module("acme_texture").perceptinit_initializers()[0]
    assert component.name == "acme/texture"
    assert contract_answers(documented_plugin, tmp_path) == []


def test_the_other_documented_classes_pass_their_contracts(documented_plugin, tmp_path):
    from perceptinit.testing import EvaluatorContract, JudgmentsContract, PretrainerContract

    names = {"Texture": importlib.import_module("acme_texture.texture").Texture}
    for parameter in blocks("python", "write-a-plugin.md")[2:]:
        exec(compile(parameter.values[1], "write-a-plugin.md", "exec"), names)
    assert issubclass(names["TestTexture"], InitializerContract)
    short = {"batch_size": 16, "epochs": 2, "warmup_steps": 1}
    for name in ("Distance", "TwoCrops"):
        assert complaints(PretrainerContract, names[name], tmp_path, **short) == []
    assert complaints(EvaluatorContract, names["Mirror"], tmp_path) == []
    write_images(tmp_path, *(f"{i:02d}.png" for i in range(20)))
    rows = [f"{i % 20:02d}.png,{(i + 3) % 20:02d}.png,{(i + 7) % 20:02d}.png,left" for i in range(60)]
    (tmp_path / "answers.csv").write_text("\n".join(["anchor,left,right,chosen", *rows]))
    assert complaints(JudgmentsContract, names["Answers"], tmp_path, root=str(tmp_path)) == []


def test_breaking_the_documented_plugin_gives_the_documented_message(documented_plugin, tmp_path):
    path = documented_plugin / "texture.py"
    code = path.read_text()
    path.write_text(
        code.replace("torch.randn(parameter.shape, generator=draw)", "torch.randn(parameter.shape)")
    )
    answers = contract_answers(documented_plugin, tmp_path)
    (quoted,) = re.findall(r"```text\n(initializer Texture: .*?)\n```", DOCS["write-a-plugin.md"], re.DOTALL)
    assert " ".join(quoted.split()) in answers


def test_generated_pages_contain_every_verb_hook_and_public_name(site):
    import perceptinit.plugin

    pages = site.generated_pages()
    app = create_app(PLUGINS)
    for verb in [c.name for c in app.registered_commands]:
        assert f"## `perceptinit {verb}`" in pages["reference/cli.md"]
    for hook in (*map(hook_name, KINDS), "perceptinit_commands"):
        assert f"::: perceptinit.hookspecs.{hook}\n" in pages["reference/hookspecs.md"]
    api = pages["reference/api.md"]
    assert [n for n in perceptinit.__all__ if n not in api and n != "__version__"] == []
    assert "object" not in " ".join(re.findall(r"^#.*", api, re.MULTILINE))
    plugin = pages["reference/plugin.md"]
    assert [n for n in dir(perceptinit.plugin) if f"`{n}`" not in plugin] == []
    assert " object at 0x" not in plugin


def test_every_built_in_has_a_linked_page_with_its_keys(site):
    pages = site.generated_pages()
    names = {name for name in pages if name.startswith("reference/components/")}
    assert len(names) == sum(entry.plugin == "perceptinit" for entry in PLUGINS.registry.entries)
    page = pages["reference/components/judgments/table.md"]
    assert "| `path` | `Path` | required |" in page
    assert '[init.judgments]\nuse = "table"\n# path = ...   required' in page
    listing = pages["reference/components.md"]
    assert sorted(name for name in names if f"]({name.removeprefix('reference/')})" not in listing) == []


def test_every_page_is_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text()
    assert [name for name in DOCS if name not in navigation] == []


def test_the_glossary_is_in_alphabetical_order():
    for section in DOCS["glossary.md"].split("## ")[1:]:
        words = re.findall(r"^\| ([^|]+) \| [A-Z0-9`]", section, re.MULTILINE)
        assert len(words) > 10
        assert words == sorted(words, key=str.lower)


MESSAGES = [
    *re.findall(r"^\*\*`([^`]+)`", DOCS["faq.md"], re.MULTILINE),
    *re.findall(r"^\| [^|]+ \| `(judgments\.csv[^`]+)`", DOCS["your-data.md"], re.MULTILINE),
]


# the first is a message of torch, and the second is composed of several strings
ELSEWHERE = ("find_unused_parameters", "init.epochs: expected an integer")


@pytest.mark.parametrize("message", [m for m in MESSAGES if not m.startswith(ELSEWHERE)])
def test_a_quoted_message_occurs_in_the_source(message):
    """Compare three consecutive words without names and numbers, because messages contain placeholders."""
    source = " ".join(path.read_text() for path in sorted((ROOT / "perceptinit").rglob("*.py")))
    source = " ".join(re.sub(r'"\s+f?"', "", source).split())
    words = message.split()
    runs = [" ".join(words[i : i + 3]) for i in range(len(words) - 2)]
    assert any(run in source for run in runs if re.fullmatch(r"[a-zA-Z0 :_.,]+", run)), message


def test_the_figure_of_the_live_table_is_generated_from_events(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "site_hooks")
    folder = tmp_path / "pi/seed0"
    folder.mkdir(parents=True)
    rows = [
        {"kind": "run-start", "arm": "pi", "time": 1.0},
        {"kind": "stage-start", "arm": "pi", "stage": "pretrain", "total_steps": 4, "time": 2.0},
        {"kind": "step", "arm": "pi", "stage": "pretrain", "step": 1, "total_steps": 4, "time": 3.0},
        {"kind": "run-end", "arm": "pi", "message": "finished", "time": 9.0},
    ]
    (folder / "events.jsonl").write_text("\n".join(map(json.dumps, rows)))
    text = re.sub(r"<[^>]+>|&#160;", " ", importlib.import_module("quickstart_images").live_table(tmp_path))
    assert re.search(r"seed 0.*pi\s+▶.*pretrain.*0 of 1 runs", text, re.DOTALL)
