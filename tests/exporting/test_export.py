"""Exported folders load in other libraries, in a process without perceptinit, with equal outputs."""

import csv
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from perceptinit import exporting
from perceptinit.errors import CheckpointError, UsageError
from perceptinit.exporting.source import TrainedRun, open_run
from perceptinit.exporting.timm_folder import with_classifier
from perceptinit.files.markup import to_markdown
from perceptinit.recipe.reading import load_recipe, read_recipe
from perceptinit.results.record import describe_stages, read_record, write_record
from perceptinit.running.runner import run_recipe

TEXTS = ["a red cup", "two small dogs on a sofa"]
TEXT_TOWER = "embed_dim = 24\ntext_width = 32\ntext_heads = 2\ntext_layers = 1\ncontext_length = 16"
SMALL_VIT = "[backbone.model_args]\npatch_size = 8\nembed_dim = 32\ndepth = 2\nnum_heads = 2"
BACKBONES = {
    "clip-vit": f'use = "timm"\nmodel = "vit_base_patch32_clip_224"\nimage_size = 32\n{TEXT_TOWER}\n{SMALL_VIT}',
    "vit": f'use = "timm"\nmodel = "vit_tiny_patch16_224"\nimage_size = 32\n{TEXT_TOWER}\n{SMALL_VIT}',
    "convnext": f'use = "timm"\nmodel = "convnext_atto"\ntext_quick_gelu = true\n{TEXT_TOWER}',
    "open-clip": (
        'use = "open-clip"\nmodel = "ViT-B-32"\nimage_size = 32\nembed_dim = 24\n'
        "vision_args = { width = 32, head_width = 16, layers = 2, patch_size = 8 }\n"
        "text_args = { width = 32, heads = 2, layers = 1, context_length = 16 }"
    ),
}
PAIRS = [
    ("clip-vit", "timm"), ("vit", "timm"), ("convnext", "timm"),
    ("clip-vit", "open-clip"), ("vit", "open-clip"), ("convnext", "open-clip"), ("open-clip", "open-clip"),
    ("clip-vit", "huggingface"), ("vit", "huggingface"), ("convnext", "huggingface"), ("open-clip", "huggingface"),
    ("vit", "onnx"), ("open-clip", "onnx"),
]  # fmt: skip
NEEDS = {"huggingface": ["transformers"], "onnx": ["onnx", "onnxruntime"]}
RECIPE = """
schema = 1
name = "exported"
summary = "a run to export"
[backbone]
{backbone}
[[arm]]
name = "pi"
[[arm.init]]
use = "triplet-hinge"
epochs = 1
batch_size = 2
allow_collapse = true
[arm.init.judgments]
use = "synthetic"
num_train = 8
num_val = 8
"""

LOADER = """
import json, sys, torch
from safetensors.torch import load_file, save_file

def timm(folder, x):
    import timm
    return {"image": timm.create_model(f"local-dir:{folder}", pretrained=True).eval()(x["normalized"])}

def open_clip(folder, x):
    import open_clip
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    model.eval()
    tokens = open_clip.get_tokenizer(f"local-dir:{folder}")(TEXTS)
    assert (tokens == x["tokens"]).all()
    normalize = transform.transforms[-1]
    return {"image": model.encode_image(x["normalized"]), "text": model.encode_text(tokens),
            "scale": model.logit_scale, "mean": torch.tensor(normalize.mean)}

def huggingface(folder, x):
    from transformers import AutoModel, AutoProcessor, AutoImageProcessor
    model = AutoModel.from_pretrained(folder).eval()
    if not hasattr(model, "text_model"):
        AutoImageProcessor.from_pretrained(folder)
        return {"image": model(pixel_values=x["normalized"]).pooler_output}
    processor = AutoProcessor.from_pretrained(folder)
    words = processor(text=TEXTS, padding=True, return_tensors="pt")
    out = model(pixel_values=x["normalized"], **words)
    return {"unit_image": out.image_embeds, "unit_text": out.text_embeds, "scale": model.logit_scale,
            "mean": torch.tensor(processor.image_processor.image_mean)}

def onnx(folder, x):
    import onnxruntime
    image, text = (onnxruntime.InferenceSession(f"{folder}/{n}.onnx") for n in ("image", "text"))
    (a,), (b,) = image.run(None, {"images": x["images"].numpy()}), text.run(None, {"tokens": x["tokens"].numpy()})
    return {"embedding": torch.tensor(a), "text": torch.tensor(b)}

TEXTS = json.loads(sys.argv[1])
with torch.no_grad():
    for target, folder, given, answer in json.loads(sys.argv[2]):
        out = globals()[target.replace("-", "_")](folder, load_file(given))
        save_file({k: v.detach().contiguous().clone() for k, v in out.items()}, answer)
assert not [name for name in sys.modules if name.startswith("perceptinit")]
"""


