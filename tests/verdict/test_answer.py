"""The answer: one or two sentences first, then at most two on what it does not say, in every format."""

import re
import statistics
from pathlib import Path

import pytest
from helpers.made_runs import record, score, three_by_three, write
from situations.catalogue import SITUATIONS
from situations.made import write_runs

from perceptinit.analysis.compare import compare
from perceptinit.reports.report import write_report
from perceptinit.results.run_tables import load_results
from perceptinit.results.runs import load_runs
from perceptinit.verdict.headline import Judged

PUBLISHED = sorted(
    folder for folder in (Path(__file__).parents[2] / "docs/results").iterdir() if folder.is_dir()
)
FEW = ("beyond-labels", "initializations-longer", "simulated-pairs")
LONGEST_LINE = 80
HASH = re.compile(r"\b(?=\w*\d)[0-9a-f]{8,64}\b")


def judge(*paths):
    return Judged.of(compare(load_results([Path(path) for path in paths])))


def judge_situation(name, folder):
    situation = SITUATIONS[name]
    at = situation.options[situation.options.index("--at") + 1] if "--at" in situation.options else ""
    budget = {"": "equal", "end": "unequal"}.get(at) or int(at)
    return Judged.of(compare(load_runs([write_runs(situation, folder)]), budget))


def list_sentences(judged):
    """Return the sentences of an answer, which keeps the rules of an answer."""
    found = judged.summary
    if found is None:
        return judged.answer
    assert 1 <= len(found.answer) <= 2
    assert len(found.caveats) <= 2
    for sentence in (*found.answer, *found.caveats):
        assert len(sentence.split()) <= 40, sentence
        assert not re.search(r"(?<![\d.+-])1\.0 points", sentence), sentence
        assert len(HASH.findall(sentence)) <= 3, sentence
        assert "probability" not in sentence
    return [*found.answer, *found.caveats]


def test_the_sentences_of_answers_are_short():
    judged = [judge(path) for path in ("example", *(p for p in PUBLISHED if p.name in FEW))]
    lengths = [len(sentence.split()) for each in judged for sentence in list_sentences(each)]
    assert statistics.median(lengths) <= 25


@pytest.mark.slow
def test_the_sentences_of_all_published_answers_and_situations_are_short(tmp_path):
    judged = [judge("example"), *(judge(folder) for folder in PUBLISHED if any(folder.glob("*/seed*")))]
    for index, name in enumerate(SITUATIONS):
        judged.append(judge_situation(name, tmp_path / str(index)))
    lengths = [len(sentence.split()) for each in judged for sentence in list_sentences(each)]
    assert len(judged) > 200
    assert statistics.median(lengths) <= 20


def test_a_lower_score_that_is_better_has_an_answer_with_both_scores():
    (folder,) = (path for path in PUBLISHED if path.name == "beyond-labels")
    assert judge(folder).summary.answer == (
        "people is better than classes by 0.065 (lower is better: 1.906 and 1.972; 95 % interval +0.046 to "
        "+0.085 over 7 seeds and images).",
    )


def test_an_answer_without_pretraining_says_that_nothing_was_pretrained():
    (folder,) = (path for path in PUBLISHED if path.name == "ladder")
    found = judge(folder).summary
    assert found.answer[0] == "imagenet-people and imagenet differ by less than 1 point."
    assert found.caveats[0].startswith("Nothing was pretrained")


def test_an_answer_before_pretraining_does_not_say_that_nothing_was_pretrained(cli):
    (folder,) = (path for path in PUBLISHED if path.name == "drawings")
    text = cli("compare", folder, "--at", 0).text
    assert text.startswith(
        "topics against random is undecided. topics scores 1.7 %, random 2.0 %: -0.3 points"
    )
    assert "These are scores before pretraining, so they do not show the value of topics" in text
    assert "500 examples, before pretraining" in text
    assert "Nothing was pretrained" not in text


