"""`perceptinit.plugin` is all that plug-ins need: ours, those from templates and those in the documentation."""

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import perceptinit.plugin
from perceptinit.components.class_source import open_module

ROOT = Path(__file__).parents[2]
PUBLIC = {"perceptinit.plugin", "perceptinit.testing"}


def documented(page):
    text = (ROOT / "docs" / page).read_text()
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


SOURCES = [
    *(
        pytest.param(path.read_text(), id=str(path.relative_to(ROOT)))
        for pattern in (
            "plugins/*/**/*.py",
            "examples/*/**/*.py",
            "perceptinit/**/templates/plugin/*.py.tmpl",
        )
        for path in sorted(ROOT.glob(pattern))
    ),
    *(
        pytest.param(text, id=f"write-a-plugin.md-{i}")
        for i, text in enumerate(documented("write-a-plugin.md"))
    ),
]


def imported(source):
    """Yield the modules of perceptinit that a source imports; `$name` of templates is a name as well."""
    # the options of a template are the body of a class
    text = re.sub(r"\$(\w+)", r"\1", source)
    text = f"class Test:{text}" if text.startswith("\n    def") else text
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def test_there_are_plugins_and_templates_to_look_at():
    ids = {p.id for p in SOURCES}
    assert "plugins/perceptinit-siglip/perceptinit_siglip/sigmoid.py" in ids
    assert sum("templates" in i for i in ids) >= 10


@pytest.mark.parametrize("source", SOURCES)
def test_a_plugin_imports_from_the_public_modules_only(source):
    ours = {name for name in imported(source) if name.partition(".")[0] == "perceptinit"}
    assert ours <= PUBLIC


@pytest.mark.parametrize("name", dir(perceptinit.plugin))
def test_a_public_name_is_what_it_says_and_documented(name):
    value = getattr(perceptinit.plugin, name)
    assert not name.startswith("_")
    if inspect.isclass(value) or inspect.isfunction(value):
        assert value.__doc__, f"{name} has no docstring"


@pytest.mark.parametrize("name", ["apply_perceptual_init", "build", "list_components", "run_recipe"])
def test_the_library_documents_each_argument_in_google_style(name):
    function = getattr(perceptinit, name)
    arguments = inspect.getdoc(function).partition("\nArgs:\n")[2].partition("\n\n")[0]
    documented = re.findall(r"^    \*{0,2}(\w+): ", arguments, re.MULTILINE)
    assert documented == list(inspect.signature(function).parameters)


def test_the_list_holds_nothing_twice_and_no_other_name():
    file = open_module("perceptinit.plugin")
    imports = [
        alias.asname
        for node in ast.walk(file.tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("perceptinit.")
        for alias in node.names
        if alias.asname
    ]
    assert sorted(imports) == dir(perceptinit.plugin)


def test_an_unknown_name_is_an_import_error():
    with pytest.raises(ImportError, match="cannot import name 'Triplet'"):
        exec("from perceptinit.plugin import Triplet")


def test_listing_components_imports_nothing_heavy():
    code = (
        "import sys; from perceptinit.plugin import Component, DataError, PositiveInt, hookimpl; "
        "print(sorted({'torch', 'numpy', 'typer', 'pydantic', 'PIL'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
