"""Published scores in a recipe: validation, and the report of the baseline before the verdict."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.judging import sentences
from helpers.made_runs import record, score, write

from perceptinit.analysis.compare import compare
from perceptinit.analysis.statistics import estimate
from perceptinit.errors import RecipeError
from perceptinit.recipe.reading import load_recipe, read_recipe
from perceptinit.recipe.settings import ExpectConfig
from perceptinit.recipe.shipped import folder_of_shipped
from perceptinit.reports.formats import markdown_table
from perceptinit.reports.report import render
from perceptinit.results.runs import load_runs
from perceptinit.running.readiness import find_obstacles
from perceptinit.running.runner import run_recipe
from perceptinit.verdict.headline import Judged
from perceptinit.verdict.prospects import doubts
from perceptinit.verdict.published import (
    CONFIDENCE,
    decide_published,
    describe_published,
    judge_published,
)

EXPECT = """
[[expect]]
arm = "random"
measure = "top1"
data_set = "x"
value = 32.8
tolerance = 1.0
source = "a table"
"""
RECIPE = """
schema = 1
name = "made"
[backbone]
use = "timm"
model = "vit_tiny_patch16_224"
[pretrain]
use = "clip"
epochs = 32
[pretrain.pairs]
use = "synthetic"
[[eval]]
use = "zero-shot"
datasets = ["x"]
[[arm]]
name = "random"
[[arm]]
name = "pi"
"""
SENTENCE = "top1/x: baseline {} against 32.8 published (a table): {}"


def outcome(folder, values, text=RECIPE + EXPECT, changed=None, **score_keys):
    """Return the case or outcome, and the sentence, for runs of `random` with one value per seed."""
    records = []
    for seed, value in enumerate(values):
        for arm in ("random", "pi"):
            one = record(arm, seed, [score(value, num_examples=10_000, **score_keys)])
            one["recipe"] |= {"text": text, **(changed or {})}
            records.append(one)
    (found,) = judge_published(compare(load_runs([write(folder, records)])))
    return found.case or found.outcome, found.sentence


@pytest.mark.parametrize(
    ("values", "expected", "words"),
    [
        # half the interval: 2.92 standard errors of 0.0577 points
        (
            (0.325, 0.326, 0.327),
            "equivalent",
            "equivalent, within 1 point (90 % interval 32.4 to 32.8",
        ),
        ((0.326,), "one seed", "undecided, one seed has no interval"),
        ((0.240, 0.241, 0.242), "worse", "worse by 8.7 points, more than the allowed 1 point"),
        ((0.390, 0.391, 0.392), "better", "better by 6.3 points (90 % interval"),
        (
            (0.286, 0.326, 0.366),
            "undecided",
            "undecided, the interval is partly outside the allowed 1 point",
        ),
        (
            (0.314, 0.316, 0.318),
            "undecided",
            "undecided, the interval is partly outside the allowed 1 point",
        ),
        (
            (0.318, 0.320, 0.322),
            "undecided",
            "undecided, the interval is partly outside the allowed 1 point",
        ),
    ],
    ids=[
        "equivalent",
        "one seed",
        "worse",
        "better",
        "far apart",
        "at the edge",
        "a mean within, an interval not",
    ],
)
def test_the_baseline_is_judged_by_its_interval_and_the_tolerance(tmp_path, values, expected, words):
    found, sentence = outcome(tmp_path, values)
    assert found == expected
    assert sentence.startswith(SENTENCE.format(f"{100 * sum(values) / len(values):.1f}", words))


def test_a_mean_at_the_tolerance_is_equivalent_in_5_percent_of_experiments():
    """Two one-sided tests have a rate of 5 % at the edge with three seeds."""
    rng = np.random.default_rng(0)
    expected = ExpectConfig(arm="a", measure="top1", data_set="x", value=50, tolerance=1, source="a table")
    num = 0
    for values in rng.normal(0.51, 0.003, (2000, 3)).tolist():
        num += decide_published(estimate(values, CONFIDENCE), expected) == "equivalent"
    assert 60 <= num <= 140


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((0.310, 0.311, 0.312), "equivalent"),
        ((0.340, 0.341, 0.342), "better"),
        ((0.327, 0.328, 0.329), "undecided"),
        ((0.300, 0.301, 0.302), "worse"),
    ],
)
def test_a_score_with_lower_reruns_has_a_one_sided_tolerance(tmp_path, values, expected):
    text = RECIPE + EXPECT.replace("tolerance = 1.0", "tolerance = 2.0\nreruns_are_below = true")
    found, sentence = outcome(tmp_path, values, text)
    assert found == expected
    assert "published (a table; not reproduced by others, whose re-runs are below): " in sentence


def test_a_baseline_below_the_published_score_is_reported_as_weak_evidence(tmp_path):
    _, sentence = outcome(tmp_path, (0.240, 0.241, 0.242))
    assert sentence.endswith("3 seeds); these runs are weak evidence about PI.")


def test_a_missing_score_is_reported_as_not_measured(tmp_path):
    found, sentence = outcome(tmp_path, (0.3,), name="top1/y")
    assert found == "not measured"
    assert sentence == "top1/x: baseline against 32.8 published (a table): undecided, not measured yet."


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"smoke": True}, "smoke run"),
        ({"overrides": ["pretrain.epochs=1"]}, "pretrain.epochs = 1 instead of 32"),
        ({"overrides": ["pretrain.lr=0.1"]}, "pretrain.lr = 0.1 instead of its default"),
    ],
)
def test_runs_with_another_setting_are_not_judged(tmp_path, changed, what):
    found, sentence = outcome(tmp_path, (0.328,), changed=changed)
    assert found == "another setting"
    assert f"undecided, another setting ({what}) is not judged" in sentence


def test_paths_speed_options_and_other_arms_do_not_change_the_setting(tmp_path):
    overrides = [
        "pretrain.num_workers=3",
        "seeds=[5]",
        "pretrain.micro_batch=8",
        "pretrain.max_bad_share=0.2",
        "pretrain.pairs.root='/x'",
    ]
    overrides.append("arm.pi.init=[{use='random'}]")
    text = (RECIPE + EXPECT).replace('use = "synthetic"', 'use = "csv"\npath = "pairs.csv"\nroot = "/y"')
    assert outcome(tmp_path, (0.328,), text, {"overrides": overrides})[0] != "another setting"


PLUGIN = """
from dataclasses import dataclass
from typing import Annotated

