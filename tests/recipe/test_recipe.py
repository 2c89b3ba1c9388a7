"""Valid recipes, and the errors of invalid ones."""

import pytest

from perceptinit import __version__
from perceptinit.errors import RecipeError, UsageError
from perceptinit.recipe.reading import load_recipe, read_recipe
from perceptinit.recipe.tables import apply_overrides, expand_variables

SMALL = """
schema = 1
name = "small"
seeds = [0, 1]
[backbone]
use = "timm"
[[init]]
use = "triplet-hinge"
epochs = 2
[init.judgments]
use = "synthetic"
[pretrain]
use = "clip"
[pretrain.pairs]
use = "synthetic"
[[eval]]
use = "two-afc"
every = 5
[eval.judgments]
use = "synthetic"
[[arm]]
name = "random"
init = []
[[arm]]
name = "pi"
"""


WRAPPED = """[init.judgments]
use = "shuffled-votes"
[init.judgments.judgments]
use = "table"
path = "no.csv"
"""


def problems(text, overrides=()):
    with pytest.raises(RecipeError) as error:
        read_recipe(text, source="r.toml", overrides=overrides)
    return [str(p) for p in error.value.problems]


def replaced(old, new):
    assert old in SMALL
    return SMALL.replace(old, new, 1)


def test_an_arm_replaces_init_and_shares_all_other_settings():
    recipe = read_recipe(SMALL)
    random, pi = recipe.arms
    assert random.init == ()
    assert [spec.name for spec in pi.init] == ["triplet-hinge"]
    assert pi.init[0].parts["judgments"].name == "synthetic"
    shared = {k: v for k, v in recipe.resolve(random).items() if k != "init"}
    assert shared == {k: v for k, v in recipe.resolve(pi).items() if k != "init"}
    assert recipe.fingerprint(random) != recipe.fingerprint(pi)
    assert recipe.baseline == "random"
    assert recipe.evals[0].every == 5


def test_an_arm_cannot_change_other_settings():
    text = SMALL + "[arm.pretrain]\nuse = 'clip'\n"
    assert problems(text) == [
        "arm.pi.pretrain: an arm can replace init and posthoc only, so that arms share all other settings"
    ]


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("schema = 1", "schema = 2", "schema: should be 1, got 2"),
        ("seeds = [0, 1]", "seeds = [0, 0]", "seeds: expected an array of distinct integers >= 0"),
        ("seeds = [0, 1]", "sedes = [0]", "sedes: unknown key; did you mean 'seeds'?"),
        ('name = "small"', 'name = "a/b"', "name: expected a name of at most 100 letters"),
        ("epochs = 2", 'epochs = "2"', "init.epochs: expected an integer, got '2'"),
        ("epochs = 2", "marign = 2", "init.marign: unknown key; did you mean 'margin'?"),
        (
            'use = "triplet-hinge"',
            'use = "triplet-hnge"',
            "init.use: no initializer called 'triplet-hnge'. Did you mean 'triplet-hinge'?",
        ),
        (
            '[init.judgments]\nuse = "synthetic"',
            "",
            "init: initializer 'triplet-hinge' needs a table",
        ),
        (
            "every = 5",
            "every = 0",
            'eval.every: expected "epoch", "end" or a number of steps, got 0',
        ),
        ('[backbone]\nuse = "timm"', "", "backbone: required, but not given"),
        ('name = "pi"', 'name = "random"', "arm: two arms are called 'random'"),
        ('name = "small"', 'name = "small"\nbaseline = "x"', "baseline: no arm called 'x'."),
        ("epochs = 2", "lr = inf", "init.lr: inf is not a finite number"),
        ("epochs = 2", "margin = -inf", "init.margin: -inf is not a finite number"),
        ("epochs = 2", "weight_decay = nan", "init.weight_decay: nan is not a finite number"),
        ("epochs = 2", "epochs = 99999999999999999999", "init.epochs: an integer beyond 64 bits"),
        (
            "epochs = 2",
            f"epochs = {'9' * 4999}",
            "not valid TOML: an integer with thousands of digits",
        ),
        ("epochs = 2", f"epochs = 0x{'f' * 4000}", "init.epochs: an integer beyond 64 bits"),
        # tomllib parses it in quadratic time
        ("epochs = 2", f"{'a.' * 300}b = 1", "not valid TOML: a key with more than 50 parts"),
        ("epochs = 2", f"x = {'[' * 2000}", "not valid TOML: brackets are nested too deeply"),
        ("epochs = 2", f"x = {'[' * 90}{']' * 90}", "init.x: more than 50 nested tables and arrays"),
        ('name = "small"', f'name = "{"n" * 300}"', "name: expected a name of at most 100 letters"),
        (
            '[backbone]\nuse = "timm"',
            '[backbone]\nuse = "timm"\nmodel_args = { drop_rate = nan, patch_size = [1, -inf] }',
            "backbone.model_args.drop_rate: nan is not a finite number",
        ),
        (
            '[backbone]\nuse = "timm"',
            '[backbone]\nuse = "timm"\nmodel_args = { depth = 1000000000 }',
            "backbone: model_args.depth = 1000000000 exceeds 1,000",
        ),
        (
            '[backbone]\nuse = "timm"',
            '[backbone]\nuse = "timm"\ntext_width = 1000000000',
            "backbone.text_width: should be less than or equal to 1000000",
        ),
        ('use = "clip"', "", "pretrain.use: required: name of the pretrainer. Known: clip"),
    ],
)
def test_an_error_in_a_recipe_is_reported_with_its_path(old, new, sentence):
    assert any(p.startswith(sentence) for p in problems(replaced(old, new))), problems(replaced(old, new))


