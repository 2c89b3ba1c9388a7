"""docs/any-results.md: its tables, commands and code give the answers that the page states."""

import json
import re
import shlex

import numpy as np
import pytest
from helpers.command_line import ROOT
from PIL import Image

PAGE = (ROOT / "docs/any-results.md").read_text("utf-8")
LINE = " ".join(PAGE.split())


def blocks(language):
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```", PAGE)


RESULTS, LOSSES, MEANS = blocks("text")
COMMANDS = [shlex.split(line)[1:] for block in blocks("console") for line in block.splitlines()]


def write_scores(cli, folder):
    """Write scores.csv: `eval` of the embeddings of two models on 200 judgments."""
    rng = np.random.default_rng(0)
    names = [f"{i}.png" for i in range(24)]
    for index, name in enumerate(names):
        Image.new("RGB", (8, 8), (9 * index, 0, 0)).save(folder / name)
    for model in ("a", "b"):
        np.save(folder / f"{model}.npy", rng.normal(size=(24, 5)))
        (folder / f"{model}.txt").write_text("\n".join(names))
    rows = [",".join([*rng.choice(names, 3, replace=False), "2,1"]) for _ in range(200)]
    (folder / "judgments.csv").write_text("\n".join(["anchor,first,second,first_votes,second_votes", *rows]))
    done = cli("eval", "a.npy", "b.npy", "--on", "judgments.csv", "--format", "csv")
    assert done.returncode == 0, done.stderr
    (folder / "scores.csv").write_text(done.stdout)


def test_every_command_of_the_page_runs(cli, verb, tmp_path):
    (tmp_path / "results.csv").write_text(RESULTS)
    named = RESULTS.replace("arm,seed,measure,value", "init,config/seed,measure,accuracy")
    (tmp_path / "runs.csv").write_text(named.replace(",accuracy,0", ",top1,0"))
    (tmp_path / "results.toml").write_text(blocks("toml")[0].split("[columns]")[0])
    write_scores(cli, tmp_path)
    outputs = [verb(*command) for command in COMMANDS]
    assert len(outputs) == 6
    assert "orthogonal is worth it" in outputs[0]
    assert "2 of 5 runs of orthogonal have no score (not in the table)" in outputs[-1]


def test_one_new_run_has_the_stated_answer(verb, tmp_path):
    rows = [row for row in RESULTS.splitlines() if not row.startswith("orthogonal")]
    (tmp_path / "new.csv").write_text("\n".join([*rows, "orthogonal,0,accuracy,0.731"]))
    text = verb("compare", "new.csv", "--baseline", "random", "--delta", "0.5")
    assert "Whether orthogonal is worth it is undecided" in text
    assert "+2.6 points (95 % prediction interval -0.9 to +6.1" in text
    assert "+2.6 points, with a 95 % prediction interval from -0.9 to +6.1" in LINE


def test_the_runs_of_two_optimizers_have_the_stated_answer(verb, tmp_path):
    (tmp_path / "losses.csv").write_text(LOSSES)
    text = verb(
        "compare", "losses.csv", "--baseline", "skylight-001", "--delta", "0.002", "--columns", "run=seed"
    )
    answer = "muon-nsr makes no difference that matters in seeds like these: it is equivalent to skylight-001 within 0.00200"
    assert answer in text
    assert answer in LINE
    assert (
        "muon-nsr scores 3.27797, skylight-001 3.27818: 0.00020 in favor of muon-nsr (lower is better; 95 % interval"
        in text
    )
    assert "+0.00020, with a 95 % interval from -0.00101 to +0.00141" in LINE


def test_a_table_of_means_has_the_stated_answer(verb, tmp_path):
    (tmp_path / "means.csv").write_text(MEANS)
    text = verb("compare", "means.csv", "--baseline", "default", "--delta", "0.5", "--all")
    assert "procedural warm-up is worth it" in text
    assert "+1.9 [-0.7, +4.5]" in text
    assert "+1.8 [+0.9, +2.7]" in text
    assert "are simultaneous" in text
    assert "over all arms agrees" not in text
    assert "an interval from +0.9 to +2.7. mimetic is undecided (-0.7 to +4.5)" in LINE


def test_means_without_a_spread_cannot_tell(verb, tmp_path):
    header, *rows = (line.split(",") for line in MEANS.splitlines())
    alone = [f"{arm},0,{measure},{mean}" for arm, measure, mean, *_ in rows]
    assert header == ["arm", "measure", "mean", "sd", "n"]
    (tmp_path / "means.csv").write_text("\n".join(["arm,seed,measure,value", *alone]))
    text = verb("compare", "means.csv", "--baseline", "default", "--delta", "0.5")
    assert "One run each does not show whether mimetic is worth it: " in text


def test_the_code_of_the_page_gives_an_answer():
    exec(compile(blocks("python")[0], "any-results.md", "exec"), {})


def test_the_results_of_lm_eval_harness_become_rows(tmp_path, monkeypatch):
    for arm in ("random", "orthogonal"):
        folder = tmp_path / "results" / arm / "0" / "model"
        folder.mkdir(parents=True)
        scores = {"results": {"hellaswag": {"acc,none": 0.3, "alias": "hellaswag"}}}
        (folder / "results_2026-01-01.json").write_text(json.dumps(scores))
    monkeypatch.chdir(tmp_path)
    found = {}
    exec(compile(blocks("python")[1], "any-results.md", "exec"), found)
    assert sorted(found["rows"]) == [
        ("orthogonal", "0", "acc", "hellaswag", 0.3),
        ("random", "0", "acc", "hellaswag", 0.3),
    ]


@pytest.mark.parametrize("sentence", re.findall(r"(?m)^> ((?:.*\n> )*.*)", PAGE))
def test_the_quoted_sentence_is_printed(sentence, verb, tmp_path):
    rows = [f"{arm},{seed},acc,{0.7 + lead + 0.001 * ((seed * k) % 5)}"
            for k, (arm, lead) in enumerate((("random", 0.0), ("orthogonal", 0.1)), 1) for seed in range(6)]  # fmt: skip
    (tmp_path / "scores.csv").write_text("\n".join(["arm,seed,measure,value", *rows]) + "\n")
    text = verb("compare", "scores.csv", "--baseline", "random", "--delta", "0.5")
    assert " ".join(sentence.replace("\n> ", " ").split()) in text
