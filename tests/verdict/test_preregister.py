"""Plans before the runs, and reports of departures from them."""

import json
import re

import pytest
from helpers.judging import sentences

from perceptinit.analysis.compare import compare
from perceptinit.errors import DataError, UsageError
from perceptinit.recipe.reading import load_recipe
from perceptinit.reports.formats import json_table
from perceptinit.reports.report import render
from perceptinit.results.preregistration import plan_sha256, read_plan, seal_plan
from perceptinit.results.record import new_record, write_record
from perceptinit.results.runs import load_runs
from perceptinit.running.runner import run_recipe
from perceptinit.verdict.headline import Judged
from perceptinit.verdict.plan import departures_before, keep_plan, make_plan
from perceptinit.verdict.plan_text import plan_text

# simulated data: see made_runs; commands: see test_until_decided
from helpers.made_runs import score  # isort: skip
from helpers.short_recipes import RECIPE

VERDICT = "[verdict]\ndelta = 2.0\n"
THREE = RECIPE.replace("seeds = [0, 1]", "seeds = [0, 1, 2]") + VERDICT
VALUES = {"random": (0.50, 0.52, 0.54, 0.53), "redrawn": (0.501, 0.519, 0.541, 0.529)}


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path)


class Lab:
    """A folder with a recipe, its plan, and records that imitate its runs."""

    def __init__(self, folder):
        self.out, self.root, self.path = folder / "runs", folder / "runs/looks", folder / "r.toml"
        self.path.write_text(THREE)

    def recipe(self, *overrides):
        return load_recipe(self.path, overrides)

    def plan(self, *overrides, replaces=False, **changes):
        plan = seal_plan({**make_plan(self.recipe(*overrides), self.out), **changes})
        return keep_plan(plan, self.root, replaces=replaces)

    def run(self, *overrides, arms=("random", "redrawn"), seeds=(0, 1, 2), **changes):
        recipe = self.recipe(*overrides)
        for arm in (a for a in recipe.arms if a.name in arms):
            for seed in seeds:
                record = new_record(recipe, arm, seed, "cpu") | {"status": "finished"}
                record["scores"] = [
                    score(VALUES[arm.name][seed]),
                    score(0.5, name="2afc/y"),
                    score(VALUES[arm.name][seed], samples_seen=50),
                ]
                if plan := read_plan(self.root):
                    record["plan"] = plan_sha256(plan)
                write_record(self.root / arm.name / f"seed{seed}/record.json", record | changes)

    def plan_sentences(self, *roots, budget="equal", baseline=None):
        lines = sentences(compare(load_runs(roots or [self.root]), budget, baseline))
        return [line for line in lines if "lanned" in line]

    @property
    def name(self):
        return f"(plan of {self.stated['written'][:10]}, {self.stated['sha256'][:12]})"

    @property
    def stated(self):
        return json.loads((self.root / "plan.json").read_text())


def test_a_plan_that_contains_the_texts_of_questions_is_followed_and_stays_unchanged(lab):
    question = {"arm": "redrawn", "reference": "random", "question": "Do equal arms differ (A/A)?"}
    lab.plan(contrasts=[question])
    lab.run()
    assert lab.plan_sentences() == [f"As planned {lab.name}."]
    assert lab.plan().endswith("is unchanged.")
    assert list(departures_before(lab.recipe(), lab.out)) == []


def test_a_plan_with_another_question_is_reported_with_both_texts(lab):
    lab.plan(contrasts=[{"arm": "redrawn", "reference": "random", "question": "Is it worth it?"}])
    lab.run()
    assert lab.plan_sentences() == [
        f"Not as planned {lab.name}: redrawn - random was planned to ask "
        '"Is it worth it?", but asks "Do equal arms differ (A/A)?".'
    ]


