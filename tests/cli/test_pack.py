"""`perceptinit data pack`: its options, its summary, and what `validate` makes of its output."""

import re
import shlex

import pytest
from helpers.photographs import paint


@pytest.fixture
def class_folders(tmp_path):
    for i, name in enumerate(("cat", "cat", "dog")):
        (tmp_path / "photos" / name).mkdir(parents=True, exist_ok=True)
        paint(tmp_path / "photos" / name / f"{i}.png", i)
    return tmp_path / "photos"


def captions_folder(path, num=5):
    path.mkdir()
    for i in range(num):
        paint(path / f"{i}.png", i)
        (path / f"{i}.txt").write_text(f"caption {i}")


def test_the_command_reports_samples_shards_and_unreadable_records(cli, tmp_path):
    captions_folder(tmp_path / "in")
    (tmp_path / "in" / "1.png").write_bytes(b"no image")
    options = ("--max-bad-share", "0.5", "--shard-size", "3")
    done = cli("data", "pack", "in", "out", *options)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "out: 4 samples in 2 shards (0.0 MB)\n"
    assert done.stderr == (
        "warning: 1 unreadable records were skipped and are listed in out/unreadable.txt. The first: 1.png: "
        "cannot be decoded as an image (unknown image format, 8 bytes)\n"
    )
    again = cli("data", "pack", "in", "out", *options)
    assert again.stdout == "out: 4 samples in 2 shards, 2 of them finished earlier (0.0 MB)\n"


def test_an_invalid_template_is_an_error_and_writes_nothing(cli, tmp_path, class_folders):
    done = cli("data", "pack", "photos", "out", "--test-set", "--template", "a photo")
    assert done.returncode == 2
    assert done.stderr == "error: template 'a photo' has no {c}. Add it where the class name belongs\n"
    assert not (tmp_path / "out").exists()


def test_prompts_and_class_names_come_from_files(cli, tmp_path, class_folders):
    (tmp_path / "prompts.txt").write_text("a {c}\n\none {c}\n")
    (tmp_path / "names.txt").write_text("bird\ncat\ndog\n")
    files = ("--template", "prompts.txt", "--template", "the {c}", "--classes", "names.txt")
    done = cli("data", "pack", "photos", "out", "--test-set", *files)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "out: 3 test images in 1 shards (0.0 MB)\n"
    out = tmp_path / "out"
    assert (out / "zeroshot_classification_templates.txt").read_text() == "a {c}\none {c}\nthe {c}\n"
    assert (out / "classnames.txt").read_text() == "bird\ncat\ndog\n"


def test_the_command_that_validate_prints_for_a_missing_test_set_creates_it(cli, tmp_path, class_folders):
    evaluator = '[[eval]]\nuse = "zero-shot"\ndatasets = ["birds"]\nroot = "."\n'
    (tmp_path / "lab.toml").write_text(f'like = "quickstart"\nname = "lab"\n{evaluator}')
    (advice,) = re.findall(r"Create it: perceptinit (data pack .*)", cli("validate", "lab.toml").stdout)
    done = cli(*shlex.split(advice.replace("SOURCE", "photos")))
    assert done.returncode == 0, done.stderr
    assert cli("validate", "lab.toml").returncode == 0
