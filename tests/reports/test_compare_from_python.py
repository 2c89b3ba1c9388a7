"""`perceptinit.compare`: tables and data frames from Python, and their reports."""

from pathlib import Path

import pandas
import pytest

import perceptinit
from perceptinit.errors import UsageError

TABLE = Path(__file__).parents[1] / "results/tables/pandas_long.parquet"


def test_a_path_and_a_data_frame_have_the_same_verdict():
    options = {"baseline": "random", "delta": 0.5}
    of_path = perceptinit.compare(TABLE, **options)
    of_frame = perceptinit.compare(pandas.read_parquet(TABLE), **options)
    assert of_path.verdict == of_frame.verdict
    assert "orthogonal is worth it" in of_path.verdict


def test_the_rows_of_a_comparison_make_a_data_frame():
    frame = pandas.DataFrame(perceptinit.compare(TABLE, baseline="random").table())
    assert frame.set_index("arm").loc["orthogonal", "difference"] == pytest.approx(0.0205, abs=1e-3)


def test_the_page_of_a_table_has_no_section_on_records():
    html = perceptinit.compare(TABLE, baseline="random").to_html()
    assert "It contains scores and no records" in html
    assert 'id="cost"' not in html
    assert 'id="rerun"' not in html


def test_printing_a_comparison_shows_its_table():
    shown = repr(perceptinit.compare(TABLE, baseline="random"))
    assert shown.startswith("* orthogonal scores 72.1 %, and random 70.0 %")
    assert "| accuracy | orthogonal | 72.1 ± 0.6 |" in shown


def test_an_unknown_pairing_is_refused():
    with pytest.raises(UsageError, match='pairing = \'runs\': expected "seeds" or "none"'):
        perceptinit.compare(TABLE, baseline="random", pairing="runs")


def test_the_methods_of_an_unpaired_table_name_its_tests(cli):
    done = cli(
        "report", TABLE, "--baseline", "random", "--columns", "run=seed", "--delta", "0.5", "--methods"
    )
    assert "Differences are not paired:" in done.text
    assert "95 % Welch's t intervals" in done.text
    assert "a permutation of the labels of the runs" in done.text
    assert "it is assumed, that each run is complete and listed once" in done.text


def test_the_figure_of_a_table_is_written(cli, tmp_path):
    done = cli("report", TABLE, "--baseline", "random", "--out", "figure.svg")
    assert done.returncode == 0, done.text
    assert (tmp_path / "figure.svg").stat().st_size > 1000
