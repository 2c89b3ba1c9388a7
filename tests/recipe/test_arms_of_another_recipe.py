"""A recipe can include arms of its parent recipe, and identical runs are shared."""

import json
import time

import pytest
from helpers.earlier import TINY

from perceptinit.analysis.compare import compare
from perceptinit.errors import RecipeError, UsageError
from perceptinit.recipe.reading import load_recipe, read_recipe
from perceptinit.results.record import new_record, write_record
from perceptinit.results.runs import load_experiments, load_runs
from perceptinit.running.cells import plan_cells
from perceptinit.running.runner import run_recipe
from perceptinit.verdict.plan import keep_plan, make_plan
from perceptinit.verdict.plan_text import describe_departures

ARM = '[[arm]]\nname = "short"\ninit = [{ like = "init", epochs = 1 }]\n'
HALF = '[[arm]]\nname = "half"\ninit = [{ like = "init" }, { use = "interpolate", share = 0.5 }]\n'
CHILD = f'like = "tiny.toml"\nname = "child"\ntake = ["random", "pi"]\n{ARM}'
OTHER_STAGE = '[[init]]\nuse = "mimetic"\n'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Work in a folder with a recipe and a child recipe that includes its two arms and adds one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.toml").write_text(TINY + HALF)
    (tmp_path / "child.toml").write_text(CHILD)
    return tmp_path


def folders(recipe, **options):
    return [str(cell.folder) for cell in plan_cells(recipe, **options)]


def stages(recipe, arm):
    resolved = recipe.resolve(recipe.arm(arm))
    return {key: value for key, value in resolved.items() if key != "name"}


def test_included_arms_precede_own_arms_in_the_stated_order(folder):
    (folder / "child.toml").write_text(CHILD.replace('["random", "pi"]', '["half", "random"]'))
    recipe = load_recipe("child.toml")
    assert [arm.name for arm in recipe.arms] == ["half", "random", "short"]
    assert (recipe.baseline, recipe.warnings) == ("half", ())


@pytest.mark.parametrize("arm", ["random", "pi", "half"])
def test_an_included_arm_keeps_its_stages_if_the_child_has_other_stages(folder, arm):
    text = f'like = "tiny.toml"\nname = "other"\ntake = ["{arm}"]\n{OTHER_STAGE}[[arm]]\nname = "own"'
    (folder / "other.toml").write_text(text)
    recipe = load_recipe("other.toml")
    assert stages(recipe, arm) == stages(load_recipe("tiny.toml"), arm)
    assert [spec.name for spec in recipe.arm("own").init] == ["mimetic"]
    again = read_recipe(recipe.text)
    assert stages(again, arm) == stages(recipe, arm)


def test_set_for_the_shared_stage_applies_to_an_included_arm(folder):
    recipe = load_recipe("child.toml", ["init.epochs=5"])
    assert recipe.arm("pi").init[0].config.epochs == 5


def test_an_identical_run_is_shared_with_the_parent_recipe(folder):
    assert folders(load_recipe("child.toml"), seeds=[0]) == [
        "runs/tiny/random/seed0",
        "runs/tiny/pi/seed0",
        "runs/child/short/seed0",
    ]


@pytest.mark.parametrize(
    ("override", "shared"),
    [
        ("pretrain.epochs=1", []),
        ("init.epochs=1", ["random"]),
        ("arm.random.init=[]", ["random", "pi"]),
        ("checkpoint.every_steps=3", ["random", "pi"]),
        ('name="again"', []),
    ],
)
def test_a_run_with_other_settings_is_not_shared(folder, override, shared):
    found = folders(load_recipe("child.toml", [override]), seeds=[0])
    assert [path.split("/")[2] for path in found if path.startswith("runs/tiny/")] == shared


def test_additional_seeds_and_smoke_runs_are_not_shared(folder):
    recipe = load_recipe("child.toml", ["seeds=[1, 7]"])
    found = folders(recipe, arms=["random"])
    assert found == ["runs/tiny/random/seed1", "runs/child/random/seed7"]
    assert folders(load_recipe("child.toml").smoke())[0].startswith("runs/child-smoke/")


def test_an_existing_run_of_the_child_is_not_shared(folder):
    own = folder / "runs/child/random/seed0"
    own.mkdir(parents=True)
    (own / "record.json").write_text("{}")
    assert folders(load_recipe("child.toml"), arms=["random"], seeds=[0]) == ["runs/child/random/seed0"]


def test_an_arm_included_twice_is_shared_with_the_first_recipe(folder):
    (folder / "deep").mkdir()
    text = 'like = "../child.toml"\nname = "grandchild"\ntake = ["short", "random"]\n'
    (folder / "deep/grandchild.toml").write_text(text)
    found = folders(load_recipe("deep/grandchild.toml"), seeds=[1])
    assert found == ["runs/child/short/seed1", "runs/tiny/random/seed1"]