def test_one_seed_and_an_unfinished_plan_have_an_answer(tmp_path):
    one = [record(arm, 0, value) for arm, value in (("random", 0.4), ("pi", 0.45))]
    answer = Judged.of(compare(load_runs([write(tmp_path / "one", one)]))).summary.answer
    assert answer[0] == (
        "Whether pi is worth it is undecided: +5.0 points against random (45.0 and 40.0 %; 1 seed)."
    )
    begun = [record("random", 0, 0.4), record("pi", 0, [], status="running")]
    judged = Judged.of(compare(load_runs([write(tmp_path / "begun", begun)])))
    assert judged.summary.answer[0] == "pi and random have no seed with scores of both."
    (alone,) = (path for path in PUBLISHED if path.name == "beyond-labels-soft")
    assert judge(alone).summary.answer == ("Only random has scores, so nothing is compared.",)


def test_equal_arms_within_delta_are_not_called_undecided():
    (folder,) = (path for path in PUBLISHED if path.name == "aa-few-pairs")
    found = judge(folder).summary
    assert found.answer[0].startswith("redrawn and random differ by less than 1 point")
    assert found.caveats[0].startswith("Their difference has a standard deviation of 0.72 over seeds")


def test_several_arms_are_in_two_sentences(tmp_path):
    values = {"random": 0.40, "a": 0.45, "b": 0.30, "c": 0.401}
    records = [
        record(arm, seed, [score(value + 0.001 * seed + 0.0001 * (seed % 2) * len(arm), num_examples=10_000)])
        for arm, value in values.items()
        for seed in range(6)
    ]
    for one in records:
        one["arm"]["resolved"]["init"] = (
            [] if one["arm"]["name"] == "random" else [{"use": one["arm"]["name"]}]
        )
    first, others = Judged.of(compare(load_runs([write(tmp_path, records)]))).summary.answer
    assert first.startswith("a is better than random")
    assert others.startswith("Other arms against random in points: b -10.0 (worse)")


def test_of_many_further_arms_three_of_each_outcome_are_named(tmp_path):
    names = ["random", *(f"model-{i:02d}" for i in range(30))]
    records = [
        record(name, seed, [score(0.4 + 0.01 * (place % 3) + 0.001 * ((seed * place) % 5))])
        for place, name in enumerate(names)
        for seed in range(4)
    ]
    for one in records:
        one["arm"]["resolved"]["init"] = (
            [] if one["arm"]["name"] == "random" else [{"use": one["arm"]["name"]}]
        )
    others = Judged.of(compare(load_runs([write(tmp_path, records)]))).summary.answer[1]
    named = re.findall(r"model-\d\d", others)
    more = [int(number) for number in re.findall(r"and (\d+) more", others)]
    assert len(named) + sum(more) == 29
    assert len(named) <= 3 * len(re.findall(r"\(\w", others))


@pytest.mark.parametrize("options", [(), ("--format", "markdown")])
def test_the_answer_is_first_and_all_has_the_rest(cli, tmp_path, options):
    folder = write(tmp_path, three_by_three())
    judged = judge(folder)
    short, whole = (cli("compare", folder, *more, *options).text for more in ((), ("--all",)))
    for text in (short, whole):
        assert text.startswith(
            "pi is better than random by 3.0 points on these 50 images (55.0 and 52.0 %; 95 % interval"
        )
    assert "Is it the human structure?" not in short
    assert "More (7 sentences): --all" in short
    for sentence in judged.sentences:
        assert sentence in whole
    page = tmp_path / "page.html"
    write_report(judged, page)
    text = page.read_text()
    assert text.index(judged.summary.answer[0]) < text.index("Is it the human structure?")


def test_a_table_says_how_it_was_read_after_what_it_assumes(cli):
    text = cli("compare", "example").text
    order = [text.index(start) for start in ("mimetic is worth it", "This assumes that", "Read:", "More (")]
    assert order == sorted(order)


@pytest.mark.parametrize("arguments", [("example",), ("RUNS",)])
def test_the_answer_of_three_arms_has_20_lines_of_80_columns(cli, tmp_path, arguments):
    records = three_by_three()
    for one in records:
        one["scores"].append(score(0.5, name="2afc/y"))
    folder = write(tmp_path, records)
    done = cli("compare", *(folder if a == "RUNS" else a for a in arguments), COLUMNS="80")
    lines = done.stdout.splitlines()
    assert len(lines) <= 20
    assert max(map(len, lines)) <= LONGEST_LINE
    assert "…" not in done.stdout


