"""The subpackages of docs/architecture.md: which may import which, without cycles, and the size of files and functions."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
import size

import perceptinit

PACKAGE = Path(perceptinit.__file__).parent
DOORS = ("", "api", "__main__")  # "" is perceptinit/__init__.py
# room -> rooms it may import, top to bottom; `base` is the rest of the top level
ROOMS = {
    "doors": "cli running reports verdict analysis library judgments results recipe components files base",
    "plugin": "reports trackers evaluators initializers pretrainers judgments pairs backbones images files base",
    "companion": "running reports trackers evaluators test_sets judgments recipe components images compute files"
    " base",
    "cli": "evaluating reports verdict analysis running exporting library test_sets judgments pairs results recipe"
    " components images files base",
    "testing": "evaluators pretrainers test_sets judgments pairs backbones components images files base",
    "running": "evaluators results recipe images components compute files base",
    "evaluating": "evaluators library test_sets judgments results initializers recipe backbones"
    " components images compute files base",
    "reports": "verdict analysis results test_sets judgments recipe components files base",
    "verdict": "analysis results test_sets judgments recipe files base",
    "analysis": "results judgments recipe components base",
    "exporting": "results recipe backbones components files base",
    "evaluators": "results test_sets judgments images components compute files base",
    "trackers": "results base",
    "results": "test_sets recipe backbones components compute files base",
    "library": "judgments recipe backbones components compute files base",
    "initializers": "pretrainers judgments pairs backbones images components compute files base",
    "pretrainers": "pairs backbones images compute files base",
    "test_sets": "pairs world files base",
    "judgments": "world images components files base",
    "pairs": "world images compute files base",
    "backbones": "compute files base",
    "recipe": "components base",
    "images": "files base",
    "world": "files base",
    "components": "files base",
    "compute": "base",
    "files": "base",
    "base": "",
}


@cache
def imports() -> dict[str, set[str]]:
    """Return the imports of every module of the package, including those inside functions."""
    files = {_name(path): path for path in PACKAGE.rglob("*.py")}
    return {name: set(_imported(name, path, files)) for name, path in files.items()}


def _name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported(name: str, path: Path, files: dict[str, Path]) -> Iterator[str]:
    stub = path.with_suffix(".pyi")  # of the API for plug-ins, which imports a name when it is used
    for node in ast.walk(ast.parse((stub if stub.is_file() else path).read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            candidates = [(f"{node.module}.{alias.name}", node.module) for alias in node.names]
        elif isinstance(node, ast.Import):
            candidates = [(alias.name, "") for alias in node.names]
        else:
            continue
        for inner, outer in candidates:
            target = inner if inner in files else outer
            if target in files and target != name:
                yield target


def room(module: str) -> str:
    top = [*module.split("."), ""][1]
    if top in DOORS:
        return "doors"
    if top in ("plugin", "companion"):
        return top
    return top if top not in ("types", "protocols") and (PACKAGE / top).is_dir() else "base"


def test_a_room_imports_only_the_rooms_of_the_table():
    strange = [
        f"{name} imports {target}"
        for name, targets in imports().items()
        for target in targets
        if room(target) not in (room(name), *ROOMS[room(name)].split())
    ]
    assert not strange


def test_rooms_import_downwards():
    order = list(ROOMS)
    for name, allowed in ROOMS.items():
        assert all(order.index(other) > order.index(name) for other in allowed.split()), name


def test_modules_have_no_import_cycle():
    TopologicalSorter(imports()).prepare()


def test_the_table_lists_every_room_and_every_import_between_rooms():
    used = {name: set() for name in ROOMS}
    for name, targets in imports().items():
        used[room(name)] |= {room(target) for target in targets} - {room(name)}
    assert used == {name: set(allowed.split()) for name, allowed in ROOMS.items()}


# room -> its floors, top to bottom. A floor is a sub-folder, or loose files that stand together
FLOORS = {
    "judgments": (
        "sources data_check checks baselines fingerprints sheet linear_map",
        "controls",
        "published",
        "own",
        "forms",
        "image_files scoring two_afc",
    ),
    "files": (
        "downloads",
        "remote",
        "archives atomic cache checkpoints columns csv_files markup mat_files reading sealed tables",
    ),
}


def floors_of(room):
    """Return the number of the floor of each module of a room; 0 is the top."""
    return {part: number for number, floor in enumerate(FLOORS[room]) for part in floor.split()}


def modules_in(room):
    """Return the modules of a room with the part that names their floor, without the room itself."""
    inside = f"perceptinit.{room}."
    return {name: name.removeprefix(inside).split(".")[0] for name in imports() if name.startswith(inside)}


@pytest.mark.parametrize("room", FLOORS)
def test_a_module_imports_only_its_own_floor_and_lower_ones(room):
    floor, part_of = floors_of(room), modules_in(room)
    upwards = [
        f"{name} imports {target}"
        for name, targets in imports().items()
        for target in targets
        if name in part_of and target in part_of and floor[part_of[target]] < floor[part_of[name]]
    ]
    assert not upwards


@pytest.mark.parametrize("room", FLOORS)
def test_every_module_has_a_floor(room):
    assert set(modules_in(room).values()) == set(floors_of(room))


# The limits of size: what one file, function or list of names may ask of a reader. Totals have no limit, because a
# limit of a total becomes a target
MAX_LINES_OF_A_FILE = 350
MAX_LINES_OF_A_FUNCTION = 60
MAX_NAMES_FOR_PLUGINS = 90
# in 1,000 statements
MAX_PACKED_IN_CORE = 8.0
MAX_WALRUSES = 3.7


def test_statements_are_not_packed():
    core = size.measure("perceptinit")
    assert core.rate("packed") <= MAX_PACKED_IN_CORE
    assert (core + size.measure("plugins")).rate("walruses") <= MAX_WALRUSES


def test_files_are_short():
    lines = {path: path.read_text("utf-8").count("\n") for path in size.tracked(["perceptinit", "plugins"])}
    assert {path.name: num for path, num in lines.items() if num > MAX_LINES_OF_A_FILE} == {}


def num_lines(function, *, is_command=False):
    """Return the lines of a function without its docstring, and without the signature of a command."""
    body = function.body[1:] if size.is_docstring(function.body[0]) else function.body
    num_body = body[-1].end_lineno - body[0].lineno + 1 if body else 0
    return num_body if is_command else function.body[0].lineno - function.lineno + num_body


def test_functions_are_short():
    lines = {}
    for path in size.tracked(["perceptinit", "plugins"]):
        is_command = "cli" in path.with_suffix("").parts
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines[f"{path.name}:{node.name}"] = num_lines(node, is_command=is_command)
    assert {name: num for name, num in lines.items() if num > MAX_LINES_OF_A_FUNCTION} == {}


def test_the_api_for_plugins_has_few_names():
    assert size.count_names() <= MAX_NAMES_FOR_PLUGINS


MADE = '''"""A made module."""

import os


def describe(
    name: str,
    number: int,
) -> str:
    """Return a text.

    It has two lines.
    """
    "not a docstring, but a string that stands alone"
    first, second = name, number
    low, high, middle = (number + shift for shift in (-1, 1, 0))
    left, right = divmod(number, 2)
    if found := os.environ.get(name):
        return found
    return f"{first} {second} {low} {high} {middle} {left} {right}"
'''


def test_the_size_of_a_made_module_equals_the_count_by_hand():
    """import, def, 2 packed, 3 of a generator, divmod, if, 2 return; strings that stand alone do not count."""
    counted = size.Size()
    counted.add(MADE)
    assert counted == size.Size(files=1, statements=11, packed=1, walruses=1, comprehensions=1)


def test_a_function_is_measured_without_its_docstring_and_a_command_without_its_signature():
    (function,) = [node for node in ast.parse(MADE).body if isinstance(node, ast.FunctionDef)]
    assert num_lines(function) == 4 + 7
    assert num_lines(function, is_command=True) == 7


def test_the_rooms_add_up_to_the_size_of_core_and_plugins():
    rooms = size.by_room()
    assert sum(rooms.values(), size.Size()) == size.measure("perceptinit", "plugins")
    assert {"perceptinit", "perceptinit/recipe", "plugins/perceptinit-collect"} <= set(rooms)


TESTS = Path(__file__).parent
NOT_ROOMS = {
    "base",
    "benchmarks",
    "docs",
    "fuzz",
    "plugins",
}  # folders of tests/ that are not named after a room


def test_every_room_has_a_folder_of_tests():
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")} - {"protocols", "types"}
    folders = {path.parent.name for path in TESTS.glob("*/test_*.py")}
    assert folders - NOT_ROOMS == rooms


def test_the_page_for_contributors_names_every_folder_of_tests():
    page = (PACKAGE.parent / "docs/contributing.md").read_text()
    folders = {path.name for path in TESTS.iterdir() if any(path.glob("*.py"))}
    assert folders - set(re.findall(r"`(\w+)/`", page)) == set()


@pytest.mark.parametrize("page", ["architecture.md", "images/architecture.svg"])
def test_the_architecture_page_and_its_figure_name_every_room(page):
    text = (PACKAGE.parent / "docs" / page).read_text()
    named = set(re.findall(r"[\w]+(?=/)|(?<=>)\w+(?=/?<)", text))
    assert set(ROOMS) - {"doors", "plugin", "companion", "base"} <= named
