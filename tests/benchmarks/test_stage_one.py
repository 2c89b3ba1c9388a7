"""The study of stage 1 beside a plain loop: its plan, its splits, and the search for the settings of the loop."""

import itertools
import json
import os
import signal
import sys
from argparse import Namespace

import numpy as np
import pytest
import stage_one
import stage_one_budget
import stage_one_call_search
import stage_one_search
import stage_one_sets
import torch
from helpers.command_line import ROOT
from torch import nn

from perceptinit.initializers.batches import LEARNED_STEPS, RANDOM_STEPS, suggest_settings

SEARCHED = stage_one.read_records(stage_one_search.RECORDS)


def plan(part=0, parts=1, runs=20):
    options = Namespace(first=0, runs=runs, part=part, parts=parts, size=64)
    return list(stage_one.plan_study(options))


def key(cell):
    return tuple(cell[name] for name in stage_one.KEYS)


def test_two_processes_share_the_runs_of_the_study():
    parts = [{key(cell) for cell in plan(part, 2)} for part in (0, 1)]
    assert parts[0].isdisjoint(parts[1])
    assert parts[0] | parts[1] == {key(cell) for cell in plan()}
    assert [len(part) for part in parts] == [80, 80]


def test_each_run_has_another_split_and_seed_which_the_search_did_not_see():
    for network, trained in itertools.product(stage_one.CELLS, stage_one.TRAINED):
        cells = [cell for cell in plan() if (cell["network"], cell["trained"]) == (network, trained)]
        assert len({cell["split"] for cell in cells}) == len({cell["seed"] for cell in cells}) == 20
        assert stage_one_search.SPLITS[trained] not in {cell["split"] for cell in cells}


def test_the_order_of_call_and_loop_alternates():
    orders = [cell["methods"] for cell in plan(runs=2) if cell["network"] == "alexnet"]
    assert orders[0] == ["untouched", "linear", "default", "fixed loop", "loop"]
    assert orders[-1] == ["untouched", "loop", "fixed loop", "default", "linear"]


def test_the_fixed_loop_is_left_out_where_the_search_chose_it():
    assert list(stage_one.loops_of("lite0", "materials")) == ["loop", "fixed loop"]
    assert stage_one.LOOP["random", "cifar10h"] == stage_one.FIXED["random"]
    assert list(stage_one.loops_of("random-vit", "cifar10h")) == ["loop"]


def test_the_settings_of_the_loop_are_those_that_the_search_chose():
    assert stage_one_search.choose(SEARCHED) == stage_one.LOOP


def test_the_shipped_settings_of_the_call_are_those_of_the_plan():
    records = stage_one.read_records(stage_one_call_search.RECORDS)
    text = (stage_one_call_search.RECORDS.parents[1] / "studies/stage_one_plan.md").read_text("utf-8")
    means = {}
    for kind, steps in (("learned", LEARNED_STEPS), ("random", RANDOM_STEPS)):
        settings = suggest_settings(np.arange(9).reshape(3, 3), kind == "learned", {}, 32)
        assert settings["margin"] == stage_one_call_search.MARGINS[kind]
        ranked = dict(stage_one_call_search.rank(records, kind))
        means[kind] = {setting: 100 * found["all"] for setting, found in ranked.items()}
        shipped = means[kind]["hinge", settings["lr"], steps]
        assert f"{shipped:+.1f} |" in text
    assert max(means["random"].values()) == shipped
    assert f"{max(means['learned'].values()):+.1f}," in text


def test_the_page_has_the_comparison_of_budgets_of_the_records():
    page = (ROOT / "docs/library.md").read_text("utf-8")
    rows = list(stage_one_budget.rows(stage_one.read_records(stage_one_budget.RECORDS)))[2:]
    for row in rows:
        _, splits, *figures = row.strip("| ").split(" | ")
        assert splits == "4"
        assert f"| {' | '.join(figures)} |" in page
    assert len(rows) == 2


def make_search(best):
    """Return records in which a setting of each set, in `best`, gains 0.2, and others 0.1."""
    records = []
    for network, name in itertools.product(stage_one.CELLS, stage_one_search.SPLITS):
        kind = stage_one.kind_of(network)
        for lr, steps in itertools.product(stage_one_search.RATES[kind], stage_one_search.STEPS[kind]):
            gain = 0.2 if best[name] == (lr, steps) else 0.1
            records.append(
                {
                    "network": network,
                    "set": name,
                    "lr": lr,
                    "steps": steps,
                    "before": 0.5,
                    "after": 0.5 + gain,
                }
            )
    return records


