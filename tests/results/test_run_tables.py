"""Tables of scores as runs: the columns, known layouts, errors, and records printed as a table."""

import csv
import json
import math
import re
from pathlib import Path

import numpy as np
import pandas
import pytest
from situations.catalogue import SITUATIONS
from situations.made import write_runs

from perceptinit.analysis.compare import compare
from perceptinit.cli.common import parse_columns
from perceptinit.errors import DataError, UsageError
from perceptinit.files.tables import read_table
from perceptinit.reports.formats import json_table, runs_table
from perceptinit.results.run_tables import TableOptions, load_results, read_runs
from perceptinit.results.runs import load_runs
from perceptinit.results.table_layouts import FIELDS
from perceptinit.verdict.headline import Judged

TABLES = Path(__file__).parent / "tables"
HEADER = "arm,seed,measure,value"
RANDOM = ("0.700", "0.710", "0.690", "0.705", "0.695", "0.702")
LEAD = ("0.721", "0.730", "0.711", "0.724", "0.716", "0.723")


def lines(arms, header=HEADER, more=""):
    """Return a table of a score for each arm and seed."""
    rows = [f"{arm},{seed},acc,{value}{more}" for arm, own in arms.items() for seed, value in enumerate(own)]
    return "\n".join([header, *rows]) + "\n"


def read(folder, text, name="results.csv", **options):
    (folder / name).write_text(text)
    return load_results([folder / name], options=TableOptions(**{"baseline": "random", **options}))


def answers(runs):
    comparison = compare(runs)
    return json.loads(json_table(Judged.of(comparison), comparison.scores))


def conditions(found, arm):
    answer = next(a for a in found["answers"] if a["arm"] == arm)
    return {each["condition"]: (each["state"], each["reason"]) for each in answer["conditions"]}


# --- records printed as a table ------------------------------------------------------------------------------------
ROUND_TRIPS = (
    pytest.param("every control beaten", marks=pytest.mark.slow),  # many arms
    "within delta",
    "A/A beyond chance",
    pytest.param("a run of equal starts failed", marks=pytest.mark.slow),
    "a run of random is not finite",
)


@pytest.mark.parametrize("name", ROUND_TRIPS)
def test_records_printed_as_a_table_have_the_same_numbers_and_sentences(name, tmp_path):
    records = load_runs([write_runs(SITUATIONS[name], tmp_path)])
    text = runs_table(records)
    table = read(tmp_path, text, "runs.csv", delta=records.rule.delta)
    before, after = answers(records), answers(table)
    for key in ("scores", "values", "baselines", "over_sets", "problems", "trained_on", "family_wise"):
        assert before[key] == after[key], key
    same = [
        re.sub(r"^(If|Under) [^;]*?, (?=\w+ (is|makes))", "", line)
        for line in after["summary"]
        if not line.startswith("Read: ")
    ]
    assert same == before["summary"]
    assert runs_table(table) == text


def test_a_printed_table_has_a_row_for_each_evaluation(cli, tmp_path):
    runs = write_runs(SITUATIONS["large lead over both"], tmp_path)
    done = cli("compare", runs, "--format", "runs")
    rows = list(csv.DictReader(done.stdout.splitlines()))
    assert [(r["arm"], r["seed"], r["measure"], r["data_set"]) for r in rows[:2]] == [
        ("random", "0", "top1", "cifar10"),
        ("random", "1", "top1", "cifar10"),
    ]
    assert len(rows) == 18


# --- conditions ----------------------------------------------------------------------------------------------------
def test_a_claim_about_a_table_names_what_it_assumes(tmp_path):
    found = answers(read(tmp_path, lines({"random": RANDOM, "pi": LEAD}), delta=0.5))
    assert (
        "If the runs of a seed differ only in the arm, no run is left out, each run is complete and listed once, "
        "no evaluated item was trained on and the analysis was fixed before the runs, pi is worth it on these items."
    ) in found["summary"]
    states = {state for state, _ in conditions(found, "pi").values()}
    assert states == {"shown", "assumed", "does not apply"}


