"""The verdict's error rates on simulated seeds; docs/calibration.md has them from 10,000 experiments a line."""

import sys
from pathlib import Path

import pytest

from perceptinit.reports.verdicts.decisions import Rule

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

import calibration  # noqa: E402

NUM = 2000
MOST = 0.025 + 3 * (0.025 * 0.975 / NUM) ** 0.5  # three standard errors above nominal


@pytest.mark.parametrize(
    ("rule", "num_seeds"), [(Rule(1.0), 5), (Rule(1.0, 3, 8), 8)], ids=["one look", "until decided"]
)
def test_false_answers_are_as_rare_as_promised(rule, num_seeds):
    none = calibration.rates("normal", rule, num_seeds, 0.0, NUM)
    edge = calibration.rates("normal", rule, num_seeds, 1.0, NUM)
    assert max(none.above, none.below, edge.equivalent) / NUM < MOST
    assert edge.covered / NUM > 0.95 - 3 * (0.05 * 0.95 / NUM) ** 0.5


def test_a_real_effect_is_found():
    assert calibration.rates("normal", Rule(1.0), 5, 2.0, NUM).above / NUM > 0.85


def test_looking_without_widening_is_wrong_more_often():
    # that the simulation can tell: the same looks with the level of a single one
    naive = sum(
        any(calibration.experiment(values[:n], Rule(), 0.0)[0] == "above" for n in range(3, 9))
        for values in calibration.SHAPES["normal"](calibration.generator(0, "naive"), (500, 8)).tolist()
    )
    assert naive / 500 > 0.04


def test_the_page_is_the_scripts():
    page = (ROOT / "docs/calibration.md").read_text()
    empty = dict.fromkeys(("errors", "power", "curve", "promise"), "")
    for line in calibration.PAGE.format(num=10_000, delta=calibration.DELTA, **empty).splitlines():
        assert line in page
    made = [line for line in calibration.page(2).splitlines() if line.startswith("| seeds")]
    assert made
    assert all(line in page for line in made)
