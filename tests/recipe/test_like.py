"""`like`: an arm or recipe states only its differences; merging, errors and `--set`."""

import tomllib
from pathlib import Path

import pytest

from perceptinit.errors import RecipeError
from perceptinit.recipe.reading import load_recipe, read_recipe
from perceptinit.recipe.tables import locate, merge
from perceptinit.recipe.text import resolve
from perceptinit.results.record import new_record
from perceptinit.results.runs import load_runs

BASE = """
schema = 1
name = "small"
[data.people]
use = "synthetic"
num_train = 64
[backbone]
use = "timm"
[[init]]
use = "triplet-hinge"
epochs = 2
judgments.like = "data.people"
[[eval]]
use = "two-afc"
judgments = { like = "data.people", num_val = 9 }
[[arm]]
name = "random"
init = []
[[arm]]
name = "pi"
"""
SHUFFLED = """
[[arm]]
name = "shuffled"
init = [{ like = "init", judgments.through = ["shuffled-votes"] }]
"""
LATE = """
[[arm]]
name = "late"
init = []
posthoc = [{ like = "init", lr = 1e-5, judgments.num_val = 7 }]
"""
SMALL = BASE + SHUFFLED + LATE


def changed(old, new, text=SMALL):
    assert old in text
    return text.replace(old, new, 1)


def problems(text, *overrides):
    with pytest.raises(RecipeError) as error:
        read_recipe(text, overrides=overrides)
    return [str(problem) for problem in error.value.problems]


def stage(recipe, arm, slot="init"):
    (table,) = recipe.resolve(recipe.arm(arm))[slot]
    return table


def epochs(recipe):
    return {arm.name: [spec.config.epochs for spec in (*arm.init, *arm.posthoc)] for arm in recipe.arms}  # fmt: skip


def resolved(text):
    tables, wrong = resolve(tomllib.loads(text))
    assert wrong == []
    return tables


def test_a_stage_like_the_shared_stage_differs_only_in_its_stated_keys():
    recipe = read_recipe(SMALL)
    pi, late = stage(recipe, "pi"), stage(recipe, "late", "posthoc")
    assert (late["lr"], late["judgments"]["num_val"]) == (1e-5, 7)
    assert {**late, "lr": 0, "judgments": 0} == {**pi, "lr": 0, "judgments": 0}
    assert {**late["judgments"], "num_val": 0} == {**pi["judgments"], "num_val": 0}


def test_through_wraps_the_part():
    recipe = read_recipe(SMALL)
    pi, shuffled = stage(recipe, "pi"), stage(recipe, "shuffled")
    around = {"use": "shuffled-votes", "seed": 0, "judgments": pi["judgments"]}
    assert shuffled == {**pi, "judgments": around}


def test_the_first_wrapper_is_the_innermost_and_may_have_keys():
    tables = resolved('[pretrain.pairs]\nuse = "csv"\nthrough = ["a", { use = "b", share = 0.5 }, "c"]')
    inner = {"use": "a", "pairs": {"use": "csv"}}
    middle = {"use": "b", "share": 0.5, "pairs": inner}
    assert tables["pretrain"]["pairs"] == {"use": "c", "pairs": middle}


def test_like_applies_to_pairs():
    tables = resolved(
        '[data.photos]\nuse = "csv"\nfile = "a.csv"\nsep = ";"\n'
        '[pretrain.pairs]\nlike = "data.photos"\nfile = "b.csv"\n'
    )
    assert tables == {"pretrain": {"pairs": {"use": "csv", "file": "b.csv", "sep": ";"}}}


def test_through_and_like_are_plain_keys_outside_of_parts():
    text = '[backbone]\nuse = "a"\n[backbone.model_args]\nthrough = ["b"]\nlike = "c"'
    assert resolved(text)["backbone"]["model_args"] == {"through": ["b"], "like": "c"}


def test_nested_wrappers_equal_through():
    table = '{ use = "shuffled-votes", judgments = { use = "synthetic", num_train = 64 } }'
    nested = changed('judgments.through = ["shuffled-votes"]', f"judgments = {table}")
    old, new = read_recipe(nested), read_recipe(SMALL)
    assert old.fingerprint(old.arm("shuffled")) == new.fingerprint(new.arm("shuffled"))


