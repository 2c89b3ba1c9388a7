"""What docs/first-day.md says, typed in: from a table and a folder of pictures to a page."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

PAGE = (Path(__file__).parents[2] / "docs" / "first-day.md").read_text()
COMMANDS = [
    shlex.split(line)[1:]
    for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("perceptinit ")
]


@pytest.fixture
def folder(tmp_path):
    """Thirty grey pictures, and a spreadsheet of people who find those of like brightness alike."""
    openpyxl = pytest.importorskip("openpyxl", reason="extra 'xlsx' not installed")
    rng = np.random.default_rng(0)
    (tmp_path / "photographs").mkdir()
    levels = rng.permutation(np.linspace(20, 235, 30)).astype(int)
    for i, level in enumerate(levels):
        pixels = np.full((16, 16, 3), level, dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photographs" / f"{i}.png")
    book = openpyxl.Workbook()
    book.active.append(["anchor", "first", "second", "first_votes", "second_votes"])
    for _ in range(3000):
        anchor, first, second = rng.choice(30, 3, replace=False)
        gaps = [abs(levels[anchor] - levels[other]) for other in (first, second)]
        for_second = int(rng.binomial(5, 0.1 if gaps[0] < gaps[1] else 0.9))
        names = [f"{i}.png" for i in (anchor, first, second)]
        book.active.append([*names, 5 - for_second, for_second])
    book.save(tmp_path / "judgments.xlsx")
    return tmp_path


def test_the_page_of_the_first_day_works_as_it_stands(cli, folder):
    pytest.importorskip("matplotlib", reason="extra 'report' not installed")
    for command in COMMANDS:
        shorter = ["--seed", "0", "--set", "init.epochs=2"] if command[0] == "run" else []
        done = cli(*command, *shorter)
        assert done.returncode == 0, done.stderr
        if command[0] == "run":
            told = " ".join(done.stdout.split())
            assert "the same judgments by: pixels 32 x 32" in told
            assert "none of its images seen in training" in told
    assert (folder / "examples.png").is_file()
    words = re.sub(r"<[^>]+>", " ", (folder / "report.html").read_text())
    assert "pixels" in words
    assert "held out" in words or "seen in training" in words
