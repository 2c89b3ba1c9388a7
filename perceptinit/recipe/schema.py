"""JSON Schema of recipes, with which editors complete and check them (`#:schema FILE` on the first line)."""

from typing import Any

from perceptinit.components.building import PARTS, find_parts
from perceptinit.components.describe import describe
from perceptinit.configs import json_schema
from perceptinit.errors import MissingPackageError
from perceptinit.recipe.reading import LIST_SLOTS, SETTINGS
from perceptinit.recipe.recipe import RecipeTable
from perceptinit.recipe.settings import ExpectConfig, Range, TuneConfig
from perceptinit.recipe.tables import ARM_SLOTS
from perceptinit.registry import COMPANIONS, Entry, Registry

Schema = dict[str, Any]
DRAFT = "http://json-schema.org/draft-07/schema#"
KINDS = ("backbone", "initializer", "judgments", "pairs", "pretrainer", "evaluator", "tracker")
TEXT: Schema = {"type": "string"}
TEXTS: Schema = {"type": "array", "items": TEXT}
INHERITANCE: Schema = {"like": TEXT, "without": TEXTS, "through": {"type": "array"}}


def recipe_schema(registry: Registry) -> Schema:
    """Return the schema of recipes for the installed components.

    Components with a vendor prefix or of companions that are not installed are accepted with any keys. Tables
    without `use`, which inherit from other tables, are accepted with the keys of any component of their kind.
    """
    definitions: Schema = {kind: _choose(kind, registry) for kind in KINDS}
    root = json_schema(RecipeTable)
    stages = {
        slot: {"type": "array", "items": {"$ref": f"#/$defs/{kind}"}} for slot, kind in LIST_SLOTS.items()
    }
    definitions["evaluation"] = {
        "allOf": [{"$ref": "#/$defs/evaluator"}],
        "properties": {"every": {"anyOf": [{"enum": ["epoch", "end"]}, {"type": "integer", "minimum": 1}]}},
    }
    arm = {
        "type": "object",
        "properties": {"name": TEXT, "summary": TEXT, **{slot: stages[slot] for slot in ARM_SLOTS}},
        "required": ["name"],
        "additionalProperties": False,
    }
    tune = json_schema(TuneConfig)
    space = {"type": "object", "additionalProperties": {"anyOf": [json_schema(Range), {"type": "object"}]}}
    tune["properties"] |= {"eval": {"$ref": "#/$defs/evaluator"}, "space": space}
    data = {"anyOf": [{"$ref": f"#/$defs/{kind}"} for kind in ("judgments", "pairs")]}
    root["properties"] |= {
        **{slot: json_schema(cls) for slot, cls in SETTINGS.items()},
        **stages,
        "like": TEXT,
        "take": TEXTS,
        "data": {"type": "object", "additionalProperties": data},
        "backbone": {"$ref": "#/$defs/backbone"},
        "pretrain": {"$ref": "#/$defs/pretrainer"},
        "eval": {"type": "array", "items": {"$ref": "#/$defs/evaluation"}},
        "expect": {"type": "array", "items": json_schema(ExpectConfig)},
        "tune": tune,
        "arm": {"type": "array", "items": arm, "minItems": 1},
    }
    del root["required"]
    root["if"] = {"not": {"required": ["like"]}}
    root["then"] = {
        "required": ["schema", "name", "backbone"],
        "properties": {
            "backbone": {"required": ["use"]},
            "pretrain": {"required": ["use"]},
            "eval": {"items": {"required": ["use"]}},
        },
    }
    return {"$schema": DRAFT, **root, "title": "A recipe of perceptinit", "$defs": definitions}


def _choose(kind: str, registry: Registry) -> Schema:
    """Return the schema of a table of any component of a kind."""
    entries = registry.of_kind(kind)
    installed = [_component(entry) for entry in entries]
    names = [entry.name for entry in entries]
    offered = {name for companion in COMPANIONS for name in companion.offers.get(kind, ())}
    others = [_with_use({"const": name}) for name in sorted(offered.difference(names))]
    others.append(_with_use({"pattern": "/", "not": {"enum": names}}))
    keys = {key for each in installed for key in each["properties"] if key != "use"}
    inherited = {
        "type": "object",
        "properties": {key: {} for key in sorted(keys)} | INHERITANCE,
        "additionalProperties": False,
    }
    return {"anyOf": [*installed, *others, inherited]}


def _component(entry: Entry) -> Schema:
    """Return the schema of a component's table."""
    try:
        cls: Any = entry.load()
    except MissingPackageError:  # of an extra
        return _with_use({"const": entry.name})
    schema = json_schema(cls.Config)
    properties = schema.setdefault("properties", {})
    for field in describe(entry).fields:
        if field.doc:
            properties[field.name]["description"] = " ".join(field.doc.split())
    parts = find_parts(cls)
    properties |= {key: {"$ref": f"#/$defs/{PARTS[key]}"} for key in parts}
    properties |= {"use": {"const": entry.name, "description": entry.component.summary}, "through": {}}
    if entry.kind == "evaluator":
        properties["every"] = {}
    needed = [key for key, is_needed in parts.items() if is_needed]
    schema["required"] = ["use", *schema.get("required", ()), *needed]
    return schema


def _with_use(name: Schema) -> Schema:
    """Return the schema of a component whose keys are not known."""
    return {"type": "object", "required": ["use"], "properties": {"use": name}}