@pytest.mark.parametrize(
    ("change", "whole"),
    [
        ({"b": 9}, {"use": "x", "a": 1, "b": 9}),
        ({"use": "x", "b": 9}, {"use": "x", "b": 9}),
        ({"like": "data.other"}, {"like": "data.other"}),
    ],
)
def test_a_nested_table_is_merged_unless_it_states_use_or_like(change, whole):
    base = locate({"part": {"use": "x", "a": 1, "b": 2}, "list": [1, 2], "kept": 0})
    assert merge(base, locate({"part": change, "list": [3]})) == {
        "part": whole,
        "list": [3],
        "kept": 0,
    }


def test_a_data_table_is_shared_by_all_parts_like_it():
    recipe = read_recipe(SMALL, overrides=["data.people.num_train=32"])
    (slot,) = recipe.evals
    assert slot.spec.parts["judgments"].config.num_train == 32
    assert slot.spec.parts["judgments"].config.num_val == 9
    assert stage(recipe, "shuffled")["judgments"]["judgments"]["num_train"] == 32
    assert stage(recipe, "pi")["judgments"]["num_train"] == 32


def test_one_of_several_shared_stages_is_referenced_by_number():
    two = changed("[[eval]]", '[[init]]\nuse = "mimetic"\n[[eval]]', BASE)
    recipe = read_recipe(two + '[[arm]]\nname = "second"\ninit = [{ like = "init.1" }]')
    assert [spec.name for spec in recipe.arm("second").init] == ["mimetic"]
    assert problems(two + SHUFFLED) == [
        "arm.shuffled.init.like: no shared stage called 'init'. Did you mean 'init.1'? Known: init.0, init.1"
    ]


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (
            'like = "init", judgments',
            'like = "inti", judgments',
            "arm.shuffled.init.like: no shared stage called 'inti'. Did you mean 'init'? Known: init",
        ),
        (
            'like = "init", judgments',
            'like = "init", use = "triplet", judgments',
            "arm.shuffled.init.use: cannot be combined with 'like' (init). Remove one of them",
        ),
        (
            'like = "data.people"\n',
            'like = "data.peple"\n',
            "init.judgments.like: no table called 'data.peple'. Did you mean 'data.people'? Known: data.people",
        ),
        (
            'use = "synthetic"',
            'like = "data.people"',
            "data.people.like: data.people is like data.people. Replace one 'like' with a 'use'",
        ),
        ("epochs = 2", "marign = 2", "init.marign: unknown key; did you mean 'margin'?"),
        ("lr = 1e-5", "l = 1e-5", "arm.late.posthoc.l: unknown key; did you mean 'lr'?"),
        (
            "judgments.num_val = 7",
            "judgments.num_vla = 7",
            "arm.late.posthoc.judgments.num_vla: unknown key; did you mean 'num_val'?",
        ),
        (
            "num_train = 64",
            "num_tran = 64",
            "data.people.num_tran: unknown key; did you mean 'num_train'?",
        ),
        (
            "num_train = 64",
            'num_train = "${NOT_SET_ANYWHERE}"',
            "data.people.num_train: the variable NOT_SET_ANYWHERE is not set.",
        ),
        (
            '["shuffled-votes"]',
            '["shufled-votes"]',
            "arm.shuffled.init.judgments.through.use: no judgments called 'shufled-votes'.",
        ),
        (
            '["shuffled-votes"]',
            '["shuffled-votes", { use = "subset", fractoin = 0.5, fraction = 0.5 }]',
            "arm.shuffled.init.judgments.through[1].fractoin: unknown key; did you mean 'fraction'?",
        ),
        (
            '["shuffled-votes"]',
            '[{ use = "subset" }]',
            "arm.shuffled.init.judgments.through.fraction: required, but not given",
        ),
        (
            '["shuffled-votes"]',
            '["cifar10h"]',
            "arm.shuffled.init.judgments.through: judgments 'cifar10h' does not accept judgments",
        ),
        (
            '["shuffled-votes"]',
            '"shuffled-votes"',
            "arm.shuffled.init.judgments.through: expected an array of judgments, got 'shuffled-votes'",
        ),
    ],
)
def test_a_problem_is_reported_once_at_the_place_in_the_file(old, new, sentence):
    found = problems(changed(old, new))
    assert [p for p in found if p.startswith(sentence)], found
    assert len(found) == len(set(found))
    assert len(found) == 1 or "cifar10h" in new  # whose folder is missing, too


