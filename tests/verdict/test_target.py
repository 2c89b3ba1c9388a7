"""Arms against a number: `compare --target` and `[verdict] target`."""

import numpy as np
from helpers.judging import summary
from helpers.made_tables import read_scores
from scipy import stats

from perceptinit.analysis.compare import compare

NEW = (3.2760, 3.2785, 3.2752, 3.2771, 3.2749)
ROWS = "\n".join(f"new,{seed},loss,{value}" for seed, value in enumerate(NEW))
PLAN = """
arms = ["random", "new"]
seeds = [0, 1, 2]
baseline = "random"
[verdict]
target = 3.28
spread = "own"
spread_from = "earlier.csv"
"""


def readings(values, target, measure="loss", **arms):
    """Return the sentences on an arm `new` and other arms against a target."""
    own = {"new": dict(enumerate(values))} | {name: dict(enumerate(one)) for name, one in arms.items()}
    runs = read_scores(own, baseline="new", measure=measure, target=target)
    return summary(compare(runs)).readings


def test_a_mean_is_better_than_a_target_if_its_one_sided_limit_is(tmp_path):
    low = np.mean(NEW) + stats.t.ppf(0.975, 4) * np.std(NEW, ddof=1) / 5**0.5
    assert low < 3.28
    expected = (
        f"Target 3.28: new is better than the target (mean 3.2763, one-sided 97.5 % limit {low:.4f}, 5 runs)."
    )
    assert readings(NEW, 3.28) == (expected,)


def test_a_mean_on_the_other_side_is_worse():
    assert readings(NEW, 3.27)[0].startswith(
        "Target 3.27: new is worse than the target (mean 3.2763, one-sided 97.5 % limit 3.274"
    )


def test_the_direction_of_the_measure_decides_the_side():
    values = (0.71, 0.72, 0.73)
    (found,) = readings(values, 70, measure="accuracy")
    assert found.startswith(
        "Target 70 %: whether new is better than the target is undecided (mean 72.0, one-sided 97.5 % limit 69.5"
    )
    assert readings(values, 60, measure="accuracy")[0].startswith(
        "Target 60 %: new is better than the target"
    )


def test_an_undecided_mean_states_how_many_more_runs_would_show_it():
    (found,) = readings((3.274, 3.279, 3.273, 3.280), 3.28)
    assert "undecided" in found
    assert found.endswith("more runs would show it with 80 % chance.")


def test_two_more_runs_are_in_the_plural():
    found = {}
    for spread in np.linspace(0.004, 0.012, 17):
        (text,) = readings(3.27 + spread * np.array((-1, 0.2, 0.8)), 3.28)
        if text.endswith("show it with 80 % chance."):
            number, word = text.split(". ")[-1].split(" more ")
            found[number] = word.split(" ")[0]
    assert (found["1"], found["2"]) == ("run", "runs")


def test_the_promised_number_of_runs_shows_a_mean_in_80_percent():
    values = np.array((3.274, 3.279, 3.273, 3.280)) - 3.28
    more = int(readings(values + 3.28, 3.28)[0].split(" more run")[0].rsplit(" ", 1)[1])
    rng = np.random.default_rng(0)
    deviation = values.std(ddof=1) * np.sqrt(3 / rng.chisquare(3, 20_000))
    truth = values.mean() + deviation * rng.standard_normal(20_000) / 2
    new = truth[:, None] + deviation[:, None] * rng.standard_normal((20_000, more))
    both = np.concatenate([np.broadcast_to(values, (20_000, 4)), new], axis=1)
    upper = both.mean(axis=1) + stats.t.ppf(0.975, 3 + more) * both.std(axis=1, ddof=1) / (4 + more) ** 0.5
    assert (upper < 0).mean() > 0.75


def test_runs_without_seeds_are_compared_with_a_target_in_the_same_way():
    paired, unpaired = (
        summary(
            compare(
                read_scores(
                    {"new": dict(enumerate(NEW)), "old": dict(enumerate(NEW[::-1]))},
                    baseline="old",
                    measure="loss",
                    target=3.277,
                    is_unpaired=is_unpaired,
                )
            )
        ).readings
        for is_unpaired in (False, True)
    )
    assert paired[:2] == unpaired[:2]


def test_a_mean_that_is_not_better_promises_nothing():
    assert readings((3.29, 3.27, 3.29), 3.28)[0].endswith("more runs are not expected to show it.")


def test_several_arms_share_the_error_rate():
    found = readings(NEW, 3.28, other=(3.3, 3.31, 3.3))
    assert all("simultaneous one-sided 97.5 % limit" in text for text in found[:2])
    assert found[1].startswith("Target 3.28: other is worse than the target")


def test_one_run_has_no_limit():
    assert readings(NEW[:1], 3.28)[0] == (
        "Target 3.28: one run does not show whether new is better than the target (mean 3.276, 1 run)."
    )


def test_a_target_of_the_command_line_needs_no_baseline_for_one_arm(verb, tmp_path):
    (tmp_path / "new.csv").write_text(f"arm,seed,measure,value\n{ROWS}\n")
    assert "Target 3.28: new is better than the target (" in " ".join(
        verb("compare", "new.csv", "--target", "3.28").split()
    )


def test_a_preregistered_target_is_used_and_another_one_is_a_departure(verb, tmp_path):
    (tmp_path / "results.toml").write_text(PLAN)
    (tmp_path / "earlier.csv").write_text("arm,seed,measure,value\nx,0,loss,3.2\nx,1,loss,3.21\n")
    plan = verb("preregister", "results.toml")
    assert "* Target of the primary score: 3.28" in plan
    assert "* Spread of single runs: that of earlier.csv" in plan
    assert "* Spread over seeds: that of each difference" in plan
    rows = [
        f"{arm},{s},loss,{v + (arm == 'random')}" for arm in ("random", "new") for s, v in enumerate(NEW[:3])
    ]
    (tmp_path / "results.csv").write_text("\n".join(["arm,seed,measure,value", *rows]) + "\n")
    command = ("compare", "results.csv", "--plan", "runs/results/plan.json", "--all", "--format", "markdown")
    shown = verb(*command)
    assert "As planned" in shown
    assert "random is worse than the target" in shown
    assert "[verdict] target was 3.28 in the plan, and is 3.3 now." in verb(*command, "--target", "3.3")


def test_earlier_plans_without_the_keys_have_no_departure(verb, tmp_path):
    (tmp_path / "results.toml").write_text(PLAN.partition("target")[0] + "delta = 0.5\n")
    text = verb("preregister", "results.toml")
    assert "Target" not in text
    assert (
        '"spread'
        not in (tmp_path / "runs/results/plan.json").read_text().split('"verdict": {')[1].split("}")[0]
    )