def test_shared_finished_runs_are_not_repeated_and_appear_in_every_report(folder):
    [before] = run_recipe(load_recipe("tiny.toml"), arms=["random"], seeds=[0], device="cpu")
    child = load_recipe("child.toml")
    plan = make_plan(child, folder / "runs")
    assert [(row["arm"], row["seed"]) for row in plan["records"]] == [("random", 0)]
    keep_plan(plan, folder / "runs/child")
    records = run_recipe(child, seeds=[0], device="cpu")
    assert [record["recipe"]["name"] for record in records] == ["tiny", "tiny", "child"]
    assert records[0] == before
    assert sorted(p.name for p in (folder / "runs/child").glob("*/seed0")) == ["seed0"]
    for paths in ([folder / "child.toml"], [folder / "runs/child"]):
        runs = load_runs(paths, folder / "runs")
        assert (runs.name, runs.arms) == ("child", ("random", "pi", "short"))
        assert [run.seed for run in runs.finished] == [0, 0, 0]
        [sentence] = describe_departures(compare(runs))
        assert sentence.endswith(": 1 of 3 runs existed before it: random, seed 0.")
    (status,) = load_experiments([folder / "child.toml"], folder / "runs")
    assert {run.title for run in status.unfinished} == {
        "random, seed 1", "pi, seed 1", "short, seed 1",
    }  # fmt: skip


def test_a_table_of_smoke_runs_contains_no_shared_run(folder):
    for recipe, arm in (
        (load_recipe("tiny.toml"), "random"),
        (load_recipe("child.toml").smoke(), "pi"),
    ):
        file = folder / "runs" / recipe.name / arm / "seed0/record.json"
        file.parent.mkdir(parents=True)
        write_record(file, new_record(recipe, recipe.arm(arm), 0, "cpu"))
    runs = load_runs([folder / "runs/child-smoke"])
    assert [(run.arm, run.state) for run in runs.runs] == [
        ("random", "not started"), ("pi", "stopped"), ("short", "not started"),
    ]  # fmt: skip


def test_fresh_does_not_repeat_shared_runs(folder):
    [before] = run_recipe(load_recipe("tiny.toml"), arms=["random"], seeds=[0], device="cpu")
    file = folder / "runs/tiny/random/seed0/record.json"
    time.sleep(0.01)
    written = file.stat().st_mtime_ns
    child = load_recipe("child.toml")
    [after] = run_recipe(child, arms=["random"], seeds=[0], fresh=True, device="cpu")
    assert (after, file.stat().st_mtime_ns) == (before, written)


def test_a_run_with_other_settings_in_the_folder_of_a_shared_run_is_refused(folder):
    tiny = load_recipe("tiny.toml", ["pretrain.epochs=1"])
    file = folder / "runs/tiny/random/seed0/record.json"
    file.parent.mkdir(parents=True)
    write_record(file, new_record(tiny, tiny.arm("random"), 0, "cpu"))
    with pytest.raises(UsageError, match=r"or use `perceptinit run tiny.toml --fresh` to replace it"):
        run_recipe(load_recipe("child.toml"), arms=["random"], fresh=True, device="cpu")


@pytest.mark.slow
def test_workers_write_shared_runs_to_the_folder_of_the_parent(folder):
    overrides = ["pretrain.epochs=1", "seeds=[0]"]
    text = (folder / "tiny.toml").read_text().replace("epochs = 2\nbatch_size = 16", "epochs = 1\nbatch_size = 16")  # fmt: skip
    (folder / "tiny.toml").write_text(text)
    run_recipe(load_recipe("child.toml", overrides), arms=["random", "short"], jobs=2, device="cpu")
    found = sorted(str(p.parent.relative_to(folder)) for p in folder.rglob("record.json"))
    assert found == ["runs/child/short/seed0", "runs/tiny/random/seed0"]
    record = json.loads((folder / "runs/tiny/random/seed0/record.json").read_text())
    assert record["fingerprint"] == load_recipe("tiny.toml").fingerprint(load_recipe("tiny.toml").arm("random"))  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('["random", "pi"]', '["random", "pa"]', "take: tiny.toml has no arm called 'pa'. Known: random, pi, half"),
        ('["random", "pi"]', '"random"', "take: expected an array of arm names in tiny.toml, got 'random'"),
        ('like = "tiny.toml"\n', "", "take: requires 'like'. To define arms, write [[arm]] tables"),
        ('name = "short"', 'name = "pi"', "arm: two arms are called 'pi'"),
    ],
)  # fmt: skip
def test_arms_that_cannot_be_included_are_reported(folder, old, new, sentence):
    assert old in CHILD
    (folder / "child.toml").write_text(CHILD.replace(old, new))
    with pytest.raises(RecipeError) as error:
        load_recipe("child.toml")
    assert str(error.value.problems[0]).startswith(sentence)


def test_set_cannot_override_included_arms(folder):
    with pytest.raises(
        RecipeError, match="--set take: cannot be overridden, because recipes are merged first"
    ):
        load_recipe("child.toml", ['take=["pi"]'])