def test_a_training_set_has_the_best_setting_of_the_other_sets():
    best = {"materials": (1e-3, 90), "cifar10h": (1e-4, 30), "photographs": (1e-4, 60)}
    records = make_search(best)
    for record in records:
        if record["set"] == "photographs" and record["lr"] == 1e-4:
            record["after"] -= 0.02 * (record["steps"] == 30)  # so 60 steps are the best of two sets
    chosen = stage_one_search.choose(records)
    assert chosen["learned", "materials"] == (1e-4, 60)
    best["photographs"] = (1e-3, 90)
    assert stage_one_search.choose(make_search(best))["learned", "cifar10h"] == (1e-3, 90)


def test_training_and_unseen_judgments_have_no_common_image():
    tiny = stage_one_sets.make_tiny()
    train, unseen, _ = tiny.split(3)
    assert not set(train.used) & set(unseen.used)
    assert len(train.used) == len(unseen.used) == 6


def test_drawn_triplets_have_three_images_and_shares_of_their_closeness():
    closeness = np.array([[1, 0.9, 0.3, 0.3], [0.9, 1, 0.3, 0.3], [0.3, 0.3, 1, 0.32], [0.3, 0.3, 0.32, 1]])
    pictures = list(stage_one_sets.make_tiny().pictures[:4])
    drawn = stage_one_sets.draw(closeness, pictures, np.arange(4), 50, np.random.default_rng(0))
    pairs = {(int(a), int(b), int(c)): p for a, b, c, p in zip(drawn.anchor, drawn.first, drawn.second, drawn.p_second, strict=True)}  # fmt: skip
    assert all(len({*roles}) == 3 for roles in pairs)
    # of the anchors 2 and 3, no two candidates differ by more than 0.1
    assert {roles[0] for roles in pairs} == {0, 1}
    assert pairs[0, 2, 1] == pytest.approx(0.9 / 1.2)


def test_the_loop_reports_each_step_and_prefers_the_images_that_people_chose():
    torch.manual_seed(0)
    train, _, pictures = stage_one_sets.make_tiny().split(0)
    judged = stage_one_sets.Judged.of(train, pictures, 8)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 16))
    before = stage_one.score(model, judged)[0]
    steps = []
    stage_one.plain_loop(model, model, judged, 1e-2, 20, steps.append)
    assert steps == list(range(1, 21))
    assert stage_one.score(model, judged)[0] > before + 0.1


def test_the_map_of_linear_is_a_part_of_the_encoder():
    model = stage_one.make_network("random-resnet", 0, 32, None)
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        plain = stage_one.encode_with(model, images)
        model.embedding_map = nn.Linear(plain.shape[1], 3, bias=False)
        mapped = stage_one.encode_with(model, images)
    torch.testing.assert_close(mapped, plain @ model.embedding_map.weight.T)


def test_the_call_sees_the_pixels_of_the_loop():
    train, _, pictures = stage_one_sets.make_tiny().split(0)
    judged = stage_one_sets.Judged.of(train, pictures, 32)
    model = stage_one.make_network("random-resnet", 0, 32, None)
    seen = []
    model.conv1.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].detach().clone()))
    stage_one.initialize(model, "linear", judged, 32, 0, {})
    inputs = torch.cat(seen)  # and images that probe the output layer
    for image in judged.images:
        assert (inputs - image).abs().amax(dim=(1, 2, 3)).min() < 0.02


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """Return a function that runs the smallest size of the study, and the file of its runs."""
    keep = tmp_path / "runs.jsonl"
    monkeypatch.setattr(sys, "argv", ["stage_one.py", "--tiny", "--keep", str(keep)])
    handler = signal.getsignal(signal.SIGTERM)
    yield stage_one.main, keep
    signal.signal(signal.SIGTERM, handler)


def test_finished_runs_are_not_repeated(tiny):
    run, keep = tiny
    run()
    content = keep.read_text("utf-8")
    assert [json.loads(line)["method"] for line in content.splitlines()] == ["untouched", "linear", "loop"]
    run()
    assert keep.read_text("utf-8") == content


def test_sigterm_drops_the_unfinished_run(tiny, monkeypatch):
    run, keep = tiny
    monkeypatch.setattr(stage_one, "plain_loop", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(SystemExit, match="the unfinished run is dropped"):
        run()
    assert not keep.exists()