def test_set_for_the_shared_stage_applies_to_every_arm_like_it():
    assert epochs(read_recipe(SMALL, overrides=["init.epochs=1"])) == {
        "random": [],
        "pi": [1],
        "shuffled": [1],
        "late": [1],
    }


@pytest.mark.parametrize("path", ["arm.pi.init.0.epochs", "arm.pi.init.epochs"])
def test_set_for_an_arm_with_the_shared_stage_creates_a_stage_like_it(path):
    recipe = read_recipe(SMALL, overrides=[f"{path}=8", "init.lr=0.5"])
    assert epochs(recipe) == {"random": [], "pi": [8], "shuffled": [2], "late": [2]}
    assert stage(recipe, "pi")["lr"] == 0.5


def test_set_applies_to_an_inherited_part_of_an_arm():
    recipe = read_recipe(SMALL, overrides=["arm.pi.init.judgments.num_train=8"])
    assert stage(recipe, "pi")["judgments"]["num_train"] == 8
    assert stage(recipe, "shuffled")["judgments"]["judgments"]["num_train"] == 64
    assert problems(SMALL, "arm.pi.init.judgmnts.num_train=8")[0].startswith(
        "arm.pi.init.judgmnts: unknown key"
    )


@pytest.mark.parametrize("path", ["through.seed", "through.0.seed"])
def test_set_applies_to_a_wrapper_in_through(path):
    recipe = read_recipe(SMALL, overrides=[f"arm.shuffled.init.judgments.{path}=3"])
    assert stage(recipe, "shuffled")["judgments"]["seed"] == 3


def test_a_nested_path_is_unknown_for_wrappers_in_through():
    place = "arm.shuffled.init.judgments.judgments"
    assert problems(SMALL, f"{place}.seed=4")[0].startswith("arm.shuffled.init.judgments")


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ('use = "two-afc"', 'like = "init"', "eval.like"),
        ('use = "timm"', 'like = "data.people"', "backbone.like"),
    ],
)
def test_backbones_and_evaluators_do_not_support_like(old, new, where):
    sentence = f"{where}: only init, posthoc and parts support 'like'. Write 'use'"
    assert sentence in problems(changed(old, new, BASE))


def test_like_can_be_chained_for_tables():
    few = '[data.few]\nlike = "data.people"\nnum_train = 8\n[data.fewer]\nlike = "data.few"\nnum_val = 5\n'
    text = changed("[backbone]", f"{few}[backbone]", BASE)
    (table,) = resolved(changed('judgments.like = "data.people"', 'judgments.like = "data.fewer"', text))[
        "init"
    ]
    assert table["judgments"] == {"use": "synthetic", "num_train": 8, "num_val": 5}


def test_like_can_be_chained_for_stages():
    second = '[[init]]\nlike = "init.0"\nlr = 1e-5\n[[eval]]'
    arm = '[[arm]]\nname = "second"\ninit = [{ like = "init.1", epochs = 3 }]'
    recipe = read_recipe(changed("[[eval]]", second, BASE) + arm)
    (found,) = recipe.arm("second").init
    assert (found.config.lr, found.config.epochs, found.where) == (1e-5, 3, "arm.second.init")
    assert [spec.config.epochs for spec in recipe.arm("pi").init] == [2, 2]


def test_circular_likes_are_refused():
    circle = '[data.one]\nlike = "data.two"\n[data.two]\nlike = "data.one"\n[backbone]'
    text = changed("[backbone]", circle, BASE).replace('like = "data.people"', 'like = "data.one"')
    assert problems(text) == [
        "data.two.like: data.one is like data.two is like data.one. Replace one 'like' with a 'use'"
    ]
    assert problems(changed('use = "triplet-hinge"', 'like = "init"', BASE))[0] == (
        "init.like: init is like init. Replace one 'like' with a 'use'"
    )


