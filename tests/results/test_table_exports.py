"""Tables as other tools write them lead to the right measure, or to a question that names the candidates."""

import re
from pathlib import Path

import pandas
import pytest
from helpers.made_tables import read_text

from perceptinit.analysis.compare import compare
from perceptinit.cli.common import parse_columns
from perceptinit.errors import DataError, UsageError
from perceptinit.results.run_tables import TableOptions, load_results
from perceptinit.results.table_layouts import FIELDS

TABLES = Path(__file__).parent / "tables"
ARMS = {"random": (0.70, 0.71, 0.69), "pi": (0.72, 0.74, 0.71)}


def read(name, *columns):
    options = TableOptions(baseline="random", delta=0.5, columns=parse_columns(columns, FIELDS))
    return compare(load_results([TABLES / name], options=options))


def list_rows(**more):
    return [
        {"arm": arm, "seed": seed, "measure": "acc", "value": value, **more}
        for arm, own in ARMS.items()
        for seed, value in enumerate(own)
    ]


# --- exports -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "columns", "candidates"),
    [
        ("lightning_metrics.csv", (), "val_acc, val_loss"),
        ("typed_lm_eval.jsonl", (), "acc,none, acc_norm,none"),
        ("typed_helm_stats.jsonl", ("measure=name.name",), "exact_match, quasi_exact_match"),
    ],
)
def test_several_measures_of_an_export_are_asked_for_without_those_of_training(name, columns, candidates):
    with pytest.raises(DataError, match=re.escape(f"may be 'value': {candidates}. Choose one")):
        read(name, *columns)


@pytest.mark.parametrize(
    ("name", "columns", "score"),
    [
        ("lightning_metrics.csv", ("value=val_acc",), "val_acc"),
        ("typed_lm_eval.jsonl", ("value=acc,none",), "acc,none/mean of 2 sets"),
        ("typed_helm_stats.jsonl", ("measure=name.name,value=exact_match",), "exact_match"),
    ],
)
def test_the_named_measure_of_an_export_decides(name, columns, score):
    found = read(name, *columns).primary
    assert (found.name, found.is_share, found.higher_is_better) == (score, True, True)
    lead = next(d for d in found.differences if d.contrast.arm == "orthogonal")
    assert 0.015 < lead.value.low < lead.value.high < 0.025


def test_logged_steps_without_the_measure_are_not_evaluations():
    assert set(read("lightning_metrics.csv", "value=val_acc").primary.samples_seen.values()) == {199}


@pytest.mark.parametrize("measure", ["top-1", "acc,none"])
def test_a_measure_of_a_wide_table_is_understood(measure, tmp_path):
    rows = [{"model": r["arm"], "run_seed": r["seed"], "task": "x", measure: r["value"]} for r in list_rows()]
    pandas.DataFrame(rows).to_csv(tmp_path / "wide.csv", index=False)
    (score,) = compare(load_results([tmp_path / "wide.csv"], options=TableOptions(baseline="random"))).scores
    assert (score.name, score.is_share) == (f"{measure}/x", True)


def test_several_measures_of_a_long_table_are_asked_for_and_one_can_be_named(tmp_path):
    rows = [f"{arm},{seed},{name},{20 + value}" for name in ("bleu", "rouge") for arm, own in ARMS.items() for seed, value in enumerate(own)]  # fmt: skip
    text = "\n".join(["arm,seed,measure,value", *rows]) + "\n"
    with pytest.raises(DataError, match="more than one measure may be 'value': bleu, rouge"):
        read_text(tmp_path, text)
    assert [s.name for s in compare(read_text(tmp_path, text, columns={"value": "rouge"})).scores] == [
        "rouge"
    ]


def test_a_measure_of_training_never_decides(tmp_path):
    rows = [f"{arm},{seed},{name},{value}" for name in ("train_acc", "bleu") for arm, own in ARMS.items() for seed, value in enumerate(own)]  # fmt: skip
    assert compare(read_text(tmp_path, "\n".join(["arm,seed,measure,value", *rows]))).primary.name == "bleu"


# --- files ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("is_lines", [False, True])
def test_flat_rows_of_json_are_a_table(is_lines, tmp_path):
    path = tmp_path / ("rows.jsonl" if is_lines else "rows.json")
    pandas.DataFrame(list_rows()).to_json(path, orient="records", lines=is_lines)
    score = compare(load_results([path], options=TableOptions(baseline="random"))).primary
    assert score.arm("pi").by_seed == dict(enumerate(ARMS["pi"]))


def test_json_that_is_not_rows_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"one object with the keys results, configs, not a list of records"):
        read_text(tmp_path, '{"results": {"arc": {"acc,none": 0.5}}, "configs": {}}', "results.json")


def test_a_pickle_is_refused_with_the_reason(cli, tmp_path):
    pandas.DataFrame(list_rows()).to_pickle(tmp_path / "rows.pkl")
    text = cli("compare", "rows.pkl", "--baseline", "random").text
    assert "unpickling executes what the file contains. Save the table as CSV or Parquet" in text


