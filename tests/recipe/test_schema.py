"""The JSON Schema of recipes: bundled recipes are valid, and mistakes that the reader refuses are not."""

import json
import tomllib

import jsonschema
import pytest
from helpers.command_line import ROOT

from perceptinit.components.plugin_manager import build_plugin_manager
from perceptinit.errors import RecipeError
from perceptinit.recipe.reading import read_recipe
from perceptinit.recipe.schema import recipe_schema

FILE = ROOT / "recipes/recipe.schema.json"
RECIPES = sorted((ROOT / "recipes").rglob("*.toml"))
RECIPE = """
schema = 1
name = "own"
seeds = [0, 1]
baseline = "random"
[backbone]
use = "timm"
model = "test_vit"
image_size = 32
[[init]]
use = "triplet-hinge"
margin = 0.1
[init.judgments]
use = "synthetic"
[pretrain]
use = "clip"
epochs = 1
[pretrain.pairs]
use = "synthetic"
[[eval]]
use = "zero-shot"
every = "end"
datasets = ["synthetic"]
[verdict]
delta = 1.0
[[arm]]
name = "random"
init = []
[[arm]]
name = "pi"
"""
MISTAKES = (
    ("schema = 1", "schema = 2"),
    ('name = "own"', "name = 3"),
    ("seeds = [0, 1]", "seeds = 2"),
    ("seeds = [0, 1]", "seeds = [-1]"),
    ("seeds = [0, 1]", 'seeds = ["0"]'),
    ('baseline = "random"', 'basline = "random"'),
    ('use = "timm"', 'use = "tim"'),
    ("image_size = 32", "image_sise = 32"),
    ("image_size = 32", "image_size = true"),
    ("image_size = 32", 'image_size = "32"'),
    ('use = "timm"\n', ""),
    ('use = "triplet-hinge"', 'use = "clip"'),
    ("margin = 0.1", 'margin = "large"'),
    ("margin = 0.1", "margn = 0.1"),
    ('use = "clip"\n', 'use = "clip"\nlr = -1.0\n'),
    ("epochs = 1", "epochs = 1.5"),
    ('every = "end"', "datset = 3"),
    ("delta = 1.0", "delta = 0"),
    ("delta = 1.0", "dleta = 1.0"),
    ('name = "pi"', 'nme = "pi"'),
    ("init = []", "pretrain = []"),
    ('[init.judgments]\nuse = "synthetic"\n', ""),
)


@pytest.fixture(scope="module")
def schema():
    return recipe_schema(build_plugin_manager().registry)


def test_the_shipped_file_is_the_schema_of_the_core(schema):
    written = json.loads(FILE.read_text("utf-8"))
    assert written == json.loads(json.dumps(schema)), (
        "write it: PERCEPTINIT_PLUGINS= perceptinit show recipe --schema"
    )


def test_the_command_prints_the_schema(cli, schema):
    done = cli("show", "recipe", "--schema")
    assert json.loads(done.stdout) == json.loads(json.dumps(schema))
    assert "Run: perceptinit show recipe --schema" in cli("show", "recipe").stderr
    assert "Run: perceptinit show recipe --schema" in cli("show", "clip", "--schema").stderr


def test_every_bundled_recipe_is_valid_and_names_the_schema(schema):
    validator = jsonschema.Draft7Validator(schema)
    wrong = {}
    for path in RECIPES:
        text = path.read_text("utf-8")
        first = text.splitlines()[0]
        if (path.parent / first.removeprefix("#:schema ")).resolve() != FILE:
            wrong[path.name] = first
        for error in validator.iter_errors(tomllib.loads(text)):
            wrong[path.name] = error.message
    assert not wrong
    assert len(RECIPES) > 40


def test_mistakes_that_the_reader_refuses_are_invalid(schema):
    validator = jsonschema.Draft7Validator(schema)
    read_recipe(RECIPE)
    validator.validate(tomllib.loads(RECIPE))
    accepted = []
    for right, wrong in MISTAKES:
        assert right in RECIPE
        text = RECIPE.replace(right, wrong, 1)
        with pytest.raises(RecipeError):
            read_recipe(text)
        if validator.is_valid(tomllib.loads(text)):
            accepted.append(wrong)
    assert not accepted


def test_keys_have_the_documentation_of_the_component(schema):
    (hinge,) = (
        each
        for each in schema["$defs"]["initializer"]["anyOf"]
        if each["properties"].get("use", {}).get("const") == "triplet-hinge"
    )
    assert hinge["properties"]["margin"]["description"]
    assert hinge["properties"]["use"]["description"]