@pytest.mark.parametrize("arm", ["random", "pi"])
@pytest.mark.parametrize("lost", ["nan", "", "inf"])
def test_a_score_that_is_not_finite_refutes_that_every_run_has_one(arm, lost, tmp_path):
    arms = {"random": RANDOM, "pi": LEAD}
    arms[arm] = (*arms[arm][:5], lost)
    found = conditions(answers(read(tmp_path, lines(arms), delta=0.5)), "pi")
    expected = ("refuted", f"1 of 6 runs of {arm} has no score (not measured)")
    assert found["Every planned run of both arms has a finite score."] == expected


@pytest.mark.parametrize("arm", ["random", "pi"])
def test_a_failed_run_refutes_that_every_run_has_a_score(arm, tmp_path):
    text = lines({"random": RANDOM, "pi": LEAD}, f"{HEADER},status", ",finished")
    text = text.replace(
        f"{arm},5,acc,{RANDOM[5] if arm == 'random' else LEAD[5]},finished", f"{arm},5,acc,,crashed"
    )
    found = answers(read(tmp_path, text, delta=0.5))
    expected = ("refuted", f"1 of 6 runs of {arm} has no score (failed)")
    assert conditions(found, "pi")["Every planned run of both arms has a finite score."] == expected
    assert f"{arm}, seed 5: failed; it is excluded from every mean" in found["problems"]


def test_records_never_assume_a_condition(tmp_path):
    records = load_runs([write_runs(SITUATIONS["large lead over both"], tmp_path)])
    states = {state for state, _ in conditions(answers(records), "people").values()}
    assert "assumed" not in states


# --- values --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".xlsx"])
def test_every_kind_of_file_has_the_same_scores(suffix, tmp_path):
    rows = [line.split(",") for line in lines({"random": RANDOM, "pi": LEAD}).splitlines()]
    frame = pandas.DataFrame(rows[1:], columns=rows[0]).astype({"seed": int, "value": float})
    path = tmp_path / f"results{suffix}"
    write = {
        ".csv": frame.to_csv,
        ".tsv": frame.to_csv,
        ".parquet": frame.to_parquet,
        ".xlsx": frame.to_excel,
    }
    write[suffix](path, **({"sep": "\t"} if suffix == ".tsv" else {}), index=False)
    runs = load_results([path], options=TableOptions(baseline="random"))
    assert compare(runs).scores[0].arm("pi").by_seed == dict(enumerate(map(float, LEAD)))


def test_percentages_of_a_known_share_are_shares(tmp_path):
    text = "arm,seed,measure,value\nrandom,0,top1,70\nrandom,1,top1,71\npi,0,top1,72\npi,1,top1,73\n"
    score = compare(read(tmp_path, text, delta=0.5)).scores[0]
    assert (score.is_share, score.arm("pi").value.mean, score.rule.delta) == (True, 0.725, 0.005)


@pytest.mark.parametrize(("measure", "shown"), [("embedding_spread", "0.625"), ("my_score", "0.6")])
def test_descriptive_scores_have_the_decimals_of_records(measure, shown, tmp_path):
    text = lines({"random": (0.625, 2.5), "pi": (3.75, 1.25)}).replace("acc", measure)
    score = compare(read(tmp_path, text)).scores[0]
    assert score.number(0.625) == shown


def test_delta_has_the_unit_of_a_measure_that_is_not_a_share(tmp_path):
    text = "arm,seed,measure,value\nrandom,0,val_loss,3.1\nrandom,1,val_loss,3.2\npi,0,val_loss,3\npi,1,val_loss,3\n"
    score = compare(read(tmp_path, text, delta=0.5)).scores[0]
    assert (score.is_share, score.higher_is_better, score.rule.delta) == (False, False, 0.5)


