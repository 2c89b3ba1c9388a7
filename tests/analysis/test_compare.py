"""Comparisons of arms against statistics computed by hand, and reports of missing runs."""

import csv
import io
import json
import math

import pytest
from helpers.judging import sentences
from helpers.made_runs import RECIPE, record, score, three_by_three, write
from rich.console import Console

from perceptinit.analysis.compare import compare
from perceptinit.analysis.contrasts import Contrast
from perceptinit.analysis.power import noncentrality
from perceptinit.analysis.questions import CONTROL, NO_PEOPLE, OTHERWISE, STRUCTURE, WORTH
from perceptinit.analysis.statistics import estimate, p_value
from perceptinit.errors import UsageError
from perceptinit.reports.tables import rich_table, sets_lines
from perceptinit.results.locks import lock
from perceptinit.results.measures import family_of
from perceptinit.results.runs import load_runs
from perceptinit.verdict.headline import Judged
from perceptinit.verdict.stage_one import read_rise
from perceptinit.verdict.verdict import verdict

PI = Contrast("pi", "random", WORTH)


def compared(folder, records, **options):
    return compare(load_runs([write(folder, records)]), **options)


@pytest.fixture
def printed(cli):
    """Return a function that runs `perceptinit compare` and returns its standard output."""

    def run(*arguments, code=0):
        done = cli("compare", *arguments)
        assert done.returncode == code, done.stderr
        return done.stdout

    return run


def without(records, *cells):
    return [r for r in records if (r["arm"]["name"], r["seed"]) not in cells]


def test_the_p_value_of_three_differences_is_that_of_a_paired_t_test():
    # t = 0.03 / (0.01 / sqrt 3) = 5.19615 with 2 degrees of freedom, p = 1 - t / sqrt(t^2 + 2)
    assert p_value(estimate([0.03, 0.04, 0.02])) == pytest.approx(1 - 5.19615 / math.sqrt(29), abs=1e-5)
    assert p_value(estimate([0.03])) is None
    assert p_value(estimate([0.03, 0.03])) is None


def test_sets_are_counted_by_the_sign_of_their_difference(tmp_path):
    gains = {"cifar10": 0.1, "mnist": 0.2, "stl10": 0.0, "vtab/dtd": 0.4, "food101": -0.5}
    baseline = [score(0.5, name=f"top1/{name}") for name in gains]
    arm = [score(0.5 + gain, name=f"top1/{name}") for name, gain in gains.items()]
    (count,) = compared(tmp_path, [record("random", 0, baseline), record("pi", 0, arm)]).over_sets
    assert (count.wins, count.ties, count.losses, count.num_sets) == (3, 1, 1, 5)


def test_the_detectable_difference_agrees_with_published_power():
    # G*Power: 34 pairs show d = 0.5 standard deviations with 80.8 % chance, 33 with 79.5 %
    for num, low, high in ((34, 0.49, 0.5), (33, 0.5, 0.51)):
        assert low < noncentrality(num - 1) / math.sqrt(num) < high


def test_a_paired_difference_has_an_interval_and_a_relative_effect(tmp_path):
    (top1,) = compared(tmp_path, three_by_three()).scores
    difference = top1.difference(PI)
    # half width: t(0.975, 2) = 4.30265 times 0.01 / sqrt 3
    assert difference.value.mean == pytest.approx(0.03)
    assert difference.value.low == pytest.approx(0.03 - 4.30265 * 0.01 / math.sqrt(3), abs=1e-6)
    assert difference.value.high == pytest.approx(0.03 + 4.30265 * 0.01 / math.sqrt(3), abs=1e-6)
    assert difference.relative == pytest.approx(0.03 / 0.52)


def test_the_headline_answers_both_contrasts(tmp_path):
    # both differences of pi and shuffled are 0.05 in every seed: their deviation is at least 1 / (50 sqrt 12)
    normal = "3 seeds)."
    assert sentences(compared(tmp_path, three_by_three())) == [
        "pi, first trained on judgments of people, scores 55.0 %, and random 52.0 %: +3.0 points (95 % "
        "interval +0.5 to +5.5, 3 seeds).",
        "pi is better than random on these 50 images; whether it matters is open, because [verdict] states "
        "no delta.",
        "Zero-shot top-1 accuracy on x (50 images), after 100 image-text pairs seen.",
        "Below 6 seeds, intervals assume that differences are normally distributed.",
        f"Is it worth it? pi is better than random by 3.0 points (95 % interval +0.5 to +5.5, {normal}",
        "Is it the human structure? pi is better than shuffled by 5.0 points "
        f"(95 % interval +3.6 to +6.4, {normal}",
        "No run failed; 3 seeds cannot exclude a failure rate of 63 % in an arm.",
    ]