def is_installed(target):
    return all(importlib.util.find_spec(package) for package in NEEDS.get(target, ()))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A finished run of each backbone."""
    out = tmp_path_factory.mktemp("runs")
    folders = {}
    for name, backbone in BACKBONES.items():
        run_recipe(read_recipe(RECIPE.format(backbone=backbone)), out=out / name, device="cpu")
        folders[name] = out / name / "exported" / "pi" / "seed0"
    return folders


def inputs_and_outputs(run):
    """Return inputs for other libraries and the outputs of our model; 3 images, because tracing used 2."""
    model = open_run(run).model
    images = torch.rand(3, 3, model.image_size, model.image_size, generator=torch.Generator().manual_seed(0))
    tokens = torch.zeros(2, model.context_length, dtype=torch.int64)
    ids = model.tokenize(TEXTS)
    tokens[:, : ids.shape[1]] = ids
    normalize = torch.nn.functional.normalize
    with torch.no_grad():
        image, text = model.encode_image(images), model.encode_text(tokens)
        features = model.image.trunk(model.image.normalize(images))
    given = {"images": images, "normalized": model.image.normalize(images), "tokens": tokens}
    wanted = {"features": features, "embedding": image, "text": text, "scale": model.logit_scale}
    wanted |= {
        "unit_image": normalize(image),
        "unit_text": normalize(text),
        "mean": model.image.mean,
    }
    return given, wanted


@pytest.fixture(scope="module")
def answers(runs, tmp_path_factory):
    """Outputs of each pair in the other library, from one process without perceptinit."""
    root = tmp_path_factory.mktemp("exports")
    jobs, wanted = [], {}
    for backbone, target in PAIRS:
        if not is_installed(target):
            continue
        stem = root / f"{backbone}-{target}"
        exporting.export(runs[backbone], target, stem)
        given, wanted[backbone, target] = inputs_and_outputs(runs[backbone])
        save_file({k: v.contiguous() for k, v in given.items()}, f"{stem}-in.safetensors")
        jobs.append([target, str(stem), f"{stem}-in.safetensors", f"{stem}-out.safetensors"])
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", LOADER, json.dumps(TEXTS), json.dumps(jobs)],
        env={**env, "HF_HUB_OFFLINE": "1"}, cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {
        (backbone, target): (load_file(root / f"{backbone}-{target}-out.safetensors"), expected)
        for (backbone, target), expected in wanted.items()
    }


@pytest.mark.slow
@pytest.mark.parametrize(("backbone", "target"), PAIRS)
def test_exported_models_have_equal_outputs_without_perceptinit(backbone, target, answers):
    if not is_installed(target):
        pytest.skip(f"extra '{target}' is not installed")
    found, wanted = answers[backbone, target]
    only_trunk = target == "timm" or (target == "huggingface" and backbone in ("vit", "convnext"))
    if "image" in found:
        wanted = {**wanted, "image": wanted["features" if only_trunk else "embedding"]}
    assert found
    for name, value in found.items():
        torch.testing.assert_close(value, wanted[name].detach(), rtol=1e-5, atol=1e-5, msg=name)


def test_the_model_card_contains_scores_data_license_and_recipe(runs, tmp_path):
    folder = exporting.export(runs["vit"], "timm", tmp_path / "out")
    card = (folder / "README.md").read_text()
    assert card.startswith("---\nlicense: other\nlibrary_name: timm\n")
    assert "`synthetic`: Simulated similarity judgments" in card
    assert "License: Apache-2.0" in card
    assert 'use = "triplet-hinge"' in card
    assert 'timm.create_model("local-dir:FOLDER", pretrained=True)' in card


def test_the_model_card_contains_the_reports_of_initializers(runs, tmp_path):
    card = (exporting.export(runs["vit"], "timm", tmp_path / "out") / "README.md").read_text()
    _, _, section = card.partition("\n## Initialization\n\n")
    shown = section.partition("\n\n")[0].splitlines()
    lines = list(describe_stages(read_record(runs["vit"] / "record.json")))
    assert shown == [f"* {to_markdown(line)}" for line in lines]
    assert any(line.startswith("mean cosine distance of two images: ") for line in lines)


def test_a_model_that_a_library_does_not_support_is_refused(runs, tmp_path):
    with pytest.raises(UsageError) as error:
        exporting.export(runs["open-clip"], "timm", tmp_path / "out")
    assert "exported, arm pi, seed 0 cannot be exported to timm: its image tower is a" in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_map_cannot_be_exported_to_a_timm_model_whose_classifier_is_not_linear():
    import timm

    trunk = timm.create_model("levit_128s", num_classes=0)  # its classifier begins with a batch norm
    image = SimpleNamespace(projection=torch.nn.Linear(trunk.num_features, 8, bias=False))
    model = SimpleNamespace(image=image, embed_dim=8, image_size=224)
    record = {"recipe": {"name": "mapped"}, "arm": {"name": "pi"}, "seed": 0}
    with pytest.raises(UsageError, match=r"its classifier is not a linear layer.*Use onnx"):
        with_classifier(TrainedRun(model, {}, record, None), trunk)


def test_a_damaged_run_is_not_exported(runs, tmp_path):
    copy = tmp_path / "seed0"
    shutil.copytree(runs["vit"], copy)
    record = read_record(copy / "record.json")
    record["hashes"]["final"]["model"] = "0" * 64
    write_record(copy / "record.json", record)
    with pytest.raises(CheckpointError, match=r"final\.safetensors: the weights do not match their checksum"):
        open_run(copy)


@pytest.mark.parametrize(
    ("backbone", "target"),
    [
        ("vit", "timm"),
        ("vit", "open-clip"),
        ("vit", "huggingface"),
        ("clip-vit", "huggingface"),
        ("vit", "onnx"),
    ],
)
def test_exports_have_equal_bytes_usual_permissions_and_hashes(backbone, target, runs, tmp_path):
    if not is_installed(target):
        pytest.skip(f"extra '{target}' is not installed")
    folders = [exporting.export(runs[backbone], target, tmp_path / f"{i}") for i in range(3)]
    names = sorted(path.name for path in folders[0].iterdir())
    contents = [[(folder / name).read_bytes() for name in names] for folder in folders]
    assert contents[0] == contents[1] == contents[2]
    umask = os.umask(0o022)
    os.umask(umask)
    assert {path.stat().st_mode & 0o777 for path in folders[0].iterdir()} == {0o666 & ~umask}
    done = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=folders[0], capture_output=True, check=False)
    assert (done.returncode, len(done.stdout.splitlines())) == (0, len(names) - 1)


def test_a_damaged_export_is_not_evaluated(runs, cli, tmp_path):
    folder = exporting.export(runs["vit"], "timm", tmp_path / "out")
    command = ("eval", folder, "--backbone", "timm:vit_tiny_patch16_224", "--on", "smoke")
    path = folder / "config.json"
    path.write_bytes(path.read_bytes().replace(b"0.5", b"0.4", 1))
    failed = cli(*command)
    assert failed.returncode == 1
    assert "config.json: damaged or missing (it does not match SHA256SUMS). Export it again" in failed.stderr


def test_an_unknown_target_or_folder_is_reported(runs, tmp_path):
    with pytest.raises(
        UsageError, match=r"no export target called 'hugingface'\. Did you mean 'huggingface'"
    ):
        exporting.export(runs["vit"], "hugingface", tmp_path / "out")
    with pytest.raises(UsageError, match=r"no record\.json\. Specify the folder of one run"):
        exporting.export(tmp_path, "timm", tmp_path / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(UsageError, match="the folder is not empty"):
        exporting.export(runs["vit"], "timm", tmp_path / "full")


def test_export_writes_into_the_folder_of_the_run(runs, cli):
    done = cli("export", runs["vit"], "timm")
    assert done.returncode == 0, done.stderr
    assert (runs["vit"] / "export" / "timm" / "config.json").is_file()


def test_push_requires_a_login(tmp_path, monkeypatch):
    import huggingface_hub
    from huggingface_hub.errors import LocalTokenNotFoundError

    class NotLoggedIn:
        def whoami(self):
            raise LocalTokenNotFoundError("no token")

    monkeypatch.setattr(huggingface_hub, "HfApi", NotLoggedIn)
    with pytest.raises(UsageError, match=r"was not pushed\. Log in first: hf auth login"):
        exporting.push(tmp_path, "lab/model")


def test_push_uploads_the_folder_and_returns_its_address(tmp_path, monkeypatch):
    import huggingface_hub

    calls = []

    class LoggedIn:
        def whoami(self):
            return {}

        def create_repo(self, repository, exist_ok):
            calls.append(("create", repository, exist_ok))

        def upload_folder(self, folder_path, repo_id):
            calls.append(("upload", folder_path, repo_id))

    monkeypatch.setattr(huggingface_hub, "HfApi", LoggedIn)
    address = exporting.push(tmp_path, "lab/model")
    assert re.fullmatch(r"https://[a-z.]+/lab/model", address)
    assert calls == [("create", "lab/model", True), ("upload", tmp_path, "lab/model")]


def test_a_text_projection_with_a_bias_cannot_be_exported_to_transformers(tmp_path):
    biased = BACKBONES["open-clip"].replace("layers = 1,", "layers = 1, proj_bias = true,")
    run_recipe(read_recipe(RECIPE.format(backbone=biased)), out=tmp_path, device="cpu")
    with pytest.raises(UsageError, match="cannot be exported to huggingface: its towers differ"):
        exporting.export(tmp_path / "exported" / "pi" / "seed0", "huggingface", tmp_path / "out")


@pytest.mark.parametrize("target", ["timm", "huggingface"])
def test_a_convmixer_of_an_unpublished_size_cannot_be_exported_to_timm(target, tmp_path):
    sizes = "model_args = { dim = 32, depth = 2, kernel_size = 3, patch_size = 8 }"
    backbone = f'use = "timm"\nmodel = "convmixer_768_32"\nimage_size = 32\n{TEXT_TOWER}\n{sizes}'
    run_recipe(read_recipe(RECIPE.format(backbone=backbone)), out=tmp_path, device="cpu")
    with pytest.raises(UsageError, match=r"ConvMixers in the published sizes only\. Use onnx"):
        exporting.export(tmp_path / "exported" / "pi" / "seed0", target, tmp_path / "out")


# ---- scores of exported folders --------------------------------------------------------------------

JUDGED = """
schema = 1
name = "judged"
[data.mine]
use = "table"
path = "{folder}/judgments.csv"
images = "{folder}/images"
[backbone]
fit = "{fit}"
{backbone}
[[eval]]
use = "two-afc"
judgments.like = "data.mine"
[[arm]]
name = "pi"
[[arm.init]]
{stage}
eval_split = "train"
judgments.like = "data.mine"
"""
HINGE = 'use = "triplet-hinge"\nepochs = 2\nbatch_size = 16\nlr = 1e-3'
LINEAR = 'use = "linear"\npull = 0.1'
OWN = 'use = "timm"\nmodel = "test_resnet"\nimage_size = 64\nembed_dim = 128\ntext_width = 128\ntext_heads = 4\ntext_layers = 2'
SCORED = [
    ("own", "timm", "center-crop"), ("own", "open-clip", "squash"), ("own", "huggingface", "center-crop"),
    ("own", "onnx", "pad"), ("clip-vit", "timm", "pad"), ("clip-vit", "open-clip", "pad"),
    ("clip-vit", "huggingface", "center-crop"), ("clip-vit", "huggingface", "squash"), ("open-clip", "onnx", "squash"),
    ("linear", "timm", "squash"), ("linear", "open-clip", "squash"), ("linear", "huggingface", "squash"),
    ("linear", "onnx", "squash"),
]  # fmt: skip

# 2AFC by the code of the model card: images as PIL opens them, the library's transform, cosine distances
SCORER = """
import csv, glob, json, sys, numpy as np, torch
from PIL import Image