def test_a_plan_contains_all_statements_before_the_runs(lab):
    lab.plan("verdict.noise=0.5", "verdict.primary=top1/x")
    plan = lab.stated
    assert plan["hypothesis"] == (
        "redrawn and random do not differ; differences within 2 points do not matter."
    )
    assert (plan["seeds"], plan["verdict"]["delta"]) == ([0, 1, 2], 2.0)
    assert plan["contrasts"] == [
        {
            "arm": "redrawn",
            "reference": "random",
            "question": "noise",
            "text": "Do equal arms differ (A/A)?",
        }
    ]
    assert [arm["fingerprint"] for arm in plan["arms"]] == [
        lab.recipe().fingerprint(arm) for arm in lab.recipe().arms
    ]
    assert plan["sha256"] == plan_sha256(plan)
    text = (lab.root / "plan.md").read_text()
    assert text == plan_text(plan)
    for words in (
        f"SHA-256 {plan['sha256']}", "* Delta: 2 points", "* Primary score: top1/x", "* Seeds: 0, 1, 2",
        "with a noise of 0.5 points, 3 seeds detect a true difference of", "## Existing runs\n\n* none",
        "redrawn = random (fingerprint", "--set verdict.noise=0.5", "Measured by: two-afc",
    ):  # fmt: skip
        assert words in text, words


def test_a_plan_contains_no_credentials_or_markup(lab):
    lab.plan("summary=<img src=x> from https://me:hush@example.org/judgments.csv")
    for name in ("plan.json", "plan.md"):
        assert "hush" not in (lab.root / name).read_text()
        assert "example.org" in (lab.root / name).read_text()
    assert "&lt;img src=x>" in (lab.root / "plan.md").read_text()


def test_a_stated_hypothesis_is_used_verbatim(lab):
    lab.plan("verdict.hypothesis=Redrawing does nothing.")
    assert lab.stated["hypothesis"] == "Redrawing does nothing."


def test_runs_that_follow_the_plan_are_reported_as_planned(lab):
    lab.plan()
    lab.run(seeds=(0, 1))
    assert lab.plan_sentences() == [f"As planned so far, with 4 of 6 runs finished {lab.name}."]
    lab.run(seeds=(2,))
    assert lab.plan_sentences() == [f"As planned {lab.name}."]


def test_no_sentence_mentions_a_plan_without_a_plan(lab):
    lab.run()
    assert lab.plan_sentences() == []


@pytest.mark.parametrize(
    ("done", "sentence"),
    [
        (lambda lab: lab.run("seeds=[0,1,2,3]", seeds=(0, 1, 2, 3)),
         "added: random, redrawn, seed 3."),
        (lambda lab: lab.run("seeds=[0,1]", seeds=(0, 1)),
         "planned but missing: random, redrawn, seed 2."),
        (lambda lab: lab.run("verdict.delta=3"),
         "[verdict] delta was 2.0 in the plan, and is 3.0 now."),
        (lambda lab: lab.run("verdict.primary=2afc"),
         "[verdict] primary was not stated in the plan, and is 2afc now."),
        (lambda lab: lab.run("verdict.max_seeds=5"),
         "[verdict] max_seeds was not stated in the plan, and is 5 now."),
        (lambda lab: lab.run("eval.0.judgments.seed=9"),
         "other settings of random, redrawn: eval.judgments.seed."),
        (lambda lab: lab.run("baseline=redrawn"), "the baseline was random, and is redrawn here."),
    ],
    ids=["seed added", "seed dropped", "delta", "primary", "rule", "settings", "baseline"],
)  # fmt: skip
def test_a_departure_from_the_plan_is_reported(lab, done, sentence):
    lab.plan()
    done(lab)
    assert f"Not as planned {lab.name}: {sentence}" in lab.plan_sentences()


def test_a_changed_baseline_changes_the_contrasts(lab):
    lab.plan()
    lab.run()
    assert lab.plan_sentences(baseline="redrawn") == [
        f"Not as planned {lab.name}: the baseline was random, and is redrawn here.",
        f"Not as planned {lab.name}: redrawn - random is not compared.",
        f"Not as planned {lab.name}: random - redrawn is compared.",
    ]