def test_the_difference_of_each_arm_is_described():
    text = SMALL + '[[arm]]\nname = "tenth"\n[[arm.init]]\nlike = "init"\n'
    text += 'judgments.through = [{ use = "subset", fraction = 0.1 }, "shuffled-votes"]\n'
    text += '[[arm.init]]\nuse = "statistics-matched"\n'
    recipe = read_recipe(text)
    assert [recipe.difference(arm) for arm in recipe.arms] == [
        "random = fresh weights",
        "pi = init",
        "shuffled = init, but judgments through shuffled-votes",
        "late = fresh weights; after pretraining init, but lr 1e-05, judgments.num_val 7",
        "tenth = init, but judgments through subset (fraction 0.1) then shuffled-votes, "
        "then statistics-matched",
    ]
    assert recipe.warnings == ()


COPY = """
[[arm]]
name = "copy"
[[arm.init]]
use = "triplet-hinge"
epochs = 3
[arm.init.judgments]
use = "subset"
fraction = 0.5
[arm.init.judgments.judgments]
use = "synthetic"
num_train = 64
"""


def test_a_copy_of_the_shared_stage_gives_a_warning_with_the_shorter_line():
    recipe = read_recipe(BASE + COPY)
    line = '{ like = "init", epochs = 3, judgments.through = [{ use = "subset", fraction = 0.5 }] }'
    (warning,) = recipe.warnings
    assert warning.where == "arm.copy.init"
    assert warning.message.endswith(f"Write instead: {line}")
    lean = read_recipe(f'{BASE}[[arm]]\nname = "copy"\ninit = [{line}]')
    assert lean.fingerprint(lean.arm("copy")) == recipe.fingerprint(recipe.arm("copy"))
    assert lean.warnings == ()


def test_a_copy_without_a_key_gives_a_warning_with_a_line_that_uses_without():
    patient = changed("epochs = 2", "epochs = 2\npatience = 1\neval_every = 1", BASE)
    copy = '[[arm]]\nname = "copy"\ninit = [{ use = "triplet-hinge", eval_every = 1, judgments.like = "data.people" }]'
    recipe = read_recipe(patient + copy)
    line = '{ like = "init", without = ["patience"], epochs = 32 }'
    (warning,) = recipe.warnings
    assert warning.message.endswith(f"Write instead: {line}")
    lean = read_recipe(f'{patient}[[arm]]\nname = "copy"\ninit = [{line}]')
    assert lean.fingerprint(lean.arm("copy")) == recipe.fingerprint(recipe.arm("copy"))


def test_without_removes_keys_by_their_path():
    arm = '[[arm]]\nname = "less"\ninit = [{ like = "init", without = ["judgments.num_train"] }]'
    recipe = read_recipe(BASE + arm)
    (stage,) = recipe.arm("less").init
    (shared,) = recipe.arm("pi").init
    assert stage.config.epochs == shared.config.epochs
    assert stage.parts["judgments"].config.num_train != 64
    assert shared.parts["judgments"].config.num_train == 64


@pytest.mark.parametrize(
    ("without", "message"),
    [
        ('["epoch"]', "init has no key 'epoch'. Did you mean 'epochs'?"),
        ('["judgments.num"]', "data.people has no key 'num'."),
        ('["judgments.use.x"]', "data.people has no key 'use.x'."),
        ('"epochs"', "expected an array of keys of init, got 'epochs'"),
    ],
)
def test_without_refuses_a_missing_key(without, message):
    arm = f'[[arm]]\nname = "less"\ninit = [{{ like = "init", without = {without} }}]'
    (problem,) = problems(BASE + arm)
    assert problem.startswith(f"arm.less.init.without: {message}")


CHILD = 'like = "small.toml"\nname = "child"\nseeds = [4, 5]\nbackbone.image_size = 64\n'


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "small.toml").write_text(SMALL)
    (tmp_path / "child.toml").write_text(CHILD)
    return tmp_path


def test_a_recipe_like_another_inherits_all_other_settings(folder):
    small, child = load_recipe(folder / "small.toml"), load_recipe(folder / "child.toml")
    assert (child.name, child.seeds, child.baseline) == ("child", (4, 5), "random")
    assert child.backbone.config.image_size == 64
    assert child.backbone.config.model == small.backbone.config.model
    assert [arm.name for arm in child.arms] == [arm.name for arm in small.arms]


