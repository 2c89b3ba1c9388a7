"""The commands and the code of docs/align.md, with a small model instead of a published one."""

import contextlib
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

PAGE = (Path(__file__).parents[2] / "docs" / "align.md").read_text()
NUM_IMAGES = 60


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def write_judgments(path, folder, num, levels, rng):
    """Write a table of people who judge similarity by brightness, and its images."""
    folder.mkdir()
    for i, level in enumerate(levels):
        Image.fromarray(np.full((16, 16, 3), level, np.uint8)).save(folder / f"{i}.png")
    rows = ["anchor,first,second,first_votes,second_votes"]
    for _ in range(num):
        anchor, first, second = rng.choice(len(levels), 3, replace=False)
        is_first = abs(levels[anchor] - levels[first]) < abs(levels[anchor] - levels[second])
        votes = int(rng.binomial(5, 0.1 if is_first else 0.9))
        rows.append(f"{anchor}.png,{first}.png,{second}.png,{5 - votes},{votes}")
    path.write_text("\n".join([*rows, ""]))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two tables with images, and the weights of a small model."""
    rng = np.random.default_rng(0)
    levels = rng.permutation(np.linspace(20, 235, NUM_IMAGES)).astype(int)
    write_judgments(tmp_path / "judgments.csv", tmp_path / "photographs", 4000, levels, rng)
    write_judgments(tmp_path / "other.csv", tmp_path / "objects", 60, levels[:10], rng)
    torch.manual_seed(0)
    save_file(timm.create_model("test_vit").state_dict(), tmp_path / "published.safetensors")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PERCEPTINIT_CACHE", str(tmp_path / "cache"))
    return tmp_path


def of_small_model(text):
    """Return code or a command with the small model, and short training."""
    published = 'timm.create_model("vit_small_patch16_224.augreg_in21k_ft_in1k"'
    file = ', pretrained_cfg_overlay={"file": "published.safetensors"}'
    text = text.replace("pretrained=True", f"pretrained=True{file}")
    text = text.replace(published, 'timm.create_model("test_vit"')
    text = text.replace(
        "timm:vit_small_patch16_224:augreg_in21k_ft_in1k", "timm:test_vit:published.safetensors"
    )
    text = text.replace("timm:vit_small_patch16_224", "timm:test_vit")
    return text.replace("{}", '{"pull": 0.3}').replace('"last_blocks": 2}', '"last_blocks": 2, "epochs": 1}')


def test_the_page_runs_from_the_judgments_to_the_aligned_weights(cli, folder):
    check, before, after = (
        shlex.split(of_small_model(block).replace("\\\n", " "))[1:] for block in blocks("console")
    )
    align, use, use_map = map(of_small_model, blocks("python"))
    assert cli(*check).returncode == 0
    assert "trivial" in cli(*before).stdout
    with contextlib.redirect_stdout(None):
        exec(compile(align, "align.py", "exec"), {})
    names = {"images": torch.rand(2, 3, 160, 160)}
    exec(compile(use, "align.md", "exec"), names)
    exec(compile(use_map, "align.md", "exec"), names)
    assert names["embeddings"].shape == (2, 64)
    # the baseline is named by its file here, by its tag on the page
    done = cli(*[word.replace("published.safetensors", "published") if i and after[i - 1] == "--baseline" else word
                 for i, word in enumerate(after)])  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "timm:test_vit:linear" in done.stdout
    assert "timm:test_vit:last_blocks" in done.stdout