def test_scores_before_the_end_of_the_runs_are_a_departure(lab):
    lab.plan()
    lab.run()
    sentence = f"Not as planned {lab.name}: the runs are compared after 50 pairs instead of at their end."
    assert lab.plan_sentences(budget=50) == [sentence]


def test_a_stated_primary_score_is_used_and_its_absence_is_reported(lab):
    lab.plan("verdict.primary=2afc")
    lab.run("verdict.primary=2afc")
    assert compare(load_runs([lab.root])).primary.name == "2afc/y"
    assert lab.plan_sentences() == [f"As planned {lab.name}."]
    lab.plan("verdict.primary=knn", replaces=True)
    lab.run("verdict.primary=knn")
    assert "the primary score knn was not measured, and top1/x replaces it." in lab.plan_sentences()[1]


def test_runs_that_precede_the_plan_are_reported(lab):
    lab.run(seeds=(0,), started="2026-01-01T00:00:00+00:00")
    lab.plan()
    (row, _) = lab.stated["records"]
    assert (row["arm"], row["seed"], row["status"]) == ("random", 0, "finished")
    lab.run()  # also after they are repeated
    sentence = "2 of 6 runs existed before it: random, redrawn, seed 0."
    assert lab.plan_sentences() == [f"Not as planned {lab.name}: {sentence}"]


def test_a_plan_that_changed_after_the_first_runs_is_reported(lab):
    lab.plan(written="2026-01-01T00:00:00+00:00")
    old = lab.stated["sha256"][:12]
    lab.run(seeds=(0,))
    stays = r"differs from the new plan in verdict, hypothesis\. Add --replace"
    with pytest.raises(UsageError, match=stays):
        lab.plan("verdict.delta=3")
    message = lab.plan("verdict.delta=3", replaces=True, written="2999-01-01T00:00:01+00:00")
    assert f"plan of 2026-01-01, {old} is kept as plan-{old}.json" in message
    assert json.loads((lab.root / f"plan-{old}.json").read_text())["verdict"]["delta"] == 2.0
    lab.run("verdict.delta=3", seeds=(1, 2), started="2999-01-01T00:00:00+00:00")
    assert [line.partition("): ")[2] for line in lab.plan_sentences()] == [
        f"it was changed after runs had started, when its hash was {old}: random, redrawn, seed 0."
    ]


def test_an_edited_plan_is_reported(lab):
    lab.plan()
    old = lab.stated["sha256"]
    path = lab.root / "plan.json"
    path.write_text(path.read_text().replace('"delta": 2.0', '"delta": 9.0'))
    lab.run("verdict.delta=9")
    (line,) = lab.plan_sentences()
    assert f"the plan was edited after it was written, when its hash was {old[:12]}." in line
    assert lab.stated["sha256"] == old
    assert plan_sha256(lab.stated)[:12] in line
    before = list(departures_before(lab.recipe("verdict.delta=9"), lab.out))
    assert before == [f"not as planned: {path} was edited after it was written. Restore the file"]


def test_a_plan_added_after_the_runs_is_reported(lab):
    lab.run()
    lab.plan(written="2026-01-01T00:00:00+00:00", records=[])
    (line,) = lab.plan_sentences()
    assert line.endswith("these runs started without it: random, redrawn, seeds 0, 1, 2.")


def test_an_invalid_plan_is_reported_and_stops_a_run_before_it_starts(lab):
    lab.plan()
    lab.run()
    (lab.root / "plan.json").write_text('{"schema": 1, "sha256": "x"}')
    assert lab.plan_sentences() == [
        f"Not as planned: {lab.root / 'plan.json'}: not a plan (written: required, but not given). "
        "Restore the file, or move it away."
    ]
    with pytest.raises(DataError, match=r"not a plan \(written: required"):
        run_recipe(lab.recipe(), out=lab.out)


def test_a_plan_with_a_number_that_is_not_finite_is_reported(lab):
    lab.plan()
    lab.run()
    path = lab.root / "plan.json"
    path.write_text(path.read_text().replace('"delta": 2.0', '"delta": 1e999'))
    (line,) = lab.plan_sentences()
    assert "plan.json: not a plan (a number is not finite)" in line


