"""Random tables are never read with a wrong measure, direction or unit and given a firm word."""

import pytest
from helpers.random_tables import BASE, firm_words, is_wrong, make, spoil

NUM_TABLES = 400
NUM_NOISE = 200
# healthy tables with a firm word before directions and units were read from names
EARLIER = (
    *(5, 7, 8, 18, 22, 34, 48, 53, 88, 105, 106, 113, 133, 139, 140, 143, 156, 167, 184, 204, 205, 207, 210, 213),
    *(216, 220, 222, 236, 238, 243, 245, 261, 265, 290, 308, 312, 313, 314, 329, 331, 338, 346, 350, 351, 355),
    *(362, 364, 371, 372, 380, 386),
)  # fmt: skip


@pytest.fixture
def output(cli, tmp_path):
    """Return a function from a table to what `compare` prints."""

    def compare(table):
        path = tmp_path / "scores.csv"
        path.write_text(table.text)
        done = cli("compare", str(path), "--baseline", BASE, "--delta", str(table.delta))
        return done.stdout + done.stderr

    return compare


def assert_no_wrong_word(numbers, output):
    tables = {number: make(number) for number in numbers}
    assert [number for number, table in tables.items() if is_wrong(table, output(table))] == []


def test_no_table_of_a_sample_has_a_wrong_word(output):
    assert_no_wrong_word(range(40), output)


@pytest.mark.parametrize("how", ["copied seed", "other setting"])
def test_a_table_with_copies_or_another_setting_has_no_firm_word(how, output):
    assert [number for number in EARLIER[:12] if firm_words(output(spoil(make(number), how)))] == []


@pytest.mark.slow
@pytest.mark.parametrize("how", ["copied seed", "other setting"])
def test_no_table_with_copies_or_another_setting_has_a_firm_word(how, output):
    assert [number for number in EARLIER if firm_words(output(spoil(make(number), how)))] == []


@pytest.mark.slow
def test_no_table_has_a_wrong_word(output):
    assert_no_wrong_word(range(NUM_TABLES), output)


@pytest.mark.slow
def test_healthy_tables_keep_their_firm_words(output):
    kept = [number for number in EARLIER if make(number).gain in firm_words(output(make(number)))]
    assert len(kept) >= 0.95 * len(EARLIER)


@pytest.mark.slow
def test_noise_rarely_has_a_firm_word(output):
    num_firm = sum(
        bool(firm_words(output(make(1000 + n, is_noise=True))) & {1, -1}) for n in range(NUM_NOISE)
    )
    assert num_firm <= 0.05 * NUM_NOISE
