"""`perceptinit eval`, and test sets of `perceptinit data`, through the command line."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers.made_hub import served_hub
from helpers.made_sets import caption_set, labelled_set, png
from PIL import Image
from safetensors.torch import load_file, save_file

RECIPE = """
schema = 1
name = "tiny"
[backbone]
use = "timm"
model = "vit_tiny_patch16_224"
image_size = 32
embed_dim = 32
text_width = 32
text_heads = 2
text_layers = 1
[backbone.model_args]
patch_size = 8
embed_dim = 32
depth = 1
num_heads = 2
[pretrain]
use = "clip"
epochs = 2
batch_size = 16
warmup_steps = 1
[pretrain.pairs]
use = "synthetic"
num_pairs = 32
[[eval]]
use = "zero-shot"
datasets = ["synthetic"]
synthetic_num_images = 40
[[eval]]
use = "two-afc"
[eval.judgments]
use = "synthetic"
num_test = 60
[[eval]]
use = "keep-weights"
"""


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(RECIPE)
    return path


def test_eval_of_all_epochs_reproduces_the_scores_of_the_run(cli, tmp_path, recipe):
    done = cli("run", recipe)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "runs/tiny/default/seed0/record.json").read_text())
    done = cli("eval", "runs/tiny", "--weights", "all", "--format", "json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["measured"]
    ours = {(r["samples_seen"], r["name"]): r["value"] for r in rows}
    theirs = {(r["samples_seen"], r["name"]): r["value"] for r in record["scores"]}
    assert {samples for samples, _ in ours} == {0, 32, 64}
    assert ours == theirs


def test_initial_weights_are_evaluated_although_only_final_weights_are_kept(cli, tmp_path, recipe):
    recipe.write_text(RECIPE + 'every = "end"\n')  # of keep-weights, the last evaluator
    done = cli("run", recipe)
    assert done.returncode == 0, done.stderr
    done = cli("eval", "runs/tiny", "--weights", "all", "--format", "json")
    assert done.returncode == 0, done.stderr
    assert {row["samples_seen"] for row in json.loads(done.stdout)["measured"]} == {0, 64}


def test_weights_that_do_not_match_the_record_are_not_evaluated(cli, tmp_path, recipe):
    assert cli("run", recipe).returncode == 0
    file = tmp_path / "runs/tiny/default/seed0/weights/final.safetensors"
    weights = load_file(file)
    weights["logit_scale"] += 1e-3
    save_file(weights, file)  # a valid file, but of a different training
    done = cli("eval", "runs/tiny")
    assert done.returncode == 1
    assert f"{file.relative_to(tmp_path)}: the weights do not match their checksum" in done.stderr
    assert "top1" not in done.stdout


def write_checkpoints(folder, count):
    from perceptinit.backbones.timm_backbone import Timm
    from perceptinit.recipe.reading import read_recipe
    from perceptinit.seeding import named_torch_seed

    folder.mkdir()
    config = read_recipe(RECIPE).backbone.config
    for seed in range(count):
        with named_torch_seed(seed, "test"):
            state = Timm(config).build().state_dict()
        save_file({k: v.clone() for k, v in state.items()}, folder / f"step{seed}.safetensors")


@pytest.mark.parametrize(("cache_mib", "sizes"), [(2048, [1, 1, 1]), (1, [2, 1])])
def test_one_model_is_in_memory_at_a_time_if_all_images_are(
    cli, tmp_path, recipe, monkeypatch, cache_mib, sizes
):
    from perceptinit.evaluating import measure

    write_checkpoints(tmp_path / "checkpoints", 3)
    labelled_set(tmp_path / "sets" / "mnist", [0, 1, 2] * 3, 10)
    build = measure._build
    together = []

    def count(group, session):
        together.append(len(group))
        return build(group, session)

    monkeypatch.setattr(measure, "_build", count)
    done = cli(
        "eval", "checkpoints", "--backbone", recipe, "--on", f"mnist,root=sets,cache_mib={cache_mib}", "--no-cache",
        "--at-once", "2",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert together == sizes


def test_a_folder_of_checkpoints_gives_a_table_with_family_averages(cli, tmp_path, recipe):
    write_checkpoints(tmp_path / "checkpoints", 2)
    for name in ("mnist", "stl10"):
        labelled_set(tmp_path / "sets" / name, [0, 1, 2] * 3, 10)
    caption_set(tmp_path / "sets" / "captions", [["a cat", "one cat"], ["a dog"]])
    arguments = [
        "eval", "checkpoints", "--backbone", recipe, "--no-cache",
        "--on", "mnist,root=sets", "--on", "stl10,root=sets", "--on", "captions,root=sets",
    ]  # fmt: skip
    done = cli(*arguments, "--all")
    assert done.returncode == 0, done.stderr
    for text in ("step0", "step1", "top1/mnist", "mean of 2 sets", "image_recall_1/captions"):
        assert text in done.stdout
    rows = list(csv.DictReader(io.StringIO(cli(*arguments, "--format", "csv").stdout)))
    top1 = [r for r in rows if r["measure"] == "top1" and r["arm"] == "step0"]
    assert [r["data_set"] for r in top1] == ["mnist", "stl10"]
    found = json.loads(cli(*arguments, "--format", "json").stdout)
    assert {r["extra"].get("precision") for r in found["measured"] if "top1" in r["name"]} == {"fp32"}
    mean = next(r for r in found["scores"] if r["score"] == "top1/mean of 2 sets" and r["arm"] == "step0")
    assert mean["mean"] == pytest.approx(sum(float(r["value"]) for r in top1) / 2)


def test_runs_of_a_recipe_are_arms_over_seeds(cli, tmp_path, recipe):
    arms = '[[arm]]\nname = "a"\n[[arm]]\nname = "b"\n'
    recipe.write_text(f"{RECIPE.replace('[backbone]', 'seeds = [0, 1]' + chr(10) + '[backbone]')}{arms}")
    assert cli("run", recipe).returncode == 0
    (tmp_path / "scores.csv").write_text(cli("eval", "runs/tiny", "--format", "csv").stdout)
    done = cli("eval", "runs/tiny")
    assert done.returncode == 0, done.stderr
    assert "2 of 2" in done.stdout
    assert cli("compare", "scores.csv").stdout == done.stdout


def test_eval_fails_if_every_set_is_missing_and_skipped(cli, tmp_path, recipe):
    write_checkpoints(tmp_path / "weights", 1)
    options = ("--backbone", str(recipe), "--on", "gone,root=sets,missing=skip", "--device", "cpu")
    done = cli("eval", "weights", *options)
    assert done.returncode == 1
    assert "zero-shot: 1 sets are missing and skipped: gone" in done.stderr


def test_a_corrupt_image_excludes_only_its_set(cli, tmp_path, recipe):
    write_checkpoints(tmp_path / "checkpoints", 1)
    labelled_set(tmp_path / "sets" / "good", [0, 1], 2)
    labelled_set(tmp_path / "sets" / "bad", [0, 1], 2, images=[png(0), b"no image"])
    labelled_set(tmp_path / "sets" / "short", [0, 1], 1)
    done = cli(
        "eval", "checkpoints", "--backbone", recipe, "--no-cache", "--format", "csv",
        "--on", "good,root=sets", "--on", "bad,root=sets", "--on", "short,root=sets",
    )  # fmt: skip
    assert done.returncode == 1
    assert "First error: bad/test/0.tar/s0000001: cannot be decoded as an image" in done.stderr
    assert "label 1, but there are 1 class names" in done.stderr
    assert {r["data_set"] for r in csv.DictReader(io.StringIO(done.stdout))} == {"good"}


def test_a_model_with_nan_weights_does_not_affect_other_models(cli, tmp_path, recipe):
    write_checkpoints(tmp_path / "checkpoints", 2)
    from safetensors.torch import load_file

    file = tmp_path / "checkpoints" / "step1.safetensors"
    state = load_file(file)
    save_file({k: torch.full_like(v, float("nan")) for k, v in state.items()}, file)
    done = cli(
        "eval",
        "checkpoints",
        "--backbone",
        recipe,
        "--on",
        "smoke",
        "--format",
        "csv",
        "--no-cache",
    )
    assert done.returncode == 1
    assert "step1 has no score: the text embeddings are not finite" in done.stderr
    assert {r["arm"] for r in csv.DictReader(io.StringIO(done.stdout))} == {"step0"}


def test_a_checkpoint_that_does_not_fit_does_not_affect_other_models(cli, tmp_path, recipe):
    write_checkpoints(tmp_path / "checkpoints", 1)
    save_file({"image.mean": torch.zeros(3)}, tmp_path / "checkpoints" / "other.safetensors")
    done = cli("eval", "checkpoints", "--backbone", recipe, "--on", "smoke", "--format", "csv")
    assert done.returncode == 1
    assert "does not fit ImageModel" in done.stderr  # it has no text tower
    assert {r["arm"] for r in csv.DictReader(io.StringIO(done.stdout))} == {"step0"}


def test_a_damaged_checkpoint_is_reported_before_evaluation_starts(cli, tmp_path, recipe):
    (tmp_path / "broken.safetensors").write_text("no weights")
    done = cli("eval", "broken.safetensors", "--backbone", recipe, "--on", "smoke")
    assert done.returncode == 1
    assert "broken.safetensors: not a readable safetensors file" in done.stderr


def test_a_timm_model_is_evaluated_on_image_measures_only(cli, tmp_path):
    table = '[[eval]]\nuse = "two-afc"\n[eval.judgments]\nuse = "synthetic"\nnum_test = 10\n'
    (tmp_path / "small.toml").write_text(RECIPE.partition("[[eval]]")[0] + table)
    done = cli("eval", "timm:test_vit", "--on", "smoke", "--on", "small.toml")
    assert done.returncode == 1
    assert (
        "timm:test_vit (random weights): zero-shot skipped, because the model has no text tower"
        in done.stderr
    )
    assert "2afc" in done.stdout
    assert "top1" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["nowhere"],
            "nowhere: no such file or folder, and not open-clip:MODEL, timm:MODEL or package.module:function",
        ),
        (
            ["timm:resnet50.a1_in1k"],
            "timm:resnet50.a1_in1k: 'a1_in1k' names weights. They follow a colon: timm:resnet50:a1_in1k",
        ),
        (["open-clip:ViT-B-33"], "open_clip has no model 'ViT-B-33'"),
        (["timm:test_vit"], "no evaluator. Name judgments, test sets or a recipe with --on"),
        (["a", "--weights", "last"], "--weights: no weights 'last'"),
    ],
)
def test_invalid_arguments_of_eval_are_reported(cli, arguments, sentence):
    done = cli("eval", *arguments)
    assert done.returncode == 2
    assert sentence in done.stderr.replace("\n", " ")


@pytest.mark.slow  # starts two processes through torchrun
def test_two_processes_share_the_images_and_report_the_scores_of_one(cli, tmp_path, recipe):
    write_checkpoints(tmp_path / "checkpoints", 1)
    labelled_set(tmp_path / "sets" / "set", list(range(7)), 7)
    caption_set(tmp_path / "sets" / "captions", [["a"], ["b", "c"], ["d"]])
    arguments = [
        "eval", "checkpoints", "--backbone", recipe, "--no-cache", "--format", "csv", "--device", "cpu",
        "--on", "set,root=sets,batch_size=2", "--on", "captions,root=sets,batch_size=2",
    ]  # fmt: skip
    alone = cli(*arguments)
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
    ]
    together = subprocess.run(
        [*command, "-m", "perceptinit", *map(str, arguments)],
        capture_output=True, text=True, cwd=tmp_path, check=False, timeout=300,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert together.returncode == 0, together.stderr
    assert together.stdout == alone.stdout


def test_data_list_reports_complete_partial_wrong_and_missing_sets(cli, tmp_path):
    labelled_set(tmp_path / "sets" / "mnist", [0, 1], 10)
    labelled_set(tmp_path / "sets" / "stl10", [0, 11], 10)
    done = cli("data", "list", "paper29,root=sets")
    assert done.returncode == 0, done.stderr
    rows = {line.split()[0]: line for line in done.stdout.splitlines() if line.split()}
    assert rows["mnist"].rstrip().endswith("partial")
    assert rows["stl10"].rstrip().endswith("wrong")
    assert rows["cars"].rstrip().endswith("missing")
    assert "mnist: 2 images, but 10,000 are published" in done.stdout
    assert "0 of 31 sets are complete" in done.stdout


def test_data_check_decodes_every_image_of_a_set(cli, tmp_path):
    labelled_set(tmp_path / "images", [0, 1], 2, images=[png(0), b"no image"])
    done = cli("data", "check", "images,root=.")
    assert done.returncode == 1
    assert "error images/test/0.tar/s0000001: cannot be decoded as an image" in done.stdout
    assert "1 images decoded, 1 failed" in done.stdout
    assert cli("data", "check", "images,root=.", "--quick").returncode == 0


@pytest.mark.parametrize(
    ("verb", "said"), [("check", "2 images decoded"), ("list", "1 of 1 sets are complete")]
)
def test_a_path_to_a_set_is_not_resolved_below_root(cli, tmp_path, verb, said):
    labelled_set(tmp_path / "sets" / "images", [0, 1], 2)
    labelled_set(tmp_path / "images", [0, 1, 0], 2, images=[png(0), png(1), b"no image"])
    done = cli("data", verb, "./sets/images")
    assert done.returncode == 0, done.stdout + done.stderr
    assert said in done.stdout


def test_data_check_counts_images_with_transparent_parts(cli, tmp_path):
    file = io.BytesIO()
    Image.new("RGBA", (4, 4), (9, 9, 9, 100)).save(file, "PNG")
    labelled_set(tmp_path / "images", [0, 1], 2, images=[png(0), file.getvalue()])
    done = cli("data", "check", "images,root=.")
    assert "images: 1 images have transparent parts; alpha is dropped, as" in done.stdout


@pytest.fixture
def hub(tmp_path):
    with served_hub(tmp_path / "hub") as endpoint:
        yield endpoint


def test_data_download_fetches_a_readable_set(cli, tmp_path, hub):
    labelled_set(tmp_path / "hub/datasets/djghosh/wds_mnist_test", [0, 1], 10)
    done = cli("data", "download", "mnist", "--yes", "--out", "sets", HF_ENDPOINT=hub)
    assert done.returncode == 0, done.stderr
    listed = cli("data", "list", "mnist,root=sets")
    assert "mnist: 2 images, but 10,000 are published" in listed.stdout
    missing = cli("data", "download", "birdsnap", "--yes", "--out", "sets", HF_ENDPOINT=hub)
    assert missing.returncode == 1
    assert "birdsnap, into sets/birdsnap: from its images: perceptinit data pack" in missing.stderr


def test_a_gated_set_is_downloaded_with_the_token_of_the_user(cli, tmp_path, hub):
    labelled_set(tmp_path / "hub/datasets/djghosh/wds_mnist_test", [0, 1], 10)
    (tmp_path / "hub/.gated").touch()
    refused = cli("data", "download", "mnist", "--yes", "--out", "sets", HF_ENDPOINT=hub, HF_TOKEN="")
    assert refused.returncode == 1
    assert "HTTP 401" in refused.stderr
    assert (
        "Accept the terms of the set on its page and log in (hf auth login), or set HF_TOKEN"
        in refused.stderr
    )
    done = cli("data", "download", "mnist", "--yes", "--out", "sets", HF_ENDPOINT=hub, HF_TOKEN="secret")
    assert done.returncode == 0, done.stderr
    assert "secret" not in done.stdout + done.stderr
    assert not any(b"secret" in f.read_bytes() for f in (tmp_path / "sets").rglob("*.json"))


def test_a_hub_address_is_downloaded_once(cli, tmp_path, recipe, hub):
    write_checkpoints(tmp_path / "checkpoints", 1)
    labelled_set(tmp_path / "hub/datasets/me/wds_pets_test", [0, 1], 2)
    arguments = [
        "eval", "checkpoints", "--backbone", recipe, "--no-cache", "--format", "csv",
        "--on", "https://huggingface.co/datasets/me/wds_pets_test/tree/main",
    ]  # fmt: skip
    settings = {"HF_ENDPOINT": hub, "PERCEPTINIT_CACHE": str(tmp_path / "cache")}
    first = cli(*arguments, **settings)
    assert first.returncode == 0, first.stderr
    assert {r["data_set"] for r in csv.DictReader(io.StringIO(first.stdout))} == {"wds_pets_test"}
    again = cli(*arguments, **{**settings, "HF_ENDPOINT": "http://127.0.0.1:9"})
    assert again.stdout == first.stdout