def test_writing_an_identical_plan_keeps_the_file(lab):
    lab.plan(written="2026-01-01T00:00:00+00:00")
    lab.run()
    assert lab.plan().endswith("is unchanged.")
    assert lab.stated["written"] == "2026-01-01T00:00:00+00:00"
    assert "is unchanged." not in lab.plan(replaces=True, prospects=["the power of other pilot runs"])


def test_the_tuning_rule_is_part_of_the_plan(lab):
    tune = """
[tune]
measure = "2afc"
trials = 2
[tune.eval]
use = "two-afc"
split = "val"
judgments = { use = "synthetic", seed = 3, num_train = 24, num_val = 8, num_test = 24, image_size = 16 }
[tune.space]
pretrain.lr = { low = 1e-4, high = 1e-2, scale = "log" }
[pretrain]
use = "clip"
pairs = { use = "synthetic", num_pairs = 20 }
"""
    lab.path.write_text(THREE + tune)
    lab.plan()
    text = (lab.root / "plan.md").read_text()
    assert "* all arms equally: 2 trials in each of 3 searches, by 2afc of two-afc on validation data" in text
    assert "* pretrain.lr from 0.0001 to 0.01 (log)" in text
    with pytest.raises(UsageError, match="differs from the new plan in tune"):
        lab.plan("tune.trials=3")


def test_a_stopping_rule_allows_the_seeds_that_it_adds(lab):
    rule = ("verdict.max_seeds=4", "verdict.delta=0.1")
    lab.plan(*rule)
    assert lab.stated["stopping"].startswith("From 3 seeds, one more after each look until")
    lab.run(*rule)
    so_far = f"As planned so far, with 3 of at most 4 seeds and not yet decided {lab.name}."
    assert lab.plan_sentences() == [so_far]
    lab.run(*rule, "seeds=[0,1,2,3]", seeds=(3,))
    assert lab.plan_sentences() == [f"As planned {lab.name}."]


def test_the_json_output_contains_the_plan(lab):
    lab.plan()
    lab.run()
    comparison = compare(load_runs([lab.root]))
    plan = json.loads(json_table(Judged.of(comparison), comparison.matching(())))["plan"]
    assert (plan["delta"], plan["sha256"]) == (2.0, lab.stated["sha256"])


def test_pilot_runs_predict_the_power_of_the_planned_seeds(lab, tmp_path):
    lab.run()
    recipe = lab.recipe("seeds=[3,4,5,6,7]", "verdict.delta=0.5")
    (line,) = make_plan(recipe, tmp_path / "new", [lab.root])["prospects"]
    assert line.startswith(
        "redrawn - random in top1/x, with the variance of 3 pilot seeds [and its 80 % range]: 5 seeds call a true "
        "difference of 0.5 points better with "
    )
    assert "and one of 1 point with" in line
    assert "equal arms equivalent with" in line
    (line,) = make_plan(
        lab.recipe("seeds=[3,4]", "verdict.delta=0.1"), tmp_path / "new", [lab.root], anyway=True
    )["prospects"]
    at_delta, at_twice = map(int, re.findall(r"(\d+) % \[", line))
    assert 0 < at_delta < at_twice < 100
    lab.path.write_text(THREE.replace('"redrawn"', '"third"'))
    (line,) = make_plan(lab.recipe(), tmp_path / "new", [lab.root])["prospects"]
    assert line.startswith("unknown from the existing runs: no two arms")  # redrawn is not in this recipe
    lab.path.write_text(THREE)
    lab.run(seeds=(0, 1, 2), scores=[score(0.5, samples_seen=5)], arms=("redrawn",))
    (line,) = make_plan(recipe, tmp_path / "new", [lab.root])["prospects"]
    assert line.startswith("unknown from the existing runs: the runs ended after different numbers")