def test_a_row_for_each_item_gives_the_mean_and_an_interval_over_items(tmp_path):
    rng = np.random.default_rng(0)
    rows = [f"{arm},{s},acc,{float(rng.random() < p)},{i}" for arm, p in (("random", 0.4), ("pi", 0.6))
            for s in range(3) for i in range(50)]  # fmt: skip
    score = compare(read(tmp_path, "\n".join([f"{HEADER},item", *rows]))).scores[0]
    assert score.facts["num_examples"] == 50
    assert score.differences[0].two_way.num == 3
    mean = math.fsum(float(row.split(",")[3]) for row in rows[150:200]) / 50
    assert score.arm("pi").by_seed[0] == pytest.approx(mean)


def test_the_last_evaluation_is_compared_and_at_selects_another(tmp_path):
    header = "arm,seed,measure,step,value"
    rows = [f"{arm},{seed},acc,{step},{(seed + step) / 1000 + lead}"
            for arm, lead in (("random", 0.1), ("pi", 0.2)) for seed in (0, 1) for step in (10, 20)]  # fmt: skip
    runs = read(tmp_path, "\n".join([header, *rows]))
    assert compare(runs).scores[0].samples_seen == {"random": 20, "pi": 20}
    assert compare(runs, 10).scores[0].arm("pi").by_seed[1] == pytest.approx(0.211)


# --- layouts -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "summary", "num_runs"),
    [
        (
            "mlflow_search_runs.csv",
            "mlflow.search_runs: seed = params.seed, arm = params.init, value = metrics.",
            18,
        ),
        (
            "mlflow_page.csv",
            "the CSV of MLflow's page: status = Status, arm = init, value = accuracy + val_loss",
            10,
        ),
        ("wandb_runs.csv", "wandb's run table: status = State, arm = init, value = accuracy + val_loss", 10),
        (
            "wandb_chart.csv",
            "wandb's chart export: step = Step, random-seed0 - val/accuracy = arm random, seed 0",
            10,
        ),
        ("pandas_wide.csv", "a column for each arm: arm = mimetic or orthogonal or random", 18),
        ("pandas_long.parquet", "", 18),
    ],
)
def test_a_known_layout_is_recognized(name, summary, num_runs):
    runs = load_results([TABLES / name], options=TableOptions(baseline="random", delta=0.5))
    comparison = compare(runs)
    assert summary in runs.source.layout
    assert len(runs.runs) == num_runs
    accuracy = next(score for score in comparison.scores if "loss" not in score.measure)
    lead = next(d for d in accuracy.differences if d.contrast.arm == "orthogonal")
    assert 0.015 < lead.value.low < lead.value.high < 0.025


def test_a_crashed_run_of_wandb_is_a_failed_run():
    runs = load_results([TABLES / "wandb_runs.csv"], options=TableOptions(baseline="random"))
    assert [(run.title, run.state) for run in runs.unfinished] == [("orthogonal, seed 3", "failed")]


def test_a_data_frame_is_a_table():
    frame = pandas.read_parquet(TABLES / "pandas_long.parquet")
    indexed = frame.pivot(index="seed", columns="arm", values="value")
    options = TableOptions(baseline="random")
    scores = [compare(load_results([each], options=options)).scores[0] for each in (frame, indexed)]
    assert scores[0].arm("mimetic").by_seed == scores[1].arm("mimetic").by_seed