def test_all_problems_of_a_recipe_are_reported_at_once_with_the_file_name():
    text = replaced("epochs = 2", 'epochs = "2"\nmarign = 1').replace("schema = 1", "")
    with pytest.raises(RecipeError) as error:
        read_recipe(text, source="recipes/pi.toml")
    assert str(error.value).splitlines() == [
        "3 problems in recipes/pi.toml:",
        "  schema: required, but not given",
        "  init.epochs: expected an integer, got '2'",
        "  init.marign: unknown key; did you mean 'margin'?",
    ]


def test_invalid_toml_is_reported_with_its_line():
    (problem,) = problems("schema = = 1")
    assert "not valid TOML" in problem
    assert "line 1" in problem


@pytest.mark.parametrize("value", ["nan", "[inf]", "9" * 30, "0x" + "f" * 40])
def test_an_override_is_validated_like_the_recipe(value):
    (problem,) = problems(SMALL, [f"init.lr={value}"])
    assert problem.startswith("--set init.lr")


def test_a_deeply_nested_override_is_read_as_text():
    (problem,) = problems(SMALL, [f"init.lr={'[' * 5000}"])
    assert problem.startswith("init.lr: expected a number, got '[[[")
    assert len(problem) < 600


def test_a_file_that_is_too_large_or_has_an_invalid_name_is_refused_as_a_recipe(tmp_path):
    with pytest.raises(UsageError, match="/dev/zero: larger than 16 MB, so it is not a recipe"):
        load_recipe("/dev/zero")
    for name in ("n" * 300, "p/" * 2500 + "x", "a\0b"):
        with pytest.raises(UsageError, match="cannot be read as a recipe") as error:
            load_recipe(tmp_path / name)
        assert len(str(error.value)) < 600


def test_a_missing_recipe_lists_the_recipes_in_the_folder(tmp_path):
    (tmp_path / "there.toml").write_text(SMALL)
    with pytest.raises(UsageError, match=r"no such recipe\. Recipes there: .*there\.toml"):
        load_recipe(tmp_path / "absent.toml")


def test_a_name_unlike_any_bundled_recipe_lists_the_bundled_recipes():
    with pytest.raises(UsageError, match=r"zzzz: no such recipe\. Bundled recipes: .*quickstart"):
        load_recipe("zzzz")


def test_environment_variables_are_expanded_with_optional_defaults(monkeypatch):
    monkeypatch.setenv("PI_ROOT", "/data")
    monkeypatch.delenv("PI_OTHER", raising=False)
    value, wrong = expand_variables({"a": ["${PI_ROOT}/x", "${PI_OTHER:-y}"], "n": 3})
    assert value == {"a": ["/data/x", "y"], "n": 3}
    assert wrong == []


def test_an_unset_variable_is_an_error_with_its_path(monkeypatch):
    monkeypatch.delenv("NIGHTS_ROOT", raising=False)
    text = replaced(
        '[init.judgments]\nuse = "synthetic"',
        '[init.judgments]\nuse = "nights"\nroot = "${NIGHTS_ROOT}"',
    )
    assert problems(text) == [
        "init.judgments.root: the variable NIGHTS_ROOT is not set. "
        "Set it (export NIGHTS_ROOT=...), or give a default: ${NIGHTS_ROOT:-...}"
    ]


