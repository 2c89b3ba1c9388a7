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
import stage_one_page
import stage_one_search
import stage_one_sets
import torch
from helpers.command_line import ROOT
from torch import nn

from perceptinit.initializers.batches import LEARNED_STEPS, RANDOM_STEPS, suggest_settings

FIRST_PLAN = (ROOT / "benchmarks/studies/stage_one_plan.md").read_text("utf-8")
SECOND_PLAN = (ROOT / "benchmarks/studies/stage_one_second_plan.md").read_text("utf-8")
SEARCHED = stage_one.read_records(stage_one_search.RECORDS)


def plan(part=0, parts=1, runs=20):
    options = Namespace(runs=runs, part=part, parts=parts, size=64)
    return list(stage_one.plan_study(options))


def key(cell):
    return tuple(cell[name] for name in stage_one.KEYS)


def test_two_processes_share_the_runs_of_the_study():
    parts = [{key(cell) for cell in plan(part, 2)} for part in (0, 1)]
    assert parts[0].isdisjoint(parts[1])
    assert parts[0] | parts[1] == {key(cell) for cell in plan()}
    assert [len(part) for part in parts] == [120, 120]


def test_each_run_has_its_own_seed_and_a_split_that_no_search_saw():
    searched = {(name, split) for name, split, _ in stage_one_call_search.PLACES}
    searched |= set(stage_one_search.SPLITS.items())
    for network, trained in itertools.product(stage_one.NETWORKS, stage_one.TRAINED):
        cells = [cell for cell in plan() if (cell["network"], cell["trained"]) == (network, trained)]
        assert len({cell["seed"] for cell in cells}) == len(cells)
        splits = {cell["split"] for cell in cells}
        assert len(splits) == 20
        assert searched.isdisjoint((trained, split) for split in splits)


def test_the_order_of_call_and_loop_alternates_between_units_and_between_seeds():
    for trained, expected in (("materials", 4), ("cifar10h", 8)):
        cells = [cell for cell in plan(runs=8) if (cell["network"], cell["trained"]) == ("alexnet", trained)]
        orders = [tuple(cell["methods"]) for cell in cells]
        assert orders.count(("untouched", "loop", "default")) == expected
        assert orders.count(("untouched", "default", "loop")) == expected


def test_the_loop_is_the_better_one_of_the_first_study():
    page = (ROOT / "docs/results/stage-one-earlier.md").read_text("utf-8")
    for (network, trained), (lr, steps) in stage_one.LOOP.items():
        about = f"| {stage_one_page.NETWORKS[network]} | {stage_one_page.SETS[trained]} "
        (row,) = [line for line in page.splitlines() if line.startswith(about) and line.endswith("| yes |")]
        assert f"| {lr:g}, {steps} |" in row


def test_the_first_plan_states_the_settings_that_the_search_of_the_loop_chose():
    names = {"materials": "materials", "cifar10h": "CIFAR-10H"}
    for (kind, trained), (lr, steps) in stage_one_search.choose(SEARCHED).items():
        digits = f"{lr:.0e}".replace("e-0", "e-")
        assert f"| {kind} | {names[trained]} | {digits} | {steps} |" in FIRST_PLAN


def test_the_first_plan_states_the_gains_of_the_settings_before_the_first_study():
    records = stage_one.read_records(stage_one_call_search.FIRST_RECORDS)
    for kind, setting, words in (
        ("learned", ("hinge", 3e-4, 30), "hinge, 3e-4, 30 steps | +9.9, {} |"),
        ("random", ("hinge", 1e-3, 256), "the best of the mean | +7.2, +7.0; {} |"),
    ):
        means = {found: each["all"] for found, each in stage_one_call_search.rank(records, kind)}
        shipped = means[stage_one_call_search.CallSetting(*setting)]
        assert words.format(f"{100 * shipped:+.1f}") in FIRST_PLAN
        assert kind == "learned" or shipped == max(means.values())


def test_the_shipped_settings_of_the_call_and_their_gains_are_those_of_the_second_plan():
    records = stage_one.read_records(stage_one_call_search.RECORDS)
    for kind, steps in (("learned", LEARNED_STEPS), ("random", RANDOM_STEPS)):
        taken = suggest_settings(np.arange(9).reshape(3, 3), kind == "learned", False, {}, 32)
        loss = {"votes": "", "agreement": "soft "}[taken["weighting"]] + taken["loss"]
        shipped = stage_one_call_search.CallSetting(loss, taken["lr"], steps, taken.get("flip", False))
        ranked = dict(stage_one_call_search.rank(records, kind))
        assert shipped in ranked
        for means in ranked.values():
            numbers = [
                f"{100 * means[name]:+.1f}" for name in ("cifar10h", "materials", "photographs", "all")
            ]
            assert f"| {' | '.join([*numbers, format(means['seconds'], '.0f')])} |" in SECOND_PLAN


def test_the_second_plan_states_the_gains_of_the_trial_for_random_weights():
    leads = {}
    for name, network, trained in (
        ("ViT", "random-vit", "cifar10h"),
        ("ResNet", "random-resnet", "materials"),
    ):
        gains = {}
        for record in stage_one.read_records(stage_one_call_search.RESULTS / "stage_one_random_trial.jsonl"):
            if (record["network"], record["set"]) == (network, trained):
                key = tuple(
                    record.get(name) for name in ("loss", "temperature", "margin", "weighting", "lr", "steps")
                )
                place = (record["split"], record["seed"])
                gains.setdefault(key, {})[place] = record["after"] - record["before"]
        (loop,) = [found for key, found in gains.items() if key[0] == "loop"]
        for key, found in gains.items():
            lead = 100 * np.mean([found[place] - loop[place] for place in found])
            leads.setdefault(key, {})[name] = f"{lead:+.1f} | {len(found)} |"
    assert len(leads) > 15
    for (loss, temperature, margin, weighting, lr, steps), by in leads.items():
        if loss == "loop":
            continue
        width = f"margin {margin:g}" if loss == "hinge" else f"temperature {temperature:g}"
        cells = " ".join(by.get(name, "| |") for name in ("ViT", "ResNet"))
        assert f"| {loss}, {width}, {weighting}, {lr:g}, {steps} | {cells}" in SECOND_PLAN


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
    for network, name in itertools.product(stage_one.NETWORKS, stage_one_search.SPLITS):
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