from perceptinit.plugin import NEUTRAL, Component, PositiveInt, hookimpl


class Shapes:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        shelf: Annotated[str, NEUTRAL] = ""
        sides: PositiveInt = 3


@hookimpl
def perceptinit_pairs():
    return [Component(name="acme/shapes", target=Shapes, summary="polygons")]
"""


@pytest.mark.parametrize(
    ("override", "expected"),
    [("pretrain.pairs.shelf='b'", False), ("pretrain.pairs.sides=4", True)],
    ids=["a marked key", "another key"],
)
def test_a_plugin_marks_keys_that_do_not_change_the_setting(tmp_path, monkeypatch, override, expected):
    (tmp_path / "acme_shapes.py").write_text(PLUGIN)
    info = tmp_path / "acme_shapes-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme_shapes\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[perceptinit]\nacme = acme_shapes\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PERCEPTINIT_PLUGINS", "acme")
    text = (RECIPE + EXPECT).replace('use = "synthetic"', 'use = "acme/shapes"')
    found, sentence = outcome(tmp_path / "runs", (0.328,), text, {"overrides": [override]})
    assert (found == "another setting") is expected, sentence


def test_a_recipe_like_a_published_one_lists_its_changes(tmp_path):
    base = RECIPE + EXPECT
    own = 'like = "base.toml"\nname = "made"\n[pretrain]\nepochs = 2\n'
    sources = [{"path": "own.toml", "text": own}, {"path": "base.toml", "text": base}]
    changed = {"sources": sources}
    text = base.replace("epochs = 32", "epochs = 2")
    found, sentence = outcome(tmp_path, (0.328,), text=text, changed=changed)
    assert found == "another setting"
    assert "pretrain.epochs = 2 instead of 32" in sentence
    sources[0]["text"] = own + EXPECT  # an overridden value counts as a separate setting
    assert outcome(tmp_path, (0.328,), text=text, changed=changed)[0] != "another setting"


def test_fewer_pairs_than_in_the_published_run_are_another_setting(tmp_path):
    text = RECIPE + EXPECT + "samples_seen = 1000\n"
    found, sentence = outcome(tmp_path, (0.328,), text=text, samples_seen=900)
    assert found == "another setting"
    assert "900 pairs seen instead of 1,000" in sentence
    assert outcome(tmp_path, (0.328,), text=text, samples_seen=995)[0] != "another setting"


def test_a_published_mean_is_compared_over_the_same_number_of_sets_only(tmp_path):
    def over(num_sets):
        text = RECIPE + EXPECT.replace('"x"', f'"all"\nnum_sets = {num_sets}')
        rows = [score(v, name=f"top1/{s}") for s, v in (("x", 0.318), ("y", 0.338))]
        one = record("random", 0, rows)
        one["recipe"]["text"] = text
        (found,) = judge_published(compare(load_runs([write(tmp_path / str(num_sets), [one])])))
        return found

    assert over(2).outcome == "undecided"
    assert over(2).sentence.startswith("top1/mean of 2 sets: baseline 32.8 against 32.8")
    assert over(38).case == "not measured"


def test_the_published_score_is_in_the_table_and_precedes_the_verdict_on_the_page(tmp_path):
    one = record("random", 0, [score(0.328)])
    one["recipe"]["text"] = RECIPE + EXPECT
    comparison = compare(load_runs([write(tmp_path, [one])]))
    (sentence,) = [y.sentence for y in judge_published(comparison)]
    assert sentence in sentences(comparison)
    assert f"* {sentence}" in markdown_table(Judged.of(comparison), comparison.scores)
    html = render(Judged.of(comparison), with_examples=False)
    assert html.index("against 32.8 published") < html.index('class="card summary"')


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('source = "a table"', 'source = " "', "source is empty. Cite the publication of the value"),
        ('source = "a table"', "", "expect.source: required, but not given"),
        ("value = 32.8", "value = 132", "value = 132: expected a percentage from 0 to 100"),
        ("tolerance = 1.0", "tolerance = 0", "expect.tolerance"),
        ('arm = "random"', 'arm = "randon"', "no arm called 'randon'. Did you mean 'random'?"),
        ('data_set = "x"', 'data_set = "all"', 'num_sets is required with data_set = "all"'),
        ("[[expect]]", "[expect]", "expected an array of tables, [[expect]]"),
    ],
)
def test_an_invalid_expectation_is_reported(old, new, sentence):
    with pytest.raises(RecipeError) as raised:
        read_recipe(RECIPE + EXPECT.replace(old, new))
    assert sentence in str(raised.value)


def test_validate_prints_the_expected_score_and_its_source():
    assert list(describe_published(read_recipe(RECIPE + EXPECT))) == [
        "published score: random 32.8 ± 1 in top1/x (a table)"
    ]
    below = RECIPE + EXPECT + "reruns_are_below = true\n"
    assert list(describe_published(read_recipe(below))) == [
        "published score: random 32.8 up to 1 below in top1/x (a table; not reproduced by others, whose re-runs are below)"
    ]
    *_, line = describe_published(read_recipe(RECIPE + EXPECT, overrides=["pretrain.epochs=1"]))
    assert line == "  not comparable with these runs: pretrain.epochs = 1 instead of 32"


def test_an_implausible_value_and_an_unmeasured_set_give_warnings():
    def warnings_of(old, new):
        recipe = read_recipe(RECIPE + EXPECT.replace(old, new))
        return [str(p) for p in doubts(recipe) if p.where.startswith("expect")]

    assert warnings_of("", "") == []
    shares = "value = 0.328\ntolerance = 0.009"
    (share,) = warnings_of("value = 32.8\ntolerance = 1.0", shares)
    assert "0.328 is interpreted as 0.328 %. If it is a share, set 32.8" in share
    (unmeasured,) = warnings_of('"x"', '"imagenet1k"')
    assert "no evaluator of the recipe uses 'imagenet1k'" in unmeasured


OWN_EVALUATOR = """
from dataclasses import dataclass
from perceptinit import Component, hookimpl

