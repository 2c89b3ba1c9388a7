"""Every cell of the published tables is rebuilt from records, by scripts that do not import the package."""

import subprocess
import sys

import pytest
import rebuilt_cells
import rebuilt_pages
import rebuilt_stage_one
from helpers.command_line import ROOT

FOLDER = ROOT / "benchmarks/studies"


@pytest.mark.slow
@pytest.mark.parametrize("page", rebuilt_cells.pages())
def test_every_cell_between_marks_is_that_of_the_records(page):
    count, found = rebuilt_cells.differences(page)
    assert found == []
    assert count > 20


@pytest.mark.slow
@pytest.mark.parametrize("page", rebuilt_pages.PAGES)
def test_every_cell_of_a_page_with_its_own_script_is_that_of_the_records(page):
    count, found = rebuilt_pages.differences(page)
    assert found == []
    assert count > 10


@pytest.mark.slow
def test_the_prices_of_statistics_on_the_page_of_the_ladder_are_those_of_the_records():
    page = (rebuilt_cells.KEPT / "ladder.md").read_text("utf-8")
    score = "accuracy/few-labels-as-trained"
    for arm in ("imagenet-people", "imagenet-shuffled", "imagenet-pixels"):
        assert rebuilt_pages.lead(("ladder", arm), ("ladder", "imagenet"), score) in page


def test_a_changed_cell_is_named(tmp_path, monkeypatch):
    for path in rebuilt_cells.KEPT.iterdir():
        (tmp_path / path.name).symlink_to(path)
    page = (tmp_path / "pairs.md").read_text("utf-8")
    (tmp_path / "pairs.md").unlink()
    (tmp_path / "pairs.md").write_text(page.replace("[-2.8, +1.2]", "[-4.0, +2.4]"))
    monkeypatch.setattr(rebuilt_cells, "KEPT", tmp_path)
    _, found = rebuilt_cells.differences("pairs")
    (message,) = found
    assert message.endswith("- random [95 %]: -0.8 points [-4.0, +2.4], rebuilt -0.8 points [-2.8, +1.2]")


@pytest.mark.parametrize(
    ("module", "page", "old", "new", "message"),
    [
        (rebuilt_cells, "few-pairs", "| undecided |", "| yes |", "answer: yes, rebuilt undecided"),
        (rebuilt_pages, "fewer-pairs", "[+0.5, +2.2], 16 seeds", "[+0.5, +2.2], 15 seeds", "rebuilt people - random"),
        (rebuilt_pages, "ladder-frozen", "| no, it costs accuracy |", "| yes |", "answer: yes, rebuilt no"),
    ],
)  # fmt: skip
def test_a_changed_box_is_named(tmp_path, monkeypatch, module, page, old, new, message):
    for path in rebuilt_cells.KEPT.iterdir():
        (tmp_path / path.name).symlink_to(path)
    text = (tmp_path / f"{page}.md").read_text("utf-8")
    (tmp_path / f"{page}.md").unlink()
    changed = text.replace(old, new, 1)
    assert changed != text
    (tmp_path / f"{page}.md").write_text(changed)
    for each in (rebuilt_cells, rebuilt_pages):
        monkeypatch.setattr(each, "KEPT", tmp_path)
    _, (found,) = module.differences(page)
    assert message in found


def test_pages_without_records_are_listed():
    pages = {path.stem for path in rebuilt_cells.KEPT.glob("*.md")}
    rebuilt = {*rebuilt_cells.pages(), *rebuilt_pages.PAGES, *(page.stem for page in rebuilt_stage_one.PAGES)}
    assert pages - rebuilt == {*rebuilt_cells.WITHOUT_RECORDS}
    listing = (rebuilt_cells.KEPT.parent / "results.md").read_text("utf-8")
    sentence = next(line for line in listing.split("\n\n") if line.startswith("These pages have no records"))
    assert all(f"(results/{page}.md)" in sentence for page in rebuilt_cells.WITHOUT_RECORDS)


def test_the_scripts_do_not_import_the_package():
    code = "import rebuilt_cells, rebuilt_pages, sys; print([m for m in sys.modules if m.startswith('perceptinit')])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=FOLDER, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
