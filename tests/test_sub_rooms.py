"""The floors inside judgments/ and files/: a module imports only from its own floor or a lower one."""

from functools import cache

import pytest
from test_rooms import imports

imports = cache(imports)

# room -> its floors, top to bottom. A floor is a sub-folder, or loose files that stand together
FLOORS = {
    "judgments": (
        "sources data_check checks baselines ceilings fingerprints sheet",
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