def test_columns_name_the_fields_of_a_table(tmp_path):
    text = "start,run,top1,other\nrandom,0,0.5,x\nrandom,1,0.6,x\npi,0,0.7,y\npi,1,0.7,z\n"
    runs = read(tmp_path, text, columns=parse_columns(["arm=start,seed=run", "value=top1"], FIELDS))
    assert compare(runs).scores[0].arm("pi").by_seed == {0: 0.7, 1: 0.7}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a,b,seed,acc,lr\nx,u,0,0.5,1\nx,u,1,0.6,1\ny,v,0,0.7,1\ny,v,1,0.7,1\n",
            "more than one column may be 'arm': a, b. Choose one, such as: perceptinit compare ",
        ),
        (
            "init,acc\nrandom,0.5\npi,0.6\n",
            "no column for 'seed' in init, acc. Choose one, such as: perceptinit compare ",
        ),
        (
            "init,acc\nrandom,54.2 ± 0.3\npi,56.3 ± 0.4\n",
            "in init, acc. 'acc' holds means with deviations: use columns mean, sd and n",
        ),
        (
            "init,acc\nrandom,54.2 (0.3)\npi,56.3 (0.4)\n",
            "in init, acc. 'acc' holds means with deviations: use columns mean, sd and n",
        ),
        (
            "init,acc\nrandom 1 (2),0.5\npi,0.6\n",
            "no column for 'seed' in init, acc. Choose one, such as: perceptinit compare ",
        ),
        (
            f"{HEADER}\nrandom,0,acc,0.5\npi,0,acc,0.6\npi,0,acc,0.7\n",
            "row 3: the run has more than one row for acc. Keep one (2 such rows: 3, 4)",
        ),
        (
            f"{HEADER}\nrandom,0,acc,0.5\npi,0,acc,77 %\n",
            "row 3: value is '77 %', not a number with a decimal point",
        ),
        (
            "arm,seed,acc,auc\nrandom,0,0.5,0.6\nrandom,1,0.6,0.6\npi,0,0.7,0.8\npi,1,0.7,0.9\n",
            "more than one column may be 'value': acc, auc. Choose one, such as: perceptinit compare ",
        ),
        (
            f"{HEADER}\nrandom,0,acc,0.62\nrandom,1,acc,0.61\npi,0,acc,0.63\npi,1,acc,63.1\n",
            "row 5: acc has values up to 1 beside values above 1.5, so shares are mixed with percent. Use one unit",
        ),
        (
            f"{HEADER}\nrandom,0,err,0.31\nrandom,1,err,0.30\npi,0,err,29.2\npi,1,err,30.1\n",
            "row 4: err has values up to 1 beside values above 1.5",
        ),
        (
            f"{HEADER},status\nrandom,0,acc,0.5,ok\npi,0,acc,0.6,ok\n",
            "row 2: status is 'ok'. Known: finished, running",
        ),
    ],
)  # fmt: skip
def test_an_invalid_table_names_row_and_column(text, message, tmp_path):
    with pytest.raises(DataError, match=re.escape(message)):
        read(tmp_path, text)


def test_an_unknown_direction_is_asked_for_and_stated_by_an_option(verb, tmp_path):
    rows = [
        f"{arm},{seed},{value + 0.01 * seed}" for arm, value in (("a", 1.0), ("b", 2.0)) for seed in range(4)
    ]
    (tmp_path / "power.csv").write_text("\n".join(["arm,seed,power", *rows]) + "\n")
    command = ("compare", "power.csv", "--baseline", "a", "--delta", "0.1")
    with pytest.raises(
        AssertionError, match=r"the name power does not state whether higher or lower values are better"
    ):
        verb(*command)
    assert "b is worth it" in verb(*command, "--direction", "higher")
    assert "b is not worth it" in verb(*command, "--direction", "lower")


def test_a_measure_without_a_direction_does_not_rank_arms(tmp_path):
    rows = [f"{arm},{seed},{name},{value}" for arm in ("random", "pi") for seed in (0, 1) for name, value in (("kpi", seed), ("acc", 0.5 + seed / 9))]  # fmt: skip
    comparison = compare(read(tmp_path, "\n".join([HEADER, *rows])))
    assert [score.is_diagnostic for score in comparison.scores] == [True, False]
    assert comparison.primary.name == "acc"


def test_the_direction_of_a_plan_counts(tmp_path):
    rows = "random,0,power,1\nrandom,1,power,2\npi,0,power,3\npi,1,power,5\n"
    (tmp_path / "power.csv").write_text(f"{HEADER}\n{rows}")
    plan = {"direction": "lower", "verdict": {"delta": None, "max_seeds": None, "primary": ""}}
    runs = read_runs(read_table(tmp_path / "power.csv"), TableOptions(baseline="random"), plan)
    assert not runs.runs[0].scores[0]["higher_is_better"]


