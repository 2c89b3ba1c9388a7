"""A recipe's text and tables, with the recipe that it is `like` merged in: one text that stands alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePath

from perceptinit.errors import Problem, RecipeError, UsageError
from perceptinit.recipe.likes import merged
from perceptinit.recipe.places import Table, locate
from perceptinit.recipe.shipped import find
from perceptinit.recipe.tables import parse_toml, read_text


@dataclass(frozen=True, slots=True)
class RecipeText:
    """text: stands alone, as records keep it. sources: (path, text) of both files, empty without `like`."""

    tables: Table
    text: str
    sources: tuple[tuple[str, str], ...] = ()


def stand_alone(text: str, source: str, folder: Path) -> RecipeText:
    """Return a recipe's text and tables; `like = "FILE"` at its top is looked for in `folder`, then among those
    that come with perceptinit.

    Raises RecipeError when either file is no TOML, and when there is no such recipe to be like.
    """
    tables = locate(parse_toml(text, source))
    if "like" not in tables:
        return RecipeText(tables, text)
    problems = [Problem("name", "required: a recipe that is like another has a name of its own")]
    if "name" in tables:
        problems = []
    try:
        path = find(tables["like"], folder)
        base_text = read_text(path)
    except TypeError:
        wrong = f"expected the path of a recipe, got {tables['like']!r}"
        raise RecipeError([Problem("like", wrong), *problems], source) from None
    except UsageError as error:
        raise RecipeError([Problem("like", str(error)), *problems], source) from error
    base = _base(base_text, path, tables["like"])
    if "like" in base:
        chain = f"{tables['like']} is itself like {base['like']}; be like that one, and say the rest here"
        problems.append(Problem("like", chain))
    if problems:
        raise RecipeError(problems, source)
    whole = merged(base, tables.without("like"))
    return RecipeText(
        whole, _as_toml(whole, source, path), ((source, text), (str(path), base_text))
    )


def _base(text: str, path: Path, name: str) -> Table:
    base: Table = locate(parse_toml(text, str(path)), f"{name}:")
    plugins = base.get("plugins")
    if isinstance(plugins, list):  # paths are relative to the recipe that names them
        base["plugins"] = [str(PurePath(name).parent / str(plugin)) for plugin in plugins]
    return base


def _as_toml(tables: Table, source: str, base: Path) -> str:
    import tomli_w

    return f"# {Path(source).name}, merged into {base.name}\n{tomli_w.dumps(tables)}"
