"""Find recipes: files, and bundled recipes by name (`quickstart` for `recipes/quickstart.toml`)."""

import tomllib
from pathlib import Path

from perceptinit.errors import UsageError, shown
from perceptinit.registry import nearest, unknown

MAX_BYTES = 16 << 20  # of a recipe
PACKAGE = Path(__file__).parents[1]


def folder_of_shipped() -> Path:
    """Return the folder of the bundled recipes: in the installed package, or next to it in a checkout."""
    installed = PACKAGE / "recipes"
    return installed if installed.is_dir() else PACKAGE.parent / "recipes"


def list_shipped() -> dict[str, Path]:
    """Return the bundled recipes by name, including those in subfolders such as `yardsticks/`."""
    return {path.stem: path for path in sorted(folder_of_shipped().rglob("*.toml"))}


def summaries() -> dict[str, str]:
    """Return the summary of each bundled recipe, by name."""
    return {
        name: tomllib.loads(path.read_text(encoding="utf-8")).get("summary", "")
        for name, path in list_shipped().items()
    }


def is_recipe(target: str) -> bool:
    """Return whether a text is the path of a TOML file or the name of a bundled recipe."""
    return target.endswith(".toml") or target in list_shipped()


def find(recipe: str | Path, folder: Path = Path()) -> Path:
    """Return the path of a recipe: `folder / recipe`, or the bundled recipe with that name or file name."""
    path = folder / recipe
    ours = list_shipped().get(str(recipe).removesuffix(".toml"))
    return path if ours is None or (path.exists() and not path.is_dir()) else ours


def copy(name: str, into: Path) -> Path:
    """Write a bundled recipe to `into / NAME.toml` and return that path.

    bf16 becomes "auto", because a copy is for new runs, on any device; published runs keep their precision.

    Raises:
        UsageError: If the name is unknown, or the file exists or cannot be written.
    """
    found = list_shipped()
    if name not in found:
        raise UsageError(unknown("no bundled recipe called", name, found))
    target = into / f"{name}.toml"
    try:
        with target.open("x", encoding="utf-8") as file:
            text = found[name].read_text(encoding="utf-8")
            file.write(text.replace('precision = "bf16"', 'precision = "auto"'))
    except FileExistsError:
        raise UsageError(f"{target}: already exists. Rename it, or change to another folder") from None
    except OSError as error:
        raise UsageError(f"{target}: cannot be written ({error.strerror})") from error
    return target


def read_text(path: Path) -> str:
    """Return a recipe's text; UsageError if the file is absent, larger than 16 MB or not UTF-8."""
    try:
        with path.open("rb") as file:  # may be a pipe: <(...)
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise UsageError(f"{path}: larger than {MAX_BYTES >> 20} MB, so it is not a recipe")
        return data.decode("utf-8")
    except FileNotFoundError:
        places = (path.parent, path.parent / "recipes")
        found = [p for place in places for p in sorted(place.glob("*.toml")) if p.name != "pyproject.toml"]
        hint = f" Recipes there: {', '.join(map(str, found))}" if found else ""
        if not path.suffix:  # the name of a bundled recipe
            hint = f" Bundled recipes: {', '.join(list_shipped())}"
        if guess := nearest(path.stem, list_shipped()):
            hint = f" Did you mean the bundled recipe '{guess}'?"
        raise UsageError(f"{path}: no such recipe.{hint}") from None
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, or NUL in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(
            f"{shown(path)}: cannot be read as a recipe ({reason}). Give a TOML file (perceptinit list)"
        ) from error