def timm(folder):
    import timm
    model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
    return lambda image: model(transform(image)[None])

def open_clip(folder):
    import open_clip
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    return lambda image: model.eval().encode_image(transform(image)[None])

def huggingface(folder):
    from transformers import AutoImageProcessor, AutoModel, AutoModelForImageClassification
    is_mapped = "linear" in folder
    model = (AutoModelForImageClassification if is_mapped else AutoModel).from_pretrained(folder).eval()
    processor = AutoImageProcessor.from_pretrained(folder)
    def encode(image):
        pixels = processor(images=[image], return_tensors="pt")["pixel_values"]
        if is_mapped:
            return model(pixel_values=pixels).logits
        if not hasattr(model, "text_model"):
            return model(pixel_values=pixels).pooler_output
        return model.visual_projection(model.vision_model(pixel_values=pixels).pooler_output)
    return encode

def onnx(folder):
    import onnxruntime
    session = onnxruntime.InferenceSession(f"{folder}/image.onnx")
    size = 32 if "clip" in folder else 64
    def encode(image):
        if folder.endswith("pad"):
            scale = size / max(image.size)
            inner = image.resize([round(scale * side) for side in image.size], Image.BICUBIC)
            image = Image.new("RGB", (size, size), (128, 128, 128))
            image.paste(inner, ((size - inner.width) // 2, (size - inner.height) // 2))
        pixels = np.asarray(image.resize((size, size), Image.BICUBIC), np.float32).transpose(2, 0, 1) / 255
        return torch.from_numpy(session.run(None, {"images": pixels[None].copy()})[0])
    return encode

found = []
for target, folder, data in json.loads(sys.argv[1]):
    encode = globals()[target.replace("-", "_")](folder)
    with torch.no_grad():
        unit = {f.rpartition("/")[2]: torch.nn.functional.normalize(encode(Image.open(f).convert("RGB")))[0].double()
                for f in sorted(glob.glob(f"{data}/images/*.png"))}
    right = []
    for row in csv.DictReader(open(f"{data}/judgments.csv")):
        if row["split"] != "test":
            continue
        first, second = (1 - unit[row["anchor"]] @ unit[row[k]] for k in ("first", "second"))
        chosen = 1.0 if second < first else 0.5 if second == first else 0.0
        right.append(chosen if row["second_votes"] == "1" else 1 - chosen)
    found.append(sum(right) / len(right))
print(json.dumps(found))
assert not [name for name in sys.modules if name.startswith("perceptinit")]
"""


def write_judgments(folder, num_images=24, num_rows=150):
    """Write smooth images of 80 x 56 pixels, each of one color, and random judgments, two thirds of which are tests."""
    rng = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    for i in range(num_images):
        colour = rng.integers(0, 200, 3) + rng.integers(0, 56, (5, 7, 3))
        small = Image.fromarray(colour.astype(np.uint8))
        small.resize((80, 56), Image.Resampling.BICUBIC).save(folder / "images" / f"{i:02d}.png")
    lines = ["anchor,first,second,first_votes,second_votes,split"]
    for row in range(num_rows):
        is_test = row % 3 > 0
        anchor = rng.choice(num_images // 2) + is_test * num_images // 2  # an anchor is in one split
        others = rng.choice([i for i in range(num_images) if i != anchor], 2, replace=False)
        names = ",".join(f"{i:02d}.png" for i in (anchor, *others))
        second = int(rng.integers(2))
        lines.append(f"{names},{1 - second},{second},{'test' if is_test else 'train'}")
    (folder / "judgments.csv").write_text("\n".join([*lines, ""]))


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """The exported folder of each entry of SCORED, and its score in the other library."""
    root = tmp_path_factory.mktemp("scored")
    write_judgments(root / "data")
    jobs = {}
    for key in SCORED:
        backbone, target, fit = key
        if not is_installed(target):
            continue
        run = root / f"{backbone}-{fit}"
        if not run.exists():
            backbones = {**BACKBONES, "own": OWN, "linear": OWN}
            stage = LINEAR if backbone == "linear" else HINGE
            text = JUDGED.format(folder=root / "data", fit=fit, backbone=backbones[backbone], stage=stage)
            (root / "judged.toml").write_text(text)
            run_recipe(read_recipe(text), out=run, device="cpu")
        folder = exporting.export(run / "judged/pi/seed0", target, root / "-".join(key))
        jobs[key] = [target, str(folder), str(root / "data")]
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", SCORER, json.dumps(list(jobs.values()))],
        env={**env, "HF_HUB_OFFLINE": "1"}, cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    scores = json.loads(done.stdout.splitlines()[-1])
    return {key: (Path(job[1]), score) for (key, job), score in zip(jobs.items(), scores, strict=True)}


@pytest.mark.slow
@pytest.mark.parametrize("key", SCORED, ids="-".join)
def test_the_card_states_the_score_of_the_folder_in_its_own_library(key, scored, cli):
    if key not in scored:
        pytest.skip(f"extra '{key[1]}' is not installed")
    folder, theirs = scored[key]
    card = (folder / "README.md").read_text()
    first = re.search(r"\| 2afc/judgments \| ([0-9.]+) \|", card)
    assert float(first[1]) == pytest.approx(theirs, abs=1e-4)
    done = cli("eval", folder, "--on", folder.parent / "judged.toml", "--format", "csv")
    assert done.returncode == 0 or "have collapsed" in done.stderr, done.stderr
    rows = list(csv.DictReader(done.stdout.splitlines()))
    assert float(rows[0]["value"]) == pytest.approx(theirs, abs=1e-4)


def test_the_card_of_a_trunk_states_that_the_projection_is_missing(runs, tmp_path):
    card = (exporting.export(runs["vit"], "timm", tmp_path / "trunk") / "README.md").read_text()
    assert "the image trunk without its projection" in card
    assert "Not measured: the recipe has no evaluator of judgments." in card


REFUSAL = "cannot be exported to open-clip: its text embedding averages over tokens"


def test_validate_reports_a_backbone_that_open_clip_cannot_represent(cli, tmp_path):
    can_be_exported = BACKBONES["open-clip"]
    averaged = can_be_exported.replace(
        "text_args = {", 'text_args = { no_causal_mask = true, pool_type = "none",'
    )
    for backbone, is_refused in ((averaged, True), (can_be_exported, False)):
        (tmp_path / "lab.toml").write_text(RECIPE.format(backbone=backbone))
        assert (REFUSAL in cli("validate", "lab.toml").stdout) == is_refused


def test_bundled_recipes_can_be_exported_except_the_one_with_published_defects():
    refusals = {name: exporting.find_refusal(load_recipe(name)) for name in ("pi_clip_yfcc", "quickstart")}
    assert refusals == {"pi_clip_yfcc": "", "quickstart": ""}
    assert "averages over tokens" in exporting.find_refusal(load_recipe("pi_clip_yfcc_published"))


# ---- training an exported model in other libraries -------------------------------------------------


@pytest.mark.slow
def test_the_trainer_of_open_clip_continues_from_an_exported_folder(runs, tmp_path):
    pytest.importorskip("open_clip_train", reason="part of open_clip_torch")
    write_judgments(tmp_path / "data")
    folder = exporting.export(runs["clip-vit"], "open-clip", tmp_path / "exported")
    images = sorted((tmp_path / "data/images").glob("*.png"))
    rows = [f"{path},a picture of thing {i}" for i, path in enumerate(images)]
    (tmp_path / "pairs.csv").write_text("\n".join(["filepath,title", *rows]))
    settings = "--dataset-type csv --csv-separator , --batch-size 8 --epochs 1 --lr 1e-12 --wd 0 --warmup 1 --workers 0"
    command = [
        sys.executable,
        "-m",
        "open_clip_train.main",
        "--model",
        f"local-dir:{folder}",
        "--device",
        "cpu",
    ]
    done = subprocess.run(
        [*command, "--train-data", "pairs.csv", *settings.split(), "--logs", "logs", "--name", "run"],
        env={**os.environ, "HF_HUB_OFFLINE": "1"}, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    trained = torch.load(tmp_path / "logs/run/checkpoints/epoch_1.pt", weights_only=False)["state_dict"]
    exported = load_file(folder / "open_clip_model.safetensors")
    assert exported.keys() <= trained.keys()
    for name, weight in exported.items():
        torch.testing.assert_close(trained[name], weight, rtol=0, atol=1e-6, msg=name)


def test_load_checkpoint_of_timm_reads_an_exported_trunk(runs, tmp_path):
    import timm

    folder = exporting.export(runs["clip-vit"], "timm", tmp_path / "exported")
    about = json.loads((folder / "config.json").read_text())
    model = timm.create_model(about["architecture"], num_classes=0, **about["model_args"])
    found = timm.models.load_checkpoint(model, str(folder / "model.safetensors"))
    assert (found.missing_keys, found.unexpected_keys) == ([], [])
    for name, weight in load_file(folder / "model.safetensors").items():
        assert torch.equal(model.state_dict()[name], weight), name