def test_an_undecided_difference_reports_the_smallest_detectable_difference(tmp_path):
    records = [record("random", s, 0.5) for s in range(3)]
    records += [record("pi", s, v) for s, v in enumerate((0.49, 0.50, 0.52))]
    (top1,) = compared(tmp_path, records).scores
    result = verdict(top1, PI)
    assert result.outcome == "undecided"
    assert result.sentence.startswith("pi against random is undecided: +0.3 points (95 %")
    assert "is detected in 8 of 10 experiments" in result.sentence


def test_one_seed_has_no_interval(tmp_path):
    (top1,) = compared(tmp_path, [record("random", 0, 0.5), record("pi", 0, 0.6)]).scores
    assert verdict(top1, PI).sentence == (
        "pi is 10.0 points above random in the only common seed; one seed has no interval."
    )


def test_runs_with_equal_scores_are_reported_as_equal(tmp_path):
    records = [record(arm, s, 0.5) for arm in ("random", "pi") for s in range(2)]
    (top1,) = compared(tmp_path, records).scores
    assert verdict(top1, PI).sentence == "pi equals random exactly in every seed (2 seeds)."


def test_a_lower_error_is_reported_as_better(tmp_path):
    less = {"name": "error/x", "higher_is_better": False}
    records = [record("random", s, [score(0.5 + s / 100, **less)]) for s in range(3)]
    records += [record("pi", s, [score(0.4 + s / 100, **less)]) for s in range(3)]
    (error,) = compared(tmp_path, records).scores
    assert verdict(error, PI).outcome == "better"


def test_unequal_budgets_are_refused_with_the_option_that_aligns_them(tmp_path):
    records = [record("random", 0, [score(0.3, 100)])]
    records += [record("pi", 0, [score(0.2, 100), score(0.9, 200)])]
    with pytest.raises(UsageError) as error:
        compared(tmp_path, records)
    assert "random: 100 samples; pi: 200 samples" in str(error.value)
    assert "--at 100" in str(error.value)
    at = compared(tmp_path, records, budget=100)
    assert at.scores[0].difference(PI).value.mean == pytest.approx(-0.1)
    assert not [problem for problem in at.problems if "no scores at" in problem]
    late = compared(tmp_path, records, budget=200).problems
    assert "random, seed 0: no scores at 200 samples (it has 100)" in late
    unequal = compared(tmp_path, records, budget="unequal")
    assert unequal.scores[0].difference(PI).value.mean == pytest.approx(0.6)
    assert any(p.startswith("Budgets differ") for p in unequal.problems)
    assert "The arms are not equally trained" in " ".join(sentences(unequal))
    assert "not equally trained" not in " ".join(sentences(at))


def test_an_arm_with_a_post_hoc_stage_is_compared_after_that_stage(tmp_path):
    records = [record("random", 0, [score(0.3)]), record("pi", 0, [])]
    records[1]["arm"]["resolved"]["posthoc"] = [{"use": "triplet-hinge"}]
    records[1]["scores"] = [score(0.9, 50), score(0.3, 100), score(0.2, 100, stage="posthoc")]
    assert compared(tmp_path, records).scores[0].arm("pi").value.mean == 0.2
    with pytest.raises(UsageError, match="no run has scores at 50 samples"):
        compared(tmp_path / "at", records, budget=50)


def test_each_run_that_is_excluded_from_a_mean_is_listed(tmp_path):
    records = without(three_by_three(), ("pi", 2), ("random", 2), ("shuffled", 2))
    records[1] = record("random", 1, 0.9, status="failed", error="TrainingError: the loss is nan")
    records[2]["scores"] = [score(None)]
    records[3]["scores"] = []
    result = compared(tmp_path, records, budget="unequal")
    text = "\n".join(result.problems)
    assert "random, seed 1: failed after 100 samples (TrainingError: the loss is nan)" in text
    assert "random, seed 2: not started; it is excluded from every mean" in text
    assert "pi, seed 0: top1/x is not a finite number; it is excluded from that mean" in text
    assert "pi, seed 1: top1/x was not measured; it is excluded from that mean" in text
    assert result.scores[0].arm("pi").value is None
    assert result.scores[0].arm("pi").missing == (0, 1, 2)
    assert result.scores[0].arm("random").by_seed == {0: 0.50}
    assert result.scores[0].difference(PI) is None


