"""The subpackages of docs/architecture.md: which may import which, without cycles, and the budget of their size."""

import ast
import re
from collections.abc import Iterator
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
    "companion": "reports trackers evaluators test_sets judgments recipe components images compute files base",
    "cli": "evaluating reports verdict analysis running exporting library test_sets judgments pairs results recipe"
    " components images files base",
    "testing": "evaluators pretrainers test_sets judgments pairs backbones components images files base",
    "running": "evaluators results recipe images components compute files base",
    "evaluating": "evaluators library test_sets judgments results initializers recipe backbones"
    " components compute files base",
    "reports": "verdict analysis results test_sets judgments recipe components files base",
    "verdict": "analysis results test_sets judgments recipe files base",
    "analysis": "results judgments recipe components base",
    "exporting": "results recipe backbones components files base",
    "evaluators": "results test_sets judgments images components compute files base",
    "trackers": "results base",
    "results": "test_sets recipe backbones components files base",
    "library": "judgments recipe backbones components compute files base",
    "initializers": "pretrainers judgments pairs backbones images components compute files base",
    "pretrainers": "pairs backbones images compute files base",
    "test_sets": "pairs world files base",
    "judgments": "world images components files base",
    "pairs": "world images compute files base",
    "backbones": "compute files base",
    "recipe": "components base",
    "images": "files base",
    "world": "base",
    "components": "files base",
    "compute": "base",
    "files": "base",
    "base": "",
}


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
        "sources data_check checks baselines fingerprints sheet",
        "controls",
        "published",
        "own",
        "forms",
        "image_files scoring two_afc",
    ),
    "files": (
        "downloads",
        "remote",
        "archives atomic cache checkpoints columns csv_files mat_files reading sealed tables",
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


def test_the_top_level_and_every_room_stay_small():
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    assert len(list(PACKAGE.glob("*.py"))) <= 12
    assert {f.name: n for f in folders if (n := len(list(f.glob("*.py")))) > 30} == {}


# A budget in statements and names, so that packing lines gains nothing: lower a number when code went, raise one with a
# reason in the commit.
MAX_STATEMENTS = 28_900  # of perceptinit/ and plugins/ together
MAX_FILES, MAX_LINES_OF_A_FILE = 320, 350
# in 1,000 statements
MAX_PACKED_IN_CORE, MAX_WALRUSES, MAX_COMPREHENSIONS = 8.0, 3.7, 70.5


def test_core_and_plugins_stay_within_their_budget_of_statements():
    assert size.measure("perceptinit", "plugins").statements <= MAX_STATEMENTS


def test_statements_are_not_packed():
    every = size.measure("perceptinit", "plugins")
    assert size.measure("perceptinit").rate("packed") <= MAX_PACKED_IN_CORE
    assert every.rate("walruses") <= MAX_WALRUSES
    assert every.rate("comprehensions") <= MAX_COMPREHENSIONS


def test_files_stay_few_and_short():
    sources = {path: path.read_text("utf-8") for path in PACKAGE.rglob("*.py")}
    assert len(sources) <= MAX_FILES
    longest = max(sources, key=lambda path: sources[path].count("\n"))
    assert sources[longest].count("\n") <= MAX_LINES_OF_A_FILE, longest


def test_docstrings_are_not_statements_and_packed_assignments_count_as_their_parts():
    counted = size.Size()
    counted.add('"""Doc."""\n\nx = (\n    1\n)\na, b = x, x\n')
    assert (counted.statements, counted.packed) == (3, 1)


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