@hookimpl
def perceptinit_evaluators():
    return [Component(name="own/probe", target=Probe, summary="an evaluator of the tests")]

class Probe:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        pass
    def __init__(self, config):
        self.config = config
"""


def test_an_evaluator_of_the_recipe_that_does_not_list_its_sets_may_use_any(tmp_path):
    (tmp_path / "own.py").write_text(OWN_EVALUATOR)
    text = 'plugins = ["./own.py"]\n' + RECIPE.replace("[[arm]]", '[[eval]]\nuse = "own/probe"\n[[arm]]', 1)
    recipe = read_recipe(text + EXPECT.replace('"x"', '"imagenet1k"'), folder=tmp_path)
    measured = replace(recipe, verdict=replace(recipe.verdict, primary="top1/imagenet1k"))
    assert [p for p in doubts(measured) if p.where in ("expect.data_set", "verdict.primary")] == []


def test_expectations_do_not_change_fingerprints():
    with_it, without = read_recipe(RECIPE + EXPECT), read_recipe(RECIPE)
    assert [with_it.fingerprint(a) for a in with_it.arms] == [without.fingerprint(a) for a in without.arms]


SHIPPED = sorted((folder_of_shipped() / "yardsticks").glob("*.toml"))
# score, published value, pairs per step, pairs seen, maximum and minimum learning rate, patch size and width of the image tower
TOP1 = "top1/imagenet1k"
SETTINGS = {
    "datacomp_medium": (TOP1, 17.55, 4096, 128_000_000, 5e-4, 0.0, 32, 768),
    "datacomp_small": (TOP1, 2.70, 4096, 12_800_000, 5e-4, 0.0, 32, 768),
    "declip_yfcc15m_b32": (TOP1, 32.8, 4096, 128_001 * 4096, 1e-3, 0.0, 32, 768),
    "deit_small_imagenet": (
        "accuracy/val",
        79.9,
        1024,
        300 * (1_281_167 // 1024) * 1024,
        1e-3,
        1e-5,
        16,
        384,
    ),
    "slip_cc3m_b16": (TOP1, 17.1, 4096, 40 * (3_318_333 // 4096) * 4096, 5e-4, 1e-5, 16, 768),
    "slip_yfcc15m_b16": (TOP1, 37.6, 4096, 25 * (14_829_396 // 4096) * 4096, 5e-4, 1e-5, 16, 768),
    "slip_yfcc15m_s16": (TOP1, 32.7, 4096, 25 * (14_829_396 // 4096) * 4096, 5e-4, 1e-5, 16, 384),
    "vit_tiny_cifar100": ("accuracy/test", 72.4, 512, 300 * (50_000 // 512) * 512, 2e-3, 1e-6, 16, 192),
}


@pytest.mark.parametrize("path", SHIPPED, ids=[path.stem for path in SHIPPED])
def test_a_published_score_states_its_setting_cost_and_value(path, monkeypatch, tmp_path):
    for name in ("NIGHTS", "YFCC15M", "YFCC15M_V2", "CC3M", "DATACOMP", "EVAL", "IMAGENET", "CIFAR100"):
        monkeypatch.delenv(f"{name}_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)  # no data
    recipe = load_recipe(path)
    score, value, batch_size, samples, lr, min_lr, patch, width = SETTINGS[path.stem]
    (first, *_) = recipe.expected
    assert (first.arm, first.score, first.value) == ("random", score, value)
    assert (recipe.warnings, list(doubts(recipe))) == ((), [])
    assert len(list(describe_published(recipe))) == len(recipe.expected)  # all have the setting of the recipe
    plan = recipe.pretrain.build().plan()
    assert plan.num_images == plan.steps * batch_size == samples
    assert abs(samples - (first.samples_seen or samples)) <= 0.01 * samples
    assert (recipe.pretrain.config.lr, recipe.pretrain.config.min_lr) == (lr, min_lr)
    with torch.device("meta"):
        patches = next(p for p in recipe.backbone.build().build().image.parameters() if p.ndim == 4)
    assert tuple(patches.shape) == (width, 3, patch, patch)
    assert recipe.arm("random").init == ()
    absent = re.compile(r"\bno |\bnot found\b")
    assert all(
        absent.search(problem.message) for problem in find_obstacles(recipe)
    )  # missing data is the only obstacle


@pytest.mark.parametrize("name", ["declip_yfcc15m_b32", "deit_small_imagenet", "vit_tiny_cifar100"])
def test_a_published_score_with_many_keys_finishes_a_smoke_run(name, tmp_path):
    recipe = load_recipe(name).smoke()
    (found,) = run_recipe(recipe, arms=["random"], out=tmp_path, device="cpu")
    assert found["status"] == "finished"
    comparison = compare(load_runs([tmp_path / recipe.name]))
    sentence, *others = (each.sentence for each in judge_published(comparison))
    assert "undecided, another setting (smoke run) is not judged" in sentence
    assert len(others) == (name == "vit_tiny_cifar100")  # weight-selection has a published score, too