def test_a_running_record_without_a_process_is_reported_as_stopped(tmp_path):
    folder = write(tmp_path, [record("random", 0, 0.5, status="running")])

    def state():
        return {(r.arm, r.seed): r.state for r in load_runs([folder]).runs}

    assert state()["random", 0] == "stopped"
    with lock(folder / "random" / "seed0"):
        assert state()["random", 0] == "running"
    (folder / "pi" / "seed0").mkdir(parents=True)  # died before its first record
    assert state()["pi", 0] == "stopped"
    assert state()["pi", 1] == "not started"
    (folder / "pi" / "seed0" / "record.json").write_text("{")
    assert state()["pi", 0] == "unreadable"


def test_runs_that_differ_in_pretraining_are_refused_with_the_difference(tmp_path):
    records = [record("random", 0, 0.5), record("pi", 0, 0.6)]
    records[1]["arm"]["resolved"]["pretrain"]["epochs"] = 9
    with pytest.raises(UsageError, match="differ in more than their initialization") as error:
        compared(tmp_path, records)
    assert '"epochs": 9' in str(error.value)


def test_the_same_run_in_two_folders_is_refused(tmp_path):
    first = write(tmp_path / "a", [record("pi", 0, 0.5)])
    second = write(tmp_path / "b", [record("pi", 0, 0.6)])
    with pytest.raises(UsageError, match="pi, seed 0 is in two folders"):
        load_runs([first, second])


def test_averages_over_sets_require_every_set(tmp_path):
    sets = ("cifar10", "vtab/dtd", "mnist", "stl10")
    records = [
        record(arm, s, [score(base + i / 100, name=f"top1/{n}") for i, n in enumerate(sets)])
        for arm, base in (("random", 0.3), ("pi", 0.4))
        for s in range(2)
    ]
    records[0]["scores"].pop()  # random, seed 0 has no stl10
    result = compared(tmp_path, records)
    averages = {a.name: a for a in result.averages}
    assert list(averages) == [
        "top1/mean of 2 vtab sets",
        "top1/mean of 2 misc sets",
        "top1/mean of 4 sets",
    ]
    total = averages["top1/mean of 4 sets"]
    assert total.arm("pi").value.mean == pytest.approx(0.415)
    assert total.arm("random").by_seed == pytest.approx({1: 0.315})
    assert total.arm("random").missing == (0, 2)
    assert averages["top1/mean of 2 vtab sets"].arm("random").value.num == 2
    assert result.primary is total
    (over_sets,) = result.over_sets
    assert (over_sets.wins, over_sets.losses) == (4, 0)
    assert list(sets_lines(result)) == ["pi - random, top1 over 4 data sets: 4 wins, 0 ties, 0 losses"]


@pytest.mark.parametrize(
    ("data_set", "family"),
    [
        ("imagenet1k", "imagenet"),
        ("wds_imagenet-a_test", "ood"),
        ("vtab/dtd", "vtab"),
        ("wds_vtab-cifar100", "vtab"),
        ("cars", "fine-grained"),
        ("stl10", "misc"),
        ("retrieval/flickr_1k_test_image_text_retrieval", "retrieval"),
        ("mine", "other"),
    ],
)
def test_families_are_those_of_the_paper(data_set, family):
    assert family_of(data_set) == family


def test_compare_prints_table_verdict_and_problems(cli, tmp_path):
    write(tmp_path / "runs", without(three_by_three(), ("pi", 2)))
    (tmp_path / "made.toml").write_text(RECIPE.format(seeds=[0, 1, 2]))
    done = cli("compare", "made.toml", "--all")
    assert done.returncode == 0, done.stderr
    assert "52.0 ± 1.2" in done.stdout  # random: s.e. 0.02 / sqrt 3
    assert "+3.5 [-2.9, +9.9]" in done.stdout  # 0.03 and 0.04; t(0.975, 1) = 12.706, s.e. 0.005
    assert "2 of 3" in done.stdout
    assert "pi, seed 2: not started; it is excluded from every mean" in done.stdout


def test_a_narrow_terminal_shows_all_columns(cli, tmp_path):

    def long(v):
        return [score(v, name="spread/a-long-name", chance=None)]

    values = {"random": (0.1, 0.2), "pi": (0.3, 0.5), "shuffled": (0.2, 0.3)}
    records = [record(a, s, long(v)) for a, of in values.items() for s, v in enumerate(of)]
    shown = cli("compare", write(tmp_path, records), COLUMNS="80").stdout
    assert "seeds" in shown
    assert shown.count("2 of 3") == 3


