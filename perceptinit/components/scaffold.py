"""A new plug-in package from templates: the work of `perceptinit new plugin`."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from string import Template

from perceptinit._version import __version__
from perceptinit.errors import UsageError
from perceptinit.registry import KINDS, hook_name, unknown

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
SUMMARIES = {
    "initializer": "weights drawn with one spread",
    "backbone": "three convolutions beside a small text transformer",
    "pretrainer": "brings an image nearer to its caption than to others, by a margin",
    "judgments": "a table of questions and answers",
    "pairs": "a folder of images with a text file beside each",
    "evaluator": "how alike the embeddings of random images are",
    "tracker": "scores as lines of a text file",
}
# what the options of a contract test import, of the kinds whose test needs options
IMPORTS = "from pathlib import Path\nfrom typing import Any\n"
FILE_IMPORTS = f"{IMPORTS}\nimport numpy as np"
OPTION_IMPORTS = {"judgments": FILE_IMPORTS, "pairs": FILE_IMPORTS, "pretrainer": IMPORTS}


def new_plugin(name: str, kind: str, parent: Path) -> Path:
    """Write a package that installs and passes its contract test into `parent / name`.

    name: lower-case words joined by '-'; the first one is the vendor, the rest the component:
    `acme-texture` offers `acme/texture`. A leading `perceptinit-` counts for neither.

    Raises UsageError for an unknown kind, a name that is none, or a folder that exists.
    """
    if kind not in KINDS:
        raise UsageError(unknown("no kind called", kind, KINDS))
    if not NAME.fullmatch(name) or name == "perceptinit":
        raise UsageError(
            f"'{name}' is no name of a package: lower-case words joined by '-', such as acme-texture"
        )
    folder = parent / name
    if folder.exists():
        raise UsageError(f"{folder}: exists already")
    values = _values(name, kind)
    for path, template in _layout(values, kind).items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(_fill(template, values), encoding="utf-8")
    (folder / values["package"] / "py.typed").touch()
    return folder


def _values(name: str, kind: str) -> dict[str, str]:
    vendor, _, component = name.removeprefix("perceptinit-").partition("-")
    component = component or kind
    class_name = "".join(word.capitalize() for word in component.split("-"))
    imports = OPTION_IMPORTS.get(kind, "")
    return {
        "distribution": name,
        "package": name.replace("-", "_"),
        "vendor": vendor,
        "component": component,
        "module": component.replace("-", "_"),
        "class_name": class_name,
        "contract": f"{kind.capitalize()}Contract",
        "kind": kind,
        "hook": hook_name(kind),
        "summary": SUMMARIES[kind],
        "version": __version__,
        "test_pil": "from PIL import Image\n" if imports == FILE_IMPORTS else "",
        "test_imports": imports,
        "test_options": _template(f"options_{kind}.py") if imports else "",
    }


def _layout(values: dict[str, str], kind: str) -> dict[str, str]:
    """Return path in the package -> template."""
    package = values["package"]
    return {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        f"{package}/__init__.py": "init.py",
        f"{package}/{values['module']}.py": f"{kind}.py",
        "tests/test_contract.py": "test_contract.py",
    }


def _template(name: str) -> str:
    folder = files("perceptinit.components") / "templates" / "plugin"
    return (folder / f"{name}.tmpl").read_text(encoding="utf-8")


def _fill(name: str, values: dict[str, str]) -> str:
    text = Template(_template(name)).substitute(values)
    return re.sub(r'"""\n\n\n+(?=from|import)', '"""\n\n', text).rstrip("\n") + "\n"
