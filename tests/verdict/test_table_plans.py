"""Plans of runs in a table: written from a TOML file, and compared with the table."""

import pytest

PLAN = """
arms = ["random", "pi", "mimetic"]
seeds = [0, 1, 2, 3]
baseline = "random"
[verdict]
delta = 0.5
primary = "top1"
[columns]
arm = "init"
"""
HEADER = "init,seed,measure,value,num_items"
VALUES = {
    "random": (70.0, 70.2, 69.9, 70.1),
    "pi": (72.1, 72.2, 71.9, 72.0),
    "mimetic": (70.1, 70.1, 70.0, 70.1),
}


def write_table(folder, values=VALUES):
    rows = [
        f"{arm},{seed},top1,{value},5000" for arm, own in values.items() for seed, value in enumerate(own)
    ]
    (folder / "results.csv").write_text("\n".join([HEADER, *rows]) + "\n")


def summary(verb, folder, *options, plan=PLAN, values=VALUES):
    """Return the lines of the comparison of a table with its plan."""
    (folder / "results.toml").write_text(plan)
    verb("preregister", "results.toml")
    write_table(folder, values)
    return verb(
        "compare",
        "results.csv",
        "--plan",
        "runs/results/plan.json",
        "--all",
        "--format",
        "markdown",
        *options,
    )


def test_a_table_that_follows_its_plan_is_as_planned(verb, tmp_path):
    assert "* As planned (plan of " in summary(verb, tmp_path)


def test_an_edited_plan_refuses_every_claim_and_has_an_exit_code(verb, tmp_path):
    assert "pi is worth it" in summary(verb, tmp_path)
    plan = tmp_path / "runs/results/plan.json"
    plan.write_text(plan.read_text().replace('"delta": 0.5', '"delta": 0.1'))
    compared = ("compare", "results.csv", "--plan", "runs/results/plan.json")
    text = verb(*compared, "--all", "--format", "markdown")
    refused = "No claim is made, because the plan was edited after it was written"
    assert text.startswith(f"{refused}: +2.0 points against random (72.0 and 70.0 %; ")
    assert f"* {refused}: pi scores 72.0 %" in text
    assert "which does not show that it is worth it: the plan was edited after it was written" in text
    assert "pi is worth it on" not in text
    verb(*compared, "--exit-code", code=13)


def test_the_first_arm_of_a_plan_is_in_no_family(verb, tmp_path):
    text = summary(verb, tmp_path)
    assert "pi scores 72.0 %, and random 70.0 %: +2.0 points (95 % interval" in text
    plan = (tmp_path / "runs/results/plan.md").read_text()
    assert "Family: pi - random: 95 % interval; mimetic - random: simultaneous 95 % intervals" in plan
    assert "fingerprint" not in plan


@pytest.mark.parametrize(
    ("options", "values", "departure"),
    [
        (("--delta", "1"), VALUES, "[verdict] delta was 0.5 in the plan, and is 1.0 now."),
        ((), {**VALUES, "extra": (70.0, 71.0, 70.0, 70.5)}, "added: extra, seeds 0, 1, 2, 3."),
        (("--baseline", "mimetic"), VALUES, "the baseline was random, and is mimetic here."),
    ],
)
def test_a_departure_from_the_plan_is_named(options, values, departure, verb, tmp_path):
    text = summary(verb, tmp_path, *options, values=values)
    assert departure in text
    assert "As planned" not in text


def test_a_planned_run_that_the_table_lacks_refutes_that_every_run_has_a_score(verb, tmp_path):
    text = summary(verb, tmp_path, values={**VALUES, "pi": VALUES["pi"][:3]})
    assert "1 of 4 runs of pi has no score (not in the table)" in text
    assert "3 seeds" in text  # paired over the common seeds


def test_added_seeds_need_a_stopping_rule(verb, tmp_path):
    more = {arm: (*own, own[0] + 0.1) for arm, own in VALUES.items()}
    assert "Seeds were added without a stopping rule: 4 seeds first, 5 now." in summary(
        verb, tmp_path, values=more
    )
    planned = PLAN.replace("delta = 0.5", "delta = 0.5\nmax_seeds = 8")
    (tmp_path / "runs/results/plan.json").unlink()
    assert "without a stopping rule" not in summary(verb, tmp_path, plan=planned, values=more)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            'baseline = "random"',
            'baseline = "rand"',
            "baseline: no arm called 'rand'. Did you mean 'random'?",
        ),
        ("seeds = [0, 1, 2, 3]", "seeds = [0]", "seeds: expected at least two different values"),
        ('arm = "init"', 'arms = "init"', "columns: no field called 'arms'. Did you mean 'arm'?"),
        ("delta = 0.5", "delta = 0.5\nmax_seeds = 3", "max_seeds is 3, fewer than the 4 seeds"),
    ],
)
def test_an_invalid_plan_is_refused(old, new, message, cli, tmp_path):
    (tmp_path / "results.toml").write_text(PLAN.replace(old, new))
    assert message in cli("preregister", "results.toml").text


def replace_plan(verb, folder, old, new):
    """Replace the plan by one with another text."""
    path = folder / "results.toml"
    path.write_text(path.read_text().replace(old, new))
    verb("preregister", "results.toml", "--replace")


def test_each_replaced_plan_is_a_departure_with_the_answer_under_it(verb, tmp_path):
    (tmp_path / "results.toml").write_text(PLAN.replace("delta = 0.5", "delta = 3"))
    verb("preregister", "results.toml")
    replace_plan(verb, tmp_path, "delta = 3", "delta = 2.2")
    replace_plan(verb, tmp_path, "delta = 2.2", "delta = 0.5")
    write_table(tmp_path)
    text = verb("compare", "results.csv", "--plan", "runs/results/plan.json", "--all", "--format", "markdown")
    assert "As planned" not in text
    first, second = [line for line in text.split(" * ") if "it replaced the plan of " in line]
    assert "With that plan: pi - random equivalent instead of better by more than delta." in first
    assert "With that plan: pi - random equivalent instead of better by more than delta." in second
    assert "pi is worth it on" not in text
    assert "the answer is: equivalent" in text


def test_a_replaced_plan_with_the_same_answers_leaves_the_claim(verb, tmp_path):
    (tmp_path / "results.toml").write_text(PLAN.replace("delta = 0.5", "delta = 0.4"))
    verb("preregister", "results.toml")
    replace_plan(verb, tmp_path, "delta = 0.4", "delta = 0.5")
    write_table(tmp_path)
    text = verb("compare", "results.csv", "--plan", "runs/results/plan.json", "--all", "--format", "markdown")
    assert "With that plan: the same answers." in text
    assert "pi is worth it on" in text


def test_a_replaced_plan_with_another_baseline_has_its_own_comparisons(verb, tmp_path):
    (tmp_path / "results.toml").write_text(PLAN.replace('baseline = "random"', 'baseline = "mimetic"'))
    verb("preregister", "results.toml")
    replace_plan(verb, tmp_path, 'baseline = "mimetic"', 'baseline = "random"')
    write_table(tmp_path)
    text = verb("compare", "results.csv", "--plan", "runs/results/plan.json", "--all", "--format", "markdown")
    assert "pi - mimetic better by more than delta instead of not measured" in text