def test_overrides_apply_to_tables_lists_and_arms():
    tables = {
        "pretrain": {"epochs": 9},
        "init": [{"use": "a"}],
        "eval": [{"use": "b"}, {"use": "c"}],
        "arm": [{"name": "pi", "init": [{"use": "a"}]}],
    }
    wrong = apply_overrides(
        tables,
        ["pretrain.epochs=1", "init.lr=1e-4", "eval.1.root=some/where", "arm.pi.init.0.epochs=2"],
    )
    assert wrong == []
    assert tables["pretrain"]["epochs"] == 1
    assert tables["init"][0]["lr"] == 1e-4
    assert tables["eval"][1]["root"] == "some/where"
    assert tables["arm"][0]["init"][0]["epochs"] == 2


def test_overrides_are_validated_and_recorded():
    assert problems(SMALL, ["pretrain.epohcs=1"]) == ["pretrain.epohcs: unknown key; did you mean 'epochs'?"]
    assert problems(SMALL, ["pretain.epochs=1"]) == [
        "--set pretain.epochs=1: the recipe has no table 'pretain'"
    ]
    assert problems(SMALL, ["nonsense"]) == ["--set nonsense: expected path=value, such as pretrain.epochs=1"]
    assert read_recipe(SMALL, overrides=["pretrain.epochs=1"]).overrides == ("pretrain.epochs=1",)


def test_an_unknown_arm_is_reported_with_the_nearest_name():
    with pytest.raises(UsageError, match=r"no arm called 'radnom'\. Did you mean 'random'\?"):
        read_recipe(SMALL).arm("radnom")


def test_validate_fails_with_exit_code_2_and_no_traceback(cli, tmp_path):
    (tmp_path / "r.toml").write_text(replaced("epochs = 2", "marign = 2"))
    done = cli("validate", "r.toml")
    assert done.returncode == 2
    assert done.stderr == "error: r.toml: init.marign: unknown key; did you mean 'margin'?\n"


def test_smoke_replaces_weights_that_do_not_fit_the_small_model():
    table = 'use = "checkpoint"\nfile = "no/such.safetensors"\n[[arm]]'
    recipe = read_recipe(SMALL.replace("[[arm]]", '[[arm]]\nname = "loaded"\n[[arm.init]]\n' + table, 1))
    assert recipe.arm("loaded").init[0].name == "checkpoint"
    assert recipe.smoke().arm("loaded").init[0].name == "random"


def test_smoke_uses_the_replacement_of_a_part_or_else_the_simulated_world(tmp_path):
    (tmp_path / "lab.py").write_text(
        """
from perceptinit import Component, hookimpl
from perceptinit.judgments.controls.synthetic import SyntheticJudgments

class Lab(SyntheticJudgments):
    smoke_stand_in = "local/small"

@hookimpl
def perceptinit_judgments():
    classes = {"local/lab": Lab, "local/small": SyntheticJudgments}
    return [Component(name=name, target=cls, summary="x") for name, cls in classes.items()]
"""
    )
    text = 'plugins = ["lab.py"]' + SMALL.replace('use = "synthetic"', 'use = "local/lab"', 1)
    recipe = read_recipe(text, folder=tmp_path)
    assert recipe.arm("pi").init[0].parts["judgments"].name == "local/lab"
    part = recipe.smoke().arm("pi").init[0].parts["judgments"]
    assert part.name == "local/small"
    assert part.config == part.entry.load().Config().smoke()
    shuffled = SMALL.replace('[init.judgments]\nuse = "synthetic"', WRAPPED)
    part = read_recipe(shuffled).smoke().arm("pi").init[0].parts["judgments"]
    assert (part.name, part.parts["judgments"].name) == ("shuffled-votes", "synthetic")


def test_the_version_requires_no_verb(cli):
    done = cli("--version")
    assert (done.returncode, done.stdout) == (0, f"perceptinit {__version__}\n")


@pytest.mark.parametrize("recipe", ["structure", "quickstart"])
def test_a_wrong_key_of_the_pretrainer_is_the_only_problem(recipe):
    with pytest.raises(RecipeError, match=r"pretrain\.lrr: unknown key; did you mean 'lr'") as caught:
        load_recipe(recipe, ["pretrain.lrr=1"])
    assert "nothing is pretrained" not in str(caught.value)
    assert "problems" not in str(caught.value)
