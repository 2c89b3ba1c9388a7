"""Plug-ins import from `perceptinit.plugin` only, companion packages also from `perceptinit.companion`."""

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import perceptinit.companion
import perceptinit.plugin
from perceptinit.registry import COMPANIONS

ROOT = Path(__file__).parents[2]
PUBLIC = {"perceptinit.plugin", "perceptinit.testing"}


def documented(page):
    text = (ROOT / "docs" / page).read_text()
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


SOURCES = {
    str(path.relative_to(ROOT)): path.read_text()
    for pattern in (
        "plugins/*/**/*.py",
        "examples/*/**/*.py",
        "perceptinit/**/templates/plugin/*.py.tmpl",
    )
    for path in sorted(ROOT.glob(pattern))
} | {f"write-a-plugin.md-{i}": text for i, text in enumerate(documented("write-a-plugin.md"))}


def imported(source):
    """Yield the modules that a source imports; `$name` in a template counts as a name."""
    # the options of a template are the body of a class
    text = re.sub(r"\$(\w+)", r"\1", source)
    text = f"class Test:{text}" if text.startswith("\n    def") else text
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def allowed(source_name):
    """Return the modules that a source may import."""
    companion = any(source_name.startswith(f"plugins/{c.distribution}/") for c in COMPANIONS)
    return PUBLIC | {"perceptinit.companion"} if companion else PUBLIC


def test_the_sources_include_plugins_and_templates():
    assert "plugins/perceptinit-siglip/perceptinit_siglip/sigmoid.py" in SOURCES
    assert sum("templates" in name for name in SOURCES) >= 10
    assert sum("write-a-plugin.md" in name for name in SOURCES) >= 1


def test_plugins_import_from_public_modules_only():
    offenders = {}
    for name, source in SOURCES.items():
        ours = {module for module in imported(source) if module.partition(".")[0] == "perceptinit"}
        if ours - allowed(name):
            offenders[name] = ours - allowed(name)
    assert offenders == {}


@pytest.mark.parametrize("module", [perceptinit.plugin, perceptinit.companion])
def test_each_name_of_the_api_exists_and_has_a_docstring(module):
    for name in dir(module):
        value = getattr(module, name)
        assert not name.startswith("_")
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__doc__, f"{name} has no docstring"


@pytest.mark.parametrize("module", [perceptinit.plugin, perceptinit.companion])
def test_type_checkers_see_the_names_of_the_table(module):
    typed = {
        alias.asname: node.module
        for node in ast.walk(ast.parse(Path(module.__file__).with_suffix(".pyi").read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("perceptinit.")
        for alias in node.names
    }
    assert typed == module._MODULES


def test_the_public_api_is_small_and_every_name_is_documented():
    pages = "".join((ROOT / "docs" / page).read_text() for page in ("hooks.md", "write-a-plugin.md"))
    explained = set(re.findall(r"`(\w+)[^`]*`", pages))
    assert set(dir(perceptinit.plugin)) - explained == set()


def test_every_name_of_the_companion_api_is_used():
    sources = [
        path.read_text()
        for companion in COMPANIONS
        for path in (ROOT / "plugins" / companion.distribution).rglob("*.py")
    ]
    used = {
        alias.name
        for source in sources
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and node.module == "perceptinit.companion"
        for alias in node.names
    }
    assert used == set(dir(perceptinit.companion))


def test_a_name_for_companions_is_reported_with_its_place():
    with pytest.raises(
        AttributeError, match=r"Only the packages in plugins/ may use it, from perceptinit\.companion$"
    ):
        getattr(perceptinit.plugin, "derive_seed")  # noqa: B009
    with pytest.raises(AttributeError, match=r"has no attribute 'no_name'$"):
        getattr(perceptinit.plugin, "no_name")  # noqa: B009


@pytest.mark.parametrize("name", ["apply_perceptual_init", "build", "list_components", "run_recipe"])
def test_the_library_documents_each_argument_in_google_style(name):
    function = getattr(perceptinit, name)
    arguments = inspect.getdoc(function).partition("\nArgs:\n")[2].partition("\n\n")[0]
    documented = re.findall(r"^    \*{0,2}(\w+): ", arguments, re.MULTILINE)
    assert documented == list(inspect.signature(function).parameters)


def test_an_unknown_name_is_an_import_error():
    with pytest.raises(ImportError, match="cannot import name 'Triplet'"):
        exec("from perceptinit.plugin import Triplet")


def test_the_plugin_module_imports_no_heavy_package():
    code = (
        "import sys; from perceptinit.plugin import Component, DataError, PositiveInt, hookimpl; "
        "print(sorted({'torch', 'numpy', 'typer', 'pydantic', 'PIL'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