def test_like_can_be_chained_for_recipes(folder):
    (folder / "deep").mkdir()
    (folder / "deep/grandchild.toml").write_text('like = "../child.toml"\nname = "g"\nbaseline = "pi"')
    recipe = load_recipe(folder / "deep/grandchild.toml")
    assert (recipe.seeds, recipe.backbone.config.image_size) == ((4, 5), 64)
    assert [Path(path).name for path, _ in recipe.sources] == ["grandchild.toml", "child.toml", "small.toml"]  # fmt: skip
    again = read_recipe(recipe.text)
    assert again.baseline == "pi"
    assert [again.fingerprint(arm) for arm in again.arms] == [recipe.fingerprint(arm) for arm in recipe.arms]  # fmt: skip


def test_a_record_of_a_merged_recipe_can_be_read_without_the_files(folder, tmp_path):
    recipe = load_recipe(folder / "child.toml", ["init.epochs=1", "data.people.num_train=32"])
    arm = recipe.arm("late")
    about = new_record(recipe, arm, 4, "cpu")["recipe"]
    paths = [str(folder / "child.toml"), str(folder / "small.toml")]
    assert about["sources"] == [
        {"path": paths[0], "text": CHILD},
        {"path": paths[1], "text": SMALL},
    ]
    again = read_recipe(about["text"], overrides=about["overrides"], folder=tmp_path / "elsewhere")
    assert again.fingerprint(again.arm("late")) == recipe.fingerprint(arm)


def test_reports_use_the_arms_and_seeds_of_a_merged_recipe(folder):
    (folder / "runs/child/pi/seed4").mkdir(parents=True)
    runs = load_runs([folder / "child.toml"], folder / "runs")
    assert {run.title for run in runs.runs} == {
        f"{arm}, seed {seed}" for arm in ("random", "pi", "shuffled", "late") for seed in (4, 5)
    }


@pytest.mark.parametrize(
    ("child", "sentence"),
    [
        ('like = "samll.toml"\nname = "c"', "like: .*samll.toml: no such recipe. Recipes there: "),
        (
            'like = "c.toml"\nname = "c"',
            r"c.toml: like: c.toml inherits from this recipe \(circular\). Remove one",
        ),
        (
            'like = "circle.toml"\nname = "c"',
            r"c.toml: like: circle.toml inherits from this recipe \(circular\). Remove one 'like'",
        ),
        ('like = "small.toml"', "name: required: a recipe with 'like' needs its own name"),
        ('like = 3\nname = "c"', "like: expected the path of a recipe, got 3"),
        (
            'like = "small.toml"\nname = "c"\nbackbone.imgae_size = 8',
            "c.toml: backbone.imgae_size: unknown key; did you mean 'image_size'",
        ),
        (
            'like = "wrong.toml"\nname = "c"\nbackbone.image_size = 8',
            "c.toml: wrong.toml: init.epohcs: unknown key; did you mean 'epochs'",
        ),
    ],
)
def test_a_problem_of_a_merged_recipe_is_reported_with_its_file(folder, child, sentence):
    (folder / "wrong.toml").write_text(changed("epochs = 2", "epohcs = 2"))
    (folder / "circle.toml").write_text('like = "c.toml"\nname = "circle"')
    (folder / "c.toml").write_text(child)
    with pytest.raises(RecipeError, match=sentence):
        load_recipe(folder / "c.toml")


def test_set_cannot_override_like():
    assert problems(SMALL, "like=other.toml") == [
        "--set like: cannot be overridden, because recipes are merged first. Set it in the file"
    ]


def test_plugins_of_the_parent_recipe_are_resolved_next_to_it(folder):
    (folder / "deep").mkdir()
    (folder / "local.py").write_text("")
    (folder / "with.toml").write_text(changed('name = "small"', 'name = "small"\nplugins = ["local.py"]'))  # fmt: skip
    (folder / "deep/c.toml").write_text('like = "../with.toml"\nname = "c"')
    recipe = load_recipe(folder / "deep/c.toml")
    assert "local" in [plugin.name for plugin in recipe.plugins.loaded]


def test_validate_prints_differences_and_warns_of_copies(cli, tmp_path):
    (tmp_path / "r.toml").write_text(SMALL + COPY)
    done = cli("validate", "r.toml")
    assert done.returncode == 0
    assert "  shuffled = init, but judgments through shuffled-votes\n" in done.stdout
    assert "warning: arm.copy.init: copies the shared stage" in done.stderr