def with_start(value):
    """Return nine records whose first evaluation, of the untrained model, has a score plus 0.01 a seed."""
    records = three_by_three()
    for one in records:
        start = value if one["arm"]["name"] == "random" else 0.9  # of others: after stage 1
        one["scores"].insert(0, score(start + 0.01 * one["seed"], samples_seen=0))
    return records


def test_the_score_of_the_untrained_model_is_printed_beside_chance(cli, tmp_path):
    folder = write(tmp_path, with_start(0.11))  # 0.11, 0.12, 0.13
    heading = "top1/x (chance 10.0, untrained 12.0, 50 examples, 100 samples seen)"
    done = cli("compare", folder, COLUMNS="80")
    assert heading in done.stdout.splitlines()
    assert len(done.stdout.splitlines()) <= 20
    assert f"\n* {heading}\n" in cli("compare", folder, "--format", "markdown").stdout
    page = tmp_path / "page.html"
    write_report(judge(folder), page)
    assert "chance 10.0, untrained 12.0, 50 examples" in page.read_text()
    assert "untrained" not in cli("compare", folder, "--at", "0").text


def test_a_start_that_was_not_measured_for_each_seed_is_not_printed(cli, tmp_path):
    records = with_start(0.11)
    del records[0]["scores"][0]
    assert "untrained" not in cli("compare", write(tmp_path, records)).text


def test_a_baseline_that_is_initialized_has_a_score_before_training(cli, tmp_path):
    records = with_start(0.11)
    for one in records:
        if one["arm"]["name"] == "random":
            one["arm"]["resolved"]["init"] = [{"use": "imagenet"}]
    assert "(chance 10.0, before training 12.0, 50 examples" in cli("compare", write(tmp_path, records)).text


@pytest.mark.slow  # every situation with three arms
def test_the_answer_of_every_situation_of_three_arms_has_20_lines(cli, tmp_path):
    three = [name for name, s in SITUATIONS.items() if len(s.arms) == 3]
    assert len(three) > 50
    for index, name in enumerate(three):
        runs = write_runs(SITUATIONS[name], tmp_path / str(index))
        lines = cli("compare", runs, *SITUATIONS[name].options, COLUMNS="80").stdout.splitlines()
        assert len(lines) <= 20, name
        assert max(map(len, lines), default=0) <= LONGEST_LINE, name


def test_an_answer_is_the_last_output_of_a_run(cli):
    done = cli("run", "quickstart", "--smoke", "--seed", "0")
    records, _, answer, *_, last = done.stdout.strip().splitlines()
    assert records == "Records, weights and events: runs/quickstart-smoke"
    assert answer.startswith("In the simulated world, whether pi is worth it is undecided")
    assert last.startswith("More (4 other scores, ")
    assert last.endswith("perceptinit compare runs/quickstart-smoke --all")
    assert "1 of 3 runs" in done.stderr


def test_an_edited_plan_refuses_the_claims_about_all_arms(cli, tmp_path):
    arms = {"random": 0.70, "a": 0.75, "b": 0.60, "c": 0.76}
    (tmp_path / "results.toml").write_text(
        f'arms = {list(arms)}\nseeds = [0, 1, 2, 3]\nbaseline = "random"\n[verdict]\ndelta = 0.5\nprimary = "top1"\n'
    )
    assert cli("preregister", "results.toml").returncode == 0
    plan = tmp_path / "runs/results/plan.json"
    plan.write_text(plan.read_text().replace('"delta": 0.5', '"delta": 0.1'))
    rows = [
        f"{arm},{seed},top1,{v + 0.001 * ((seed * len(arm)) % 3)}"
        for arm, v in arms.items()
        for seed in range(4)
    ]
    (tmp_path / "results.csv").write_text("\n".join(["arm,seed,measure,value", *rows]))
    text = cli("compare", "results.csv", "--plan", "runs/results/plan.json").text
    assert text.startswith("No claim is made, because the plan was edited after it was written: ")
    assert "b -9.9" in text
    assert "(no claim)" in text
    assert not re.search(r"\((better|worse|worth it|not worth it)\)", text)