def test_csv_and_json_contain_unrounded_numbers(printed, tmp_path):
    folder = write(tmp_path, three_by_three())
    lines = list(csv.DictReader(io.StringIO(printed(folder, "--format", "csv"))))
    row = next(r for r in lines if r["arm"] == "pi" and r["reference"] == "random")
    assert float(row["difference"]) == pytest.approx(0.03)
    assert float(row["p_value"]) == pytest.approx(0.0351, abs=1e-4)
    value = json.loads(printed(folder, "--format", "json"))
    assert value["values"]["top1/x"]["pi"] == {"0": 0.53, "1": 0.56, "2": 0.56}
    assert len(value["runs"]) == 9


def test_markdown_and_latex_tables_contain_rounded_means_and_intervals(printed, tmp_path):
    folder = write(tmp_path, three_by_three())
    markdown = printed(folder, "--format", "markdown")
    assert (
        "| top1/x | pi | 55.0 ± 1.0 | +3.0 [+0.5, +5.5] | +5.0 [+3.6, +6.4] | 55.0, 70.0 | 3 of 3 |"
        in markdown
    )
    latex = printed(folder, "--format", "latex")
    assert r"top1/x & $52.0 \pm 1.2$ & $55.0 \pm 1.0$ & $50.0 \pm 1.0$ \\" in latex
    assert r"\quad vs random &  & $+3.0 [+0.5, +5.5]$ & $-2.0" in latex


def test_the_column_of_2afc_is_empty_for_arms_without_stage_1_and_absent_without_any(printed, tmp_path):
    title = "val 2AFC before, after stage 1"
    markdown = printed(write(tmp_path, three_by_three()), "--format", "markdown")
    assert title in markdown
    assert "| top1/x | random | 52.0 ± 1.2 |  |  |  | 3 of 3 |" in markdown
    alone = [record("random", seed, 0.5) for seed in range(2)]
    assert title not in printed(write(tmp_path / "alone", alone), "--format", "markdown")


def test_agreement_with_the_judgments_of_training_is_not_held_out(printed, tmp_path):
    records = three_by_three()
    for one in records:
        for stage in one["init"]:
            stage["metrics"] = {"2afc_train_before": 0.5, "2afc_train_after": 0.9}
    assert "2AFC before" not in printed(write(tmp_path, records), "--format", "markdown")


def test_held_out_2afc_is_a_mean_over_finished_runs_and_below_narrow_tables(cli, printed, tmp_path):
    records = three_by_three()
    seed_1 = next(r for r in records if (r["arm"]["name"], r["seed"]) == ("pi", 1))
    seed_1["init"][0]["metrics"] |= {"2afc_val_before": 0.58, "2afc_val_after": 0.76}
    folder = write(tmp_path, records)
    # means: (0.55 + 0.58 + 0.55) / 3 and (0.70 + 0.76 + 0.70) / 3
    found = json.loads(printed(folder, "--format", "json"))["held_out_2afc"]
    assert found["pi"] == pytest.approx([0.56, 0.72])
    assert found["random"] is None
    narrow = cli("compare", folder, "--all", COLUMNS="80").text
    assert "val 2AFC before, after stage 1: pi 56.0, 72.0; shuffled 55.0, 70.0" in narrow


def test_table_and_verdict_read_held_out_2afc_of_the_same_stage(printed, tmp_path):
    records = three_by_three()
    for one in records:
        for stage in list(one["init"]):
            later = {"2afc_test_before": 0.7, "2afc_test_after": 0.9, "2afc_val_after": 0.8}
            one["init"].append({"stage": "init.1", "metrics": later})
            stage["metrics"] |= {"2afc_train_before": 0.1, "2afc_train_after": 0.2, "2afc_test_after": 0.3}
    folder = write(tmp_path, records)
    assert json.loads(printed(folder, "--format", "json"))["held_out_2afc"]["pi"] == pytest.approx(
        [0.55, 0.7]
    )
    rises = [read_rise(run) for run in load_runs([folder]).finished if run.arm == "pi"]
    assert [(rise.before, rise.after, rise.stderr) for rise in rises] == [(0.55, 0.7, 0.01)] * 3


def test_compare_reports_invalid_arguments_in_one_sentence(cli, tmp_path):
    folder = write(tmp_path, three_by_three())
    for arguments, sentence in (
        (["nowhere"], "nowhere: no such folder. Give a folder of runs, such as runs/quickstart"),
        ([folder, "--at", "last"], "--at last: expected a number of samples seen, or end"),
        ([folder, "--score", "top5/*"], "no score matches 'top5/*'. Did you mean 'top1/x'?"),
        ([folder, "--baseline", "rand"], "no arm called 'rand'. Did you mean 'random'?"),
        (
            [folder, "--at", "7"],
            "no run has scores at 7 samples seen. Available: random, seed 0: 100",
        ),
    ):
        done = cli("compare", *arguments)
        assert done.returncode == 2
        assert sentence in done.stderr


