"""Tables and figures in docs/results/ are generated from the published records."""

import json

import initializations
import known_effects
import pytest
from helpers.made_runs import record, score

from perceptinit.recipe.reading import load_recipe
from perceptinit.results.record import write_record
from perceptinit.results.runs import load_runs

PAGES = sorted(
    (page for page in known_effects.pages() if known_effects.MARK.search(page.read_text("utf-8"))),
    key=lambda page: page.stat().st_size,
)


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, id=page.stem, marks=() if page in PAGES[:4] else pytest.mark.slow) for page in PAGES],
)
def test_a_page_contains_the_generated_tables(page):
    text = page.read_text(encoding="utf-8")
    assert text == known_effects.renewed(text)


def test_every_published_experiment_is_on_a_page():
    marks = {
        name for page in known_effects.pages() for _, name, _ in known_effects.MARK.findall(page.read_text())
    }
    assert {"structure", "few-pairs", "levers", "margin", "pairs", "aa-few-pairs", "initializations"} <= marks


def test_a_published_record_can_be_read(tmp_path, monkeypatch):
    made = record("random", 0, 0.4)
    made["environment"]["packages"]["perceptinit"] = "0.2.0"
    write_record(tmp_path / "made/random/seed0/record.json", made)
    monkeypatch.setattr(known_effects, "KEPT", tmp_path / "kept")
    known_effects.keep(tmp_path / "made")
    assert [run.arm for run in load_runs([tmp_path / "kept/made"]).finished] == ["random"]


def test_a_published_record_has_the_paths_of_the_recipe_and_the_fingerprint_of_these_settings(monkeypatch):
    monkeypatch.setenv("KNOWN_EFFECTS", "/somewhere/else")
    recipes = [load_recipe(known_effects.RECIPES / "fewer_pairs_250.toml")]
    monkeypatch.delenv("KNOWN_EFFECTS")
    recipes.append(load_recipe(known_effects.RECIPES / "fewer_pairs_250.toml"))
    elsewhere, planned = (
        {
            "arm": {"resolved": recipe.resolve(recipe.arms[1])},
            "fingerprint": recipe.fingerprint(recipe.arms[1]),
        }
        for recipe in recipes
    )
    monkeypatch.setenv("KNOWN_EFFECTS", "/somewhere/else")
    assert elsewhere != planned
    assert known_effects.without_places(elsewhere) == planned


def kept_runs(folder, effects, name="initializations"):
    """Write six seeds of each arm with scores of 0.4 plus its effect, and 10 of 60 CPU seconds in stage 1."""
    rows = []
    for arm, effect in {"random": 0.0, **effects}.items():
        for seed in range(6):
            noise = 0.001 * (-1) ** (seed // (1 + len(arm) % 3))
            value = 0.4 + 0.01 * seed + effect + noise
            made = record(arm, seed, [score(value, name="accuracy/unseen", num_examples=5000)])
            arms = "".join(f'[[arm]]\nname = "{other}"\n' for other in ("random", *effects))
            made["recipe"]["text"] = f'schema = 1\nname = "made"\nseeds = [0, 1, 2, 3, 4, 5]\n{arms}'
            made["arm"]["resolved"]["init"] = [{"use": arm}] if effects.get(arm) is not None else []
            made["wall_seconds"] |= {"total": 60.0, "init.0": 10.0} if arm in effects else {}
            (folder / name / arm / f"seed{seed}").mkdir(parents=True)
            (folder / name / arm / f"seed{seed}" / "record.json").write_text(json.dumps(made))
            rows.append(f"{arm},{seed},60\n")
    (folder / name / "processor.csv").write_text("".join(rows))


def test_a_start_that_is_worse_than_longer_training_is_not_recommended(tmp_path):
    kept_runs(tmp_path, {"fractals": 0.05, "distil": 0.2, "simclr": -0.04})
    kept_runs(tmp_path, {}, "initializations-random-longer")
    longer = tmp_path / "initializations-random-longer/random"
    for file in longer.glob("*/record.json"):
        file.write_text(file.read_text().replace('"value": 0.4', '"value": 0.5'))
    text = initializations.tables(tmp_path)
    assert "Use one of `distil`. `fractals`: better than random, but not than random-longer" in text
    assert "| distil | 62.5 ± 0.8 | +20.0 points [" in text
    assert "`fractals` (published: better than from scratch): seen, +5.0 points" in text
    assert "`simclr` (published: none found for this size): not seen, -4.0 points" in text
    assert "| 10 | 256, generated |" in text


def test_copied_stages_cost_the_seconds_of_their_source(tmp_path):
    kept_runs(tmp_path, {"simclr": 0.05})
    kept_runs(tmp_path, {"simclr": 0.05}, "initializations-longer")
    for seed in range(6):
        file = tmp_path / f"initializations-longer/simclr/seed{seed}/record.json"
        made = json.loads(file.read_text())
        del made["wall_seconds"]["init.0"]
        stage = {
            "stage": "init.0",
            "name": "simclr",
            "num_changed": 1,
            "changed": [],
            "seconds": 0.0,
            "metrics": {},
        }
        hashes = {"sha256_before": "a", "sha256_after": "b"}
        made["init"] = [{**stage, **hashes, "taken_from": f"initializations/simclr/seed{seed}"}]
        file.write_text(json.dumps(made))
    assert initializations.costs(tmp_path / "initializations-longer") == {"random": 0.0, "simclr": 10.0}


def test_arms_at_another_learning_rate_are_compared_with_random_and_the_default_rate(tmp_path):
    kept_runs(tmp_path, {"impulse": 0.05})
    kept_runs(tmp_path, {"impulse": 0.07}, "initializations-rate-1p5e-3")
    (table,) = initializations.at_other_rates(tmp_path)
    *_, row = table.splitlines()
    assert row.startswith("| impulse | 49.5 ± 0.8 | +7.0 points [")
    assert "| +2.0 points [+2.0, +2.0] |" in row


def test_each_optimizer_has_a_table_of_trials(tmp_path):
    kept_runs(tmp_path, {}, "rate-6e-4")
    kept_runs(tmp_path, {}, "muon-rate-4e-3")
    of_adam, of_muon = initializations.trials(tmp_path)
    assert of_adam.splitlines()[0] == "| AdamW: accuracy on tuning, seed 0 | 6e-4 | 1.5e-3 | 4e-3 |"
    assert of_muon.splitlines()[-1] == "| random |  |  | 44.9 |"