def test_usual_names_of_columns_are_understood_and_training_never_decides(tmp_path):
    header = "method,run_seed,dataset,best_epoch,train_acc,test_acc,runtime"
    rows = [f"{arm},{seed},cifar,{9 - seed},{0.9 + seed / 90},{0.5 + seed / 9},{seed}" for arm in ("random", "pi") for seed in (0, 1)]  # fmt: skip
    (score,) = compare(read(tmp_path, "\n".join([header, *rows]))).scores
    assert (score.name, score.data_set) == ("test_acc/cifar", "cifar")


def test_a_difference_has_one_sign_in_the_table_and_in_sentences(cli, tmp_path):
    rows = [
        f"{arm},{seed},{value + seed / 100}" for arm, value in (("a", 3.1), ("b", 3.0)) for seed in range(3)
    ]
    (tmp_path / "losses.csv").write_text("\n".join(["arm,seed,val_loss", *rows, "a,3,", "b,3,3.02"]) + "\n")
    text = cli("compare", "losses.csv", "--baseline", "a", "--delta", "0.02").stdout
    differences = re.findall(r"[+-]0\.\d\d\d", text)
    assert "lower is better; differences are positive for a better arm" in " ".join(text.split())
    assert len(differences) > 4
    assert {number[0] for number in differences} == {"+"}


