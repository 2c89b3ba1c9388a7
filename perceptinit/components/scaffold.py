"""Create a plug-in package from templates, for `perceptinit new plugin`."""

import keyword
import re
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distribution
from importlib.resources import files
from pathlib import Path
from string import Template

from perceptinit._version import __version__
from perceptinit.errors import UsageError
from perceptinit.files.atomic import atomic_folder
from perceptinit.registry import KINDS, hook_name, unknown

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
SUMMARIES = {
    "initializer": "normal weights with one standard deviation",
    "backbone": "three convolutions and a small text transformer",
    "pretrainer": "hinge loss between the correct caption and the others",
    "judgments": "a table of questions and answers",
    "pairs": "a folder of images, each with a text file",
    "evaluator": "mean similarity of embeddings of random images",
    "tracker": "scores as lines of a text file",
}
NEED_OPTIONS = ("judgments", "pairs", "pretrainer")  # kinds with a separate template for the contract test


def new_plugin(name: str, kind: str, parent: Path) -> Path:
    """Write a package to `parent / name` that passes its contract tests, and return the folder.

    The folder is complete or absent.

    Args:
        name: Lower-case words joined by '-'. The first word is the vendor, the rest the component:
            `acme-texture` contains `acme/texture`. A leading `perceptinit-` is ignored.
        kind: The kind of the component, such as "initializer".
        parent: Parent folder of the package.

    Raises:
        UsageError: If the kind is unknown, the name is invalid, or the folder exists.
    """
    if kind not in KINDS:
        raise UsageError(unknown("no kind called", kind, KINDS))
    if not NAME.fullmatch(name) or name == "perceptinit":
        raise UsageError(
            f"'{name}' is not a valid package name. Use lower-case words joined by '-', such as acme-texture"
        )
    folder = parent / name
    if folder.exists():
        raise UsageError(f"{folder}: already exists. Remove it or choose another name")
    values = _values(name, kind)
    package = values["package"]
    with suppress(PackageNotFoundError):
        version = distribution(name).version
        raise UsageError(f"'{name}' is installed (version {version}). Choose another name")
    if package in sys.stdlib_module_names:
        raise UsageError(f"'{name}' would shadow Python's module {package}. Choose another name")
    if reserved := [
        v for v in map(values.get, ("package", "module", "class_name")) if keyword.iskeyword(str(v))
    ]:
        raise UsageError(f"'{name}' contains Python's keyword '{reserved[0]}'. Choose another name")
    templates = {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        f"{package}/__init__.py": "init.py",
        f"{package}/{values['module']}.py": f"{kind}.py",
        "tests/test_contract.py": f"test_{kind if kind in NEED_OPTIONS else 'contract'}.py",
    }
    texts = {f"{package}/py.typed": ""}
    for path, template in templates.items():
        source = files("perceptinit.components") / "templates" / "plugin" / f"{template}.tmpl"
        texts[path] = Template(source.read_text(encoding="utf-8")).substitute(values)
    with atomic_folder(folder) as temporary:
        for path, text in texts.items():
            target = temporary / path
            target.parent.mkdir(exist_ok=True)
            target.write_text(text, encoding="utf-8")
    return folder


def _values(name: str, kind: str) -> dict[str, str]:
    vendor, _, component = name.removeprefix("perceptinit-").partition("-")
    component = component or kind
    return {
        "distribution": name,
        "package": name.replace("-", "_"),
        "vendor": vendor,
        "component": component,
        "module": component.replace("-", "_"),
        "class_name": "".join(word.capitalize() for word in component.split("-")),
        "contract": f"{kind.capitalize()}Contract",
        "kind": kind,
        "hook": hook_name(kind),
        "summary": SUMMARIES[kind],
        "version": __version__,
    }
