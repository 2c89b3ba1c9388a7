"""Validate values from files: TOML tables against `Config` dataclasses, JSON against types.

A Config is a frozen dataclass. Only this module imports pydantic. Field types can have bounds:

    from perceptinit.configs import PositiveInt, Share
"""

import dataclasses
import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from operator import attrgetter
from pathlib import PurePath
from typing import Annotated, Any, TypeVar, get_type_hints

from annotated_types import Ge, Gt, Le

from perceptinit.errors import Problem, shown
from perceptinit.registry import nearest

# mark of a key that does not change a result, such as the location of data: `Annotated[Path, NEUTRAL]`
NEUTRAL = object()
PositiveInt = Annotated[int, Gt(0)]
NonNegativeInt = Annotated[int, Ge(0)]
PositiveFloat = Annotated[float, Gt(0)]
NonNegativeFloat = Annotated[float, Ge(0)]
Share = Annotated[float, Ge(0), Le(1)]
# larger values are typos, and such models would exhaust memory or take hours to build
Layers = Annotated[int, Gt(0), Le(1000)]
Width = Annotated[int, Gt(0), Le(1_000_000)]
# number of rendered images, and their height and width in pixels
NumDrawn = Annotated[int, Gt(0), Le(1_000_000)]
DrawnSide = Annotated[int, Gt(0), Le(4096)]

C = TypeVar("C")
REQUIRED = "required, but not given"  # the message about a missing key
_ADDRESS = re.compile(r"(s3|gs|hf|https?):/([^/].*)", re.DOTALL)

_EXPECTED = {
    "int_type": "an integer",
    "finite_number": "a finite number",
    "int_from_float": "an integer",
    "float_type": "a number",
    "string_type": "a string",
    "bool_type": "true or false",
    "path_type": "a path",
    "tuple_type": "an array in brackets",
    "list_type": "an array",
    "dict_type": "a table",
}


def read_config(cls: type[C], table: Mapping[str, Any], where: str) -> tuple[C | None, list[Problem]]:
    """Validate a table and return the config that it describes.

    Types are strict: "3" and true are not integers. Unknown keys are problems.

    Args:
        cls: The Config dataclass.
        table: Keys and values.
        where: TOML path of the table, for messages.

    Returns:
        The config, or None if there are problems, and the problems.
    """
    from pydantic import ValidationError

    try:
        text = json.dumps(dict(table), default=str)
        config: C = _strict_adapter(cls).validate_json(text)
        return config, []
    except ValidationError as error:
        known = [f.name for f in dataclasses.fields(cls)]  # type: ignore[arg-type]
        return None, [_problem(item, known, where) for item in error.errors()]


def json_schema(cls: type) -> dict[str, Any]:
    """Return the JSON Schema of the tables that `read_config` accepts for a Config dataclass."""
    schema: dict[str, Any] = _strict_adapter(cls).json_schema()
    return schema


def _strict_adapter(cls: type) -> Any:
    from pydantic import ConfigDict

    if not dataclasses.is_dataclass(cls):
        raise TypeError(f"{cls.__qualname__} must be a dataclass")
    if "__pydantic_config__" not in cls.__dict__:
        cls.__pydantic_config__ = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)  # type: ignore[attr-defined]
    return _adapter(cls)


def find_misfit(value: object, kind: Any, where: str = "") -> str:
    """Return the first difference between a value from JSON and a type, or an empty string.

    Args:
        value: Result of `json.loads`.
        kind: Any annotation, such as `list[str]` or a `typing_extensions.TypedDict` of the required keys.
            Other keys are allowed. Types are strict: true is not a number, but 3 is a float.
        where: Path of `value`, for messages.

    Returns:
        Path and difference, such as "scores[0].name: required, but not given".
    """
    from pydantic import ValidationError

    try:
        _adapter(kind).validate_python(value, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        place = _join(where, [p for p in first["loc"] if p != "[key]"])
        return f"{place}: {_describe(first)}" if place else _describe(first)
    return ""


@cache
def _adapter(kind: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _join(where: str, path: Iterable[str | int]) -> str:
    place = where + "".join(f"[{p}]" if isinstance(p, int) else f".{shown(p)}" for p in path)
    return place.removeprefix(".")


def _problem(error: Mapping[str, Any], known: list[str], where: str) -> Problem:
    # pydantic's path also contains union members and validators
    path = [p for p in error["loc"] if isinstance(p, int) or re.fullmatch(r"[A-Za-z_]\w*", p)]
    path = [p for i, p in enumerate(path) if i == 0 or isinstance(p, int) or p not in _UNION_MEMBERS]
    place = _join(where, path)
    if error["type"] == "unexpected_keyword_argument":
        key = str(error["loc"][-1])
        guess = nearest(key, known)
        hint = f"; did you mean '{guess}'?" if guess else f"; known: {', '.join(known)}"
        if key == "fit":
            hint = ". It is a key of [backbone]"
        return Problem(place, f"unknown key{hint}")
    return Problem(place, _describe(error))


def _describe(error: Mapping[str, Any]) -> str:
    kind = error["type"]
    value = error.get("input")
    if kind == "missing":
        return REQUIRED
    if kind == "value_error":
        return str(error["ctx"]["error"])
    message = error["msg"].removeprefix("Input ")
    wanted = f"expected {_EXPECTED[kind]}" if kind in _EXPECTED else message[:1].lower() + message[1:]
    # a value from JSON may be nested too deeply for repr
    return f"{wanted}, got {_JSON_TYPES.get(type(value)) or shown(repr(value))}"


_JSON_TYPES = {dict: "a table", list: "an array", type(None): "null"}
_UNION_MEMBERS = {"str", "int", "float", "bool", "path", "none", "list", "tuple", "dict"}


def find_neutral_keys(cls: type) -> frozenset[str]:
    """Return the keys of a Config that are marked with `NEUTRAL`."""
    kinds = get_type_hints(cls, include_extras=True)
    return frozenset(key for key, kind in kinds.items() if NEUTRAL in getattr(kind, "__metadata__", ()))


def to_table(config: Any) -> dict[str, Any]:
    """Return a config as TOML values, without keys that are None."""
    return plain_value(dataclasses.asdict(config))


def pick(found: object, *paths: str) -> dict[str, Any]:
    """Return the attributes at dotted paths, keyed by the last component of each path."""
    return {path.rpartition(".")[2]: attrgetter(path)(found) for path in paths}


def plain_value(value: Any) -> Any:
    """Return a value in TOML types: tuples as lists, paths as strings. None is unchanged."""
    if isinstance(value, dict):
        return {str(k): plain_value(v) for k, v in value.items() if v is not None}
    if isinstance(value, (list, tuple)):
        return [plain_value(v) for v in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return address_of(value) or str(value)


def address_of(value: Any) -> str:
    """Return the URL in a config's path, or an empty string for a local path."""
    # `Path` replaces the two slashes of a URL by one
    found = _ADDRESS.match(str(value)) if isinstance(value, PurePath) else None
    return f"{found[1]}://{found[2]}" if found else ""
