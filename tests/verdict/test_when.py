"""When leads emerge, in sentences: `compare --when`."""

import csv
import io
import json

import pytest
from helpers.command_line import ROOT, run_command
from helpers.made_runs import record, score, three_by_three, write

STARTS = {"random": (0.10, 0.12, 0.11), "pi": (0.11, 0.11, 0.12)}
ENDS = {"random": (0.50, 0.52, 0.54), "pi": (0.53, 0.55, 0.57)}  # the lead is 0.03 in each seed


def runs_of(folder, *names, early=None, **more):
    """Write runs of two arms with two evaluations on each data set. early: values at 50 samples."""
    records = []
    for arm, values in ENDS.items():
        for seed, value in enumerate(values):
            rows = []
            for name in names:
                rows.append(score((early or STARTS)[arm][seed], 50, name=name, **more))
                rows.append(score(value, 100, name=name, **more))
            records.append(record(arm, seed, rows))
    return write(folder, records)


def when(folder, *options):
    return run_command(("compare", str(folder), "--when", *options), folder.parent)


def test_a_lead_of_the_last_evaluation_alone_is_late_and_not_lasting(tmp_path):
    done = when(runs_of(tmp_path, "top1/x"))
    assert done.stdout.splitlines()[:2] == [
        "pi - random, top1/x: emerged by 100 samples seen (late).",
        "Data sets of top1 in which a lead emerged: pi - random in 1 of 1 (0.025 expected by chance).",
    ]


def test_a_lead_that_was_lost_and_came_back_emerged_again(tmp_path):
    folder = runs_of(tmp_path, "top1/x")
    for path in folder.glob("*/seed*/record.json"):
        one = json.loads(path.read_text())
        lead = 0.3 if one["arm"]["name"] == "pi" else 0.0
        values = (0.3 + lead + one["seed"] / 100, 0.4 + one["seed"] / 100, 0.5 + lead + one["seed"] / 100)
        one["scores"] = [score(value, 100 * n) for n, value in enumerate(values, start=1)]
        path.write_text(json.dumps(one))
    assert "pi - random, top1/x: emerged again by 300 samples seen (late)." in when(folder).stdout
    (row,) = json.loads(when(folder, "--format", "json").stdout)
    assert row["again"] is True


def test_a_lead_that_was_larger_is_fading(tmp_path):
    early = {"random": (0.20, 0.22, 0.24), "pi": (0.50, 0.52, 0.54)}
    done = when(runs_of(tmp_path, "top1/x", early=early))
    expected = "emerged by 50 samples seen (fading from +30.0 points at 50 to +3.0 points at 100)."
    assert f"pi - random, top1/x: {expected}" in done.stdout


def test_lower_values_of_an_error_are_a_lead(tmp_path):
    done = when(runs_of(tmp_path, "cross_entropy/x", higher_is_better=False, chance=None))
    assert "pi - random, cross_entropy/x: not emerged." in done.stdout


def test_the_mean_over_sets_comes_first_and_the_number_by_chance_counts_sets(tmp_path):
    lines = when(runs_of(tmp_path, "top1/a", "top1/b")).stdout.splitlines()
    assert [line.partition(":")[0] for line in lines[:3]] == [
        "pi - random, top1/mean of 2 sets",
        "pi - random, top1/a",
        "pi - random, top1/b",
    ]
    assert "pi - random in 2 of 2 (0.05 expected by chance)" in lines[3]


def test_evaluations_after_the_chosen_number_of_samples_do_not_count(tmp_path):
    folder = runs_of(tmp_path, "top1/x")
    for path in folder.glob("*/seed*/record.json"):
        one = json.loads(path.read_text())
        one["scores"].append(score(0.6, 200))
        path.write_text(json.dumps(one))
    assert "pi - random, top1/x: not emerged (fading from" in when(folder).stdout
    assert "pi - random, top1/x: emerged by 100" in when(folder, "--at", "100").stdout


def test_csv_and_json_contain_the_lead_at_each_evaluation(tmp_path):
    folder = runs_of(tmp_path, "top1/x")
    (row,) = json.loads(when(folder, "--format", "json").stdout)
    assert (row["arm"], row["emerged_by"], row["lasting"], row["samples_seen"]) == (
        "pi",
        100,
        False,
        [50, 100],
    )
    assert row["lead"] == pytest.approx([1 / 300, 0.03])
    (line,) = csv.DictReader(io.StringIO(when(folder, "--format", "csv").stdout))
    assert (line["emerged_by"], line["samples_seen"]) == ("100", "50 100")


def test_markdown_is_a_list_and_latex_is_refused(tmp_path):
    folder = runs_of(tmp_path, "top1/x")
    assert when(folder, "--format", "markdown").stdout.startswith("* pi - random, top1/x: emerged by")
    refused = when(folder, "--format", "latex")
    assert refused.returncode == 2
    assert "--when does not support --format latex. Choose csv, json or markdown" in " ".join(
        refused.stderr.split()
    )


def test_runs_with_one_evaluation_are_refused_with_the_setting(tmp_path):
    done = when(write(tmp_path, three_by_three()))
    assert done.returncode == 2
    assert 'Evaluate during pretraining, with every = "epoch"' in " ".join(done.stderr.split())


def test_two_printed_forms_are_refused(tmp_path):
    done = when(runs_of(tmp_path, "top1/x"), "--explain")
    assert "--explain does not support --when. Choose one" in " ".join(done.stderr.split())


def test_the_lead_of_people_on_1000_pairs_emerges_by_10752_samples():
    command = ("compare", "recipes/known_effects/pairs_1000.toml", "--out", "docs/results", "--when")
    found = next(line for line in run_command(command, ROOT).stdout.splitlines() if "people - random" in line)
    assert found.startswith("people - random, top1/unseen: emerged by 10,752 samples seen (fading from +3.2")
    assert found in (ROOT / "docs/compare.md").read_text()