def test_a_large_delta_makes_no_arm_equivalent(verb, tmp_path):
    rows = [f"{arm},{seed},loss,{1.9 + 0.01 * seed + shift}" for arm, shift in (("a", 0.0), ("b", 0.02)) for seed in range(5)]  # fmt: skip
    (tmp_path / "losses.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    command = ("compare", "losses.csv", "--baseline", "a", "--delta")
    assert "makes no difference" in verb(*command, "0.3")
    text = verb(*command, "1")
    assert "b makes no difference" not in text
    assert "delta (1.000) is more than a quarter of the possible difference" in text


def test_the_example_of_the_package_has_the_published_answer(verb):
    text = verb("compare", "example")
    assert "impulse is worth it" in text
    assert "+6.7 [+6.0, +7.4]" in text
    records = compare(load_runs([Path(__file__).parents[2] / "docs/results/initializations"]))
    example = compare(load_results([Path("example")]))
    for arm in ("random", "impulse", "mimetic"):
        assert example.primary.arm(arm).by_seed == records.primary.arm(arm).by_seed


def test_how_a_table_was_read_follows_its_measure(tmp_path):
    text = lines({"random": RANDOM, "pi": LEAD}).replace("random,0", "random,9")
    found = answers(read(tmp_path, text, delta=0.5))["summary"]
    (position,) = [place for place, line in enumerate(found) if line.startswith("Read: ")]
    assert found[position - 1].startswith("Acc, ")
    assert found[position].startswith(
        "Read: acc (higher is better, in percent); paired by seed (random: seeds 1 to "
    )


def test_a_gap_is_named_with_a_way_out_and_refutes_that_every_run_is_listed(tmp_path):
    text = "".join(
        row for row in lines({"random": RANDOM, "pi": LEAD}).splitlines(True) if "pi,2," not in row
    )
    runs = read(tmp_path, text, delta=0.5)
    found = answers(runs)
    assert "pi lacks seed 2: run it, or list it with status = failed" in runs.source.layout
    assert conditions(found, "pi")["Every planned run of both arms has a finite score."][0] == "refuted"
    assert next(d for d in compare(runs).primary.differences if d.contrast.arm == "pi").num_runs is None
    text = text.replace("random,2,", "random,12,")  # no other arm has it, so nothing is missing
    assert "lacks" not in read(tmp_path, text).source.layout


def test_a_measure_without_a_direction_is_not_read_as_higher_is_better(tmp_path):
    text = lines({"random": RANDOM, "pi": LEAD})
    runs = read(tmp_path, text + text.replace("acc", "gizmo").partition("\n")[2])
    assert (
        "acc (higher is better, in percent); gizmo (unknown direction, so it does not rank"
        in runs.source.layout
    )


def test_planned_arms_are_read_as_paired_even_if_most_of_their_runs_are_missing(tmp_path):
    plan = {
        "arms": [{"name": "random"}, {"name": "pi"}],
        "seeds": [*range(6)],
        "baseline": "random",
        "verdict": {"delta": 0.5, "max_seeds": None, "primary": ""},
    }
    (tmp_path / "results.csv").write_text(lines({"random": RANDOM, "pi": LEAD[:2]}))
    runs = read_runs(read_table(tmp_path / "results.csv"), TableOptions(), plan)
    assert "paired by seed (random: seeds 0 to 5; pi: seeds 0, 1)" in runs.source.layout
    assert compare(runs).primary.differences[0].num_runs is None


@pytest.mark.parametrize(
    ("arms", "pairing"),
    [
        ({"random": RANDOM, "pi": LEAD}, "not paired by seed (random, pi: seeds 0 to 5)"),
        ({"random": RANDOM[:1], "pi": LEAD[:1]}, "not paired by seed (random, pi: seed 0)"),
    ],
)
def test_arms_that_are_not_paired_are_read_so(tmp_path, arms, pairing):
    assert pairing in read(tmp_path, lines(arms), is_unpaired=len(arms["pi"]) > 1).source.layout


def test_columns_that_are_not_read_are_named(tmp_path):
    text = lines({"random": RANDOM, "pi": LEAD}).replace("\n", ",a100\n").replace(",a100", ",gpu", 1)
    assert read(tmp_path, text).source.layout.endswith("columns not read: gpu.")


def test_an_unknown_baseline_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no arm called 'rando'"):
        read(tmp_path, lines({"random": RANDOM, "pi": LEAD}), baseline="rando")


def test_a_table_needs_a_baseline(tmp_path):
    with pytest.raises(UsageError, match="no baseline"):
        read(tmp_path, lines({"random": RANDOM, "pi": LEAD}), baseline=None)


def test_options_of_tables_are_refused_for_records(cli, tmp_path):
    runs = write_runs(SITUATIONS["large lead over both"], tmp_path)
    assert "--delta, --columns and --plan are for tables" in cli("compare", runs, "--delta", "1").text


# --- answers for scripts -------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("shift", "code"), [(0.05, 0), (0.0001, 10), (-0.05, 11)]
)  # fmt: skip
def test_the_exit_code_is_the_first_answer(shift, code, cli, tmp_path):
    moved = [f"{float(value) + shift + 0.001 * (seed % 2):.4f}" for seed, value in enumerate(RANDOM)]
    (tmp_path / "results.csv").write_text(lines({"random": RANDOM, "pi": moved}))
    options = ("--baseline", "random", "--delta", "0.5")
    assert cli("compare", "results.csv", *options, "--exit-code").returncode == code
    assert cli("compare", "results.csv", *options).returncode == 0


def test_an_undecided_answer_has_its_own_exit_code(cli, tmp_path):
    moved = [f"{float(value) + 0.05 * (seed % 3 - 1):.4f}" for seed, value in enumerate(RANDOM)]
    (tmp_path / "results.csv").write_text(lines({"random": RANDOM, "pi": moved}))
    assert cli("compare", "results.csv", "--baseline", "random", "--exit-code").returncode == 12


def test_markdown_begins_with_the_verdict(cli, tmp_path):
    (tmp_path / "results.csv").write_text(lines({"random": RANDOM, "pi": LEAD}))
    done = cli("compare", "results.csv", "--baseline", "random", "--format", "markdown")
    assert done.stdout.startswith(
        "pi is better than random by 2.1 points on these items (72.1 and 70.0 %; 95 % interval"
    )