def test_compare_without_a_finished_run_exits_with_1(printed, tmp_path):
    folder = write(tmp_path, [record("random", 0, 0.5, status="interrupted")])
    shown = printed(folder, code=1)
    assert "No run has finished with a score that could be compared." in shown
    assert "random, seed 0: interrupted after 100 samples; it is excluded from every mean" in shown


def test_contrasts_pair_human_votes_with_shuffled_votes(tmp_path):
    contrasts = compared(tmp_path, three_by_three()).contrasts
    assert contrasts == (
        PI,
        Contrast("shuffled", "random", CONTROL),
        Contrast("pi", "shuffled", STRUCTURE),
    )


def question_of_pi(folder, change):
    """Return the question of the contrast pi - shuffled after a change to both records."""
    records = three_by_three()
    for one in records:
        change(one["arm"])
    return compared(folder, records).contrasts[-1].question


def test_a_control_with_different_settings_cannot_test_the_human_structure(tmp_path):
    def change(arm):
        if arm["name"] == "shuffled":
            arm["resolved"]["init"][0]["epochs"] = 80

    assert question_of_pi(tmp_path, change) == OTHERWISE.format("init.epochs")


def test_a_control_that_differs_in_another_stage_cannot_test_the_human_structure(tmp_path):
    def change(arm):
        arm["resolved"]["posthoc"] = [{"use": "lsuv", "share": float(arm["name"] == "pi")}]

    records = three_by_three()
    for one in records:
        change(one["arm"])
        one["scores"][0]["stage"] = "posthoc"
    assert compared(tmp_path, records).contrasts[-1].question == OTHERWISE.format("posthoc.share")


def test_shuffled_votes_of_a_program_cannot_test_the_human_structure(tmp_path):
    def answer_by_program(arm):
        arm["by_people"] = False

    assert question_of_pi(tmp_path, answer_by_program) == NO_PEOPLE


def test_the_table_states_how_each_arm_differs(printed, tmp_path):
    sentence = "shuffled = init, but judgments through shuffled-votes"
    records = three_by_three()
    for one in records:
        if one["arm"]["name"] == "shuffled":
            one["arm"]["difference"] = sentence
    folder = write(tmp_path, records)
    assert sentence in printed(folder, "--all")
    assert f"* {sentence}\n" in printed(folder, "--all", "--format", "markdown")
    assert f"% {sentence}\n" in printed(folder, "--format", "latex")
    assert json.loads(printed(folder, "--format", "json"))["differences"] == [sentence]


def shown_in(columns, comparison):
    """Return the heading and rows of the first table in a terminal of this width."""
    console = Console(width=columns, file=io.StringIO())
    console.print(rich_table(Judged.of(comparison), comparison.matching(())))
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= columns
    lines = [" ".join(line.split()) for line in lines]
    rule = next(i for i, line in enumerate(lines) if "───" in line)
    return lines[rule - 1], lines[rule + 1 : lines.index("", rule)]


def test_a_table_that_is_too_wide_has_one_row_per_difference(tmp_path):
    comparison = compared(tmp_path, three_by_three())
    headings, rows = shown_in(120, comparison)
    assert (
        headings == "arm mean ± s.e. vs random [95 %] vs shuffled [95 %] val 2AFC before, after stage 1 seeds"
    )
    assert len(rows) == 3
    headings, rows = shown_in(66, comparison)
    assert headings == "arm mean ± s.e. seeds vs [95 %]"
    assert rows == [
        "random 52.0 ± 1.2 3 of 3",
        "pi 55.0 ± 1.0 3 of 3 random +3.0 [+0.5, +5.5]",
        "shuffled +5.0 [+3.6, +6.4]",
        "shuffled 50.0 ± 1.0 3 of 3 random -2.0 [-4.5, +0.5]",
    ]


def test_a_score_above_1e100_is_excluded_and_reported(tmp_path):
    records = three_by_three()
    records[0]["scores"][0]["value"] = 1e308
    comparison = compare(load_runs([write(tmp_path, records)]))
    assert (
        "random, seed 0: top1/x is larger than 1e+100; it is excluded from that mean" in comparison.problems
    )


def test_a_record_with_a_number_that_is_not_finite_is_unreadable(tmp_path):
    folder = write(tmp_path, [record("random", 0, 0.5), record("pi", 0, float("nan"))])
    run = load_runs([folder]).arm_runs("pi")[0]
    assert run.state == "unreadable"
    assert "contains a number that is not finite" in run.reason
