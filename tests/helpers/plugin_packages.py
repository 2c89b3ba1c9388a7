"""Metadata of packages that are imported from the checkout, as if they were installed."""

import tomllib
from pathlib import Path


def write_metadata(package: Path, folder: Path) -> list[str]:
    """Write the metadata of a package into a folder that will be on the path; returns its entry points."""
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    name = project["name"]
    info = folder / f"{name.replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {project['version']}\n")
    found = project["entry-points"]["perceptinit"]
    lines = [f"{key} = {value}" for key, value in found.items()]
    (info / "entry_points.txt").write_text("\n".join(["[perceptinit]", *lines]))
    return list(found)
