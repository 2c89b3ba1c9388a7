"""The commands of docs/first-day.md, from a table and a folder of images to a report."""

import io
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from helpers.made_sets import caption_set, labelled_set
from helpers.tars import write_tar
from PIL import Image

PAGE = (Path(__file__).parents[2] / "docs" / "first-day.md").read_text()
SPREADSHEET, PAPER = PAGE.split("## The paper's experiment on a GPU node")


def commands_in(text):
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("perceptinit ")]


# the recipe at a size of seconds
SHORT_TEXT = """
backbone.image_size=32 backbone.embed_dim=32 backbone.text_width=32 backbone.text_heads=2 backbone.text_layers=1
backbone.model_args={patch_size=8,embed_dim=32,depth=1,num_heads=2,class_token=false,global_pool="avg"}
init.epochs=2 init.batch_size=8 init.warmup_steps=1 init.precision="fp32" pretrain.epochs=1 pretrain.batch_size=16 pretrain.micro_batch=8 pretrain.warmup_steps=1
pretrain.precision="fp32" eval.0.missing="skip" eval.1.missing="skip" arm.post-hoc.posthoc.0.epochs=3 seeds=[0,1]
"""
SHORT = SHORT_TEXT.split()


@pytest.fixture
def folder(tmp_path):
    """Thirty gray images and a spreadsheet in which people judge similarity by brightness."""
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


def test_the_commands_of_the_first_day_page_run(cli, folder):
    pytest.importorskip("matplotlib", reason="extra 'report' not installed")
    for command in commands_in(SPREADSHEET):
        shorter = ["--seed", "0", "--set", "init.epochs=2"] if command[0] == "run" else []
        done = cli(*command, *shorter)
        assert done.returncode == 0, done.stderr
        if command[0] == "run":
            output = " ".join(done.stdout.split())
            assert re.search("(learns|learn more of) the judgments", output)
            assert "the task of stage 1 in pi and shuffled, with other images" in output
    assert (folder / "examples.png").is_file()
    words = re.sub(r"<[^>]+>", " ", (folder / "report.html").read_text())
    assert "pixels" in words
    assert "held out" in words or "with other images" in words


def picture(value, size=24):
    pixels = np.random.default_rng(value).integers(0, 256, (size, size, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


@pytest.fixture
def node(tmp_path):
    """Data in the published layouts: NIGHTS, shards of img2dataset, and two test sets of clip-benchmark."""
    lines = ["id,left_vote,right_vote,votes,ref_path,left_path,right_path,split,is_imagenet"]
    for i in range(36):
        names = [f"ref/000/{i:03d}.png", f"distort/000/{i:03d}_0.png", f"distort/000/{i:03d}_1.png"]
        for number, name in enumerate(names):
            path = tmp_path / "data/nights" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(picture(3 * i + number))
        lines.append(
            f"{i},{i % 7},{6 - i % 7},6,{','.join(names)},{('train', 'train', 'val', 'test')[i % 4]},True"
        )
    (tmp_path / "data/nights/data.csv").write_text("\n".join([*lines, ""]))
    for shard in range(3):  # img2dataset also writes statistics next to each shard
        members = []
        for i in range(16 * shard, 16 * (shard + 1)):
            members += [
                (f"{i:09d}.png", picture(i)),
                (f"{i:09d}.txt", b"a picture"),
                (f"{i:09d}.json", b"{}"),
            ]
        write_tar(tmp_path / f"data/yfcc15m/{shard:05d}.tar", members)
        (tmp_path / f"data/yfcc15m/{shard:05d}_stats.json").write_text("{}")
    labelled_set(tmp_path / "data/eval/imagenet1k", [0, 1, 2, 0, 1, 2], 1000)
    caption_set(tmp_path / "data/eval/retrieval/flickr_1k_test_image_text_retrieval", [["one"], ["two"]])
    return tmp_path


@pytest.mark.slow
def test_the_commands_from_download_to_report_run_on_data_of_the_published_layouts(cli, node):
    pytest.importorskip("matplotlib", reason="extra 'report' not installed")
    for command in commands_in(PAPER):
        if "--yes" in command:  # a download, which needs a network
            continue
        settings = [word for setting in SHORT for word in ("--set", setting)]
        short = [] if {"data", "report", "--smoke"} & set(command) else settings
        some = ["--arm", "random", "--arm", "pi"] if command[0] == "run" else []
        done = cli(*command, *short, *some, *(["--anyway"] if command[0] == "preregister" else []))
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    assert "pi - random" in (node / "report.html").read_text()