def test_without_delta_the_power_is_that_of_one_deviation_of_the_pilot_runs(lab, tmp_path):
    lab.run()
    lab.path.write_text(THREE.replace(VERDICT, ""))
    (line,) = make_plan(lab.recipe("seeds=[3,4,5]"), tmp_path / "new", [lab.root])["prospects"]
    floor = 100 * compare(load_runs([lab.root])).primary.floor  # larger than that of 0.1, -0.1 and 0.1 points
    assert f"a true difference of {floor:.1f} points (one standard deviation) better with" in line
    assert f"and one of {2 * floor:.1f} points with" in line


def test_a_plan_is_checked_with_the_noise_of_pilot_runs(lab, tmp_path):
    # differences of 0.1, -0.1 and 0.1 points have a standard deviation of 0.12
    lab.run()
    few = lab.recipe("verdict.delta=0.1", "verdict.noise=0.001", "seeds=[3,4]")
    with pytest.raises(
        UsageError,
        match=r"2 seeds detect a true difference of delta \(0.1 points\) with only \d+ % probability",
    ):
        make_plan(few, tmp_path / "new", [lab.root])
    assert make_plan(few, tmp_path / "new", [lab.root], anyway=True)["prospects"]
    assert make_plan(few, tmp_path / "new")["prospects"]  # by [verdict] noise
    many = lab.recipe("verdict.delta=0.1", "verdict.noise=50", f"seeds={list(range(3, 43))}")
    assert make_plan(many, tmp_path / "new", [lab.root])["prospects"]


def test_pilot_runs_are_compared_with_the_baseline_of_the_plan(lab, tmp_path):
    lab.run()
    recipe = lab.recipe("baseline=redrawn", "verdict.delta=0.5")
    (line,) = make_plan(recipe, tmp_path / "new", [lab.root])["prospects"]
    assert line.startswith("random - redrawn in top1/x, with the variance of 3 pilot seeds")


def test_runs_of_several_folders_are_reported(lab, tmp_path, monkeypatch):
    lab.plan()
    minutes = (f"2099-01-01T00:{minute:02d}:00+00:00" for minute in range(60))  # the last runs are the newest
    monkeypatch.setattr("perceptinit.results.record.now", lambda: next(minutes))
    lab.run()
    other = tmp_path / "other"
    for arm in ("random", "redrawn"):
        (other / arm).mkdir(parents=True)
        (lab.root / arm / "seed2").rename(other / arm / "seed2")
    folders = [run.parent for root in (lab.root, other) for run in root.rglob("record.json")]
    sentences = " ".join(lab.plan_sentences(*folders))
    assert f"runs of several folders are compared: {other}, {lab.root}." in sentences


def test_a_recipe_that_departs_from_its_plan_is_reported_before_the_run(lab):
    lab.plan()
    assert list(departures_before(lab.recipe(), lab.out)) == []
    (departure,) = departures_before(lab.recipe("seeds=[0,1]", "eval.0.judgments.seed=9"), lab.out)
    assert departure.startswith("not as planned: seeds, arms, shared of this recipe differ from")


def test_the_page_shows_the_plan(lab):
    lab.plan()
    lab.run()
    html = render(Judged.of(compare(load_runs([lab.root]))), with_examples=False)
    assert f"As planned {lab.name}." in html
    assert f'<pre class="text"># Plan of looks\n\nWritten {lab.stated["written"]}' in html
    assert "Not as planned" not in html
    lab.run("verdict.delta=3")
    changed = render(Judged.of(compare(load_runs([lab.root]))), with_examples=False)
    assert f'<p class="limit">Not as planned {lab.name}: [verdict] delta was 2.0 in the plan' in changed
    (lab.root / "plan.json").unlink()
    assert "Plan of" not in render(Judged.of(compare(load_runs([lab.root]))), with_examples=False)


def test_a_run_with_the_hash_of_the_plan_counts_as_later_than_the_plan(lab):
    lab.plan()
    lab.run(started="2026-01-01T00:00:00+00:00")
    assert lab.plan_sentences() == [f"As planned {lab.name}."]