# --- columns -------------------------------------------------------------------------------------------------------
def test_all_missing_columns_are_in_one_message_with_a_command(tmp_path):
    text = "name,kind,acc,auc\na,x,0.5,0.6\na,x,0.6,0.61\nb,y,0.7,0.71\nb,y,0.72,0.7\n"
    with pytest.raises(DataError) as caught:
        read_text(tmp_path, text)
    message = str(caught.value)
    for reason in ("no column for 'seed' in name, kind, acc, auc", "'arm': name, kind", "'value': acc, auc"):
        assert reason in message
    assert message.endswith("results.csv --columns seed=COLUMN,arm=name,value=acc")


def test_the_command_repeats_the_columns_that_are_named(tmp_path):
    text = "kind,rng,acc,auc\na,0,0.5,0.6\na,1,0.6,0.61\nb,0,0.7,0.71\nb,1,0.72,0.7\n"
    with pytest.raises(DataError, match=r"--columns arm=kind,value=acc$"):
        read_text(tmp_path, text, columns={"arm": "kind"})


def test_the_column_that_separates_rows_of_a_run_is_named(tmp_path):
    rows = "random,0,acc,0.5,1,a\nrandom,0,acc,0.6,2,a\npi,0,acc,0.6,1,a\n"
    message = (
        "row 2: the run has more than one row for acc. They differ in fold: name what it is, or keep one"
    )
    with pytest.raises(DataError, match=message):
        read_text(tmp_path, f"arm,seed,measure,value,fold,gpu\n{rows}")


# --- means ---------------------------------------------------------------------------------------------------------
MEANS = "arm,measure,mean,sd,n\nrandom,top1,77.6,0.2,3\npi,top1,79.4,0.3,4\n"


def test_means_with_sd_and_n_are_compared_by_welchs_test(tmp_path):
    runs = read_text(tmp_path, MEANS, delta=0.5)
    assert "means with sd and n, compared by Welch's test" in runs.source.layout
    (found,) = compare(runs).primary.differences
    # scipy.stats.ttest_ind_from_stats(79.4, .3, 4, 77.6, .2, 3, equal_var=False).confidence_interval()
    stderr = (0.3**2 / 4 + 0.2**2 / 3) ** 0.5 / 100
    degrees = (0.3**2 / 4 + 0.2**2 / 3) ** 2 / ((0.3**2 / 4) ** 2 / 3 + (0.2**2 / 3) ** 2 / 2)
    assert (found.value.stderr, found.value.degrees) == (pytest.approx(stderr), pytest.approx(degrees))
    assert (found.num_runs, found.p_signs) == ((4, 3), None)


def test_means_have_an_answer_and_the_number_of_their_runs(verb, tmp_path):
    (tmp_path / "means.csv").write_text(MEANS)
    text = verb("compare", "means.csv", "--baseline", "random", "--delta", "0.5")
    assert "pi is worth it" in text
    assert "4 and 3 runs" in text
    assert "one run" not in text


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("0.2,3", "-0.2,3", "sd is not a standard deviation"),
        ("0.2,3", "0.2,1", "n is not a number of runs, at least 2"),
        ("0.2,3", "0.002,3", "sd may be 0.002 or 0.2 points beside these means"),
        ("77.6,0.2,3\npi,top1,79.4", "0.776,1.2,3\npi,top1,0.794", "sd may be 1.2 or 120 points beside these means"),
    ],
)  # fmt: skip
def test_means_without_a_spread_in_their_unit_are_refused(old, new, message, tmp_path):
    with pytest.raises(DataError, match=f"row 2: {message}"):
        read_text(tmp_path, MEANS.replace(old, new))


# --- units ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("cell", ["1.2", "-0.1", "173"])
def test_a_share_with_a_cell_outside_its_range_is_an_error_with_the_row(cell, tmp_path):
    text = "\n".join(
        ["arm,seed,measure,value", "random,0,acc,0.5", "random,1,acc,0.6", f"pi,0,acc,{cell}", "pi,1,acc,0.6"]
    )
    with pytest.raises(DataError, match="row 4: acc"):
        read_text(tmp_path, text)


def test_a_delta_that_may_be_a_share_is_named_and_makes_no_arm_equivalent(verb, tmp_path):
    rows = [f"{arm},{seed},acc,0.7{seed}" for arm in ("random", "pi") for seed in range(4)]
    (tmp_path / "equal.csv").write_text(
        "\n".join(["arm,seed,measure,value,num_items", *(f"{r},100" for r in rows)])
    )
    text = verb("compare", "equal.csv", "--baseline", "random", "--delta", "0.005", "--all")
    assert "The delta of 0.005 points may be a share: then set 0.5." in text
    assert "0.0 points (delta)" not in text
    assert "makes no difference that matters" not in text


def test_a_delta_above_the_range_of_shares_is_refused(tmp_path):
    runs = pandas.DataFrame(list_rows()).to_csv(index=False)
    with pytest.raises(UsageError, match="expected less than 100 points") as caught:
        read_text(tmp_path, runs, delta=150)
    assert caught
