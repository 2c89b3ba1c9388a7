"""Shape bias and error consistency on made files with known answers, and against other implementations."""

import csv
import itertools
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from perceptinit_perceptual_sets.shape_bias import (
    IMAGENET,
    ShapeBias,
    decide,
    kappa,
    read_people,
    score_errors,
    score_shape_bias,
    short_name,
)
from PIL import Image
from safetensors.torch import save_file

from perceptinit.plugin import DataError, Fit, RunContext
from perceptinit.testing import EvaluatorContract, tiny_model

CLASSES = sorted(IMAGENET)
COLORS = {name: (15 * i, 255 - 15 * i, 0) for i, name in enumerate(CLASSES)}
# shape, texture, and the class that the made models see in the image
IMAGES = [
    ("airplane1-bear2", "airplane"),
    ("airplane2-bear1", "bear"),
    ("bear1-cat1", "bear"),
    ("bear2-bear1", "bear"),
    ("cat3-dog1", "cat"),
    ("dog10-truck1", "oven"),
]


class TestShapeBias(EvaluatorContract):
    component = ShapeBias

    def options(self, tmp_path):
        return {"datasets": ["synthetic"], "synthetic_num_images": 40}


HEADER = ["subj", "session", "trial", "rt", "object_response", "category", "condition", "imagename"]


def category(name):
    return "".join(letter for letter in name.split("-")[0] if not letter.isdigit())


def draw(path, name):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), COLORS[name]).save(path)


def write_answers(folder, rows):
    """Write one file for each observer, in the columns of texture-vs-shape and model-vs-human."""
    folder.mkdir(parents=True, exist_ok=True)
    for who, answers in rows.items():
        with (folder / f"cue-conflict_{who}_session_1.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(HEADER)
            for n, (name, answer) in enumerate(answers.items(), start=1):
                label = category(name)
                image = f"{n:04d}_s5n_s01_0_{label}_00_{name}.png"
                writer.writerow([who, 1, n, 0.8, answer, label, 0, image])


NAMES = [name for name, _ in IMAGES]
PEOPLE = {
    "subject-01": dict(zip(NAMES, ["airplane", "airplane", "bear", "bear", "cat", "na"], strict=True)),
    "subject-02": dict(zip(NAMES, ["airplane", "bear", "bear", "bear", "dog", "dog"], strict=True)),
    "alexnet": dict.fromkeys(NAMES, "bear"),
}


@pytest.fixture
def stimuli(tmp_path):
    """Cue-conflict images in class folders, photographs for probes, and answers of people and a network."""
    for name, seen in IMAGES:
        draw(tmp_path / "cue-conflict" / category(name) / f"{name}.png", seen)
    for name in CLASSES:
        (tmp_path / "cue-conflict" / name).mkdir(exist_ok=True)
        for i in range(3):
            draw(tmp_path / "photographs" / name / f"{name}{i}.png", name)
    write_answers(tmp_path / "raw-data" / "cue-conflict", PEOPLE)
    return tmp_path


class Seeing(torch.nn.Module):
    """A model whose embedding of an image is the similarity of its color to that of each class."""

    image_size = 8
    embed_dim = 16
    fit = Fit()

    def encode_image(self, images):
        colors = torch.tensor([COLORS[name] for name in CLASSES]).float()
        return -torch.cdist(images.float().mean(dim=(2, 3)), colors) / 100


class Classifier(Seeing):
    """The same model as a classifier of ImageNet's classes."""

    classnames = tuple(map(str, range(1000)))

    def classify(self, images):
        logits = torch.full((len(images), 1000), -9.0)
        for i, found in enumerate(self.encode_image(images).argmax(dim=1)):
            logits[i, IMAGENET[CLASSES[found]][0]] = 5
        return logits


def scores_of(root, model, **options):
    config = ShapeBias.Config(datasets=("cue-conflict",), root=str(root), **options)
    return {score.name: score for score in ShapeBias(config).evaluate(model, RunContext())}


def test_a_classifier_of_1000_classes_has_the_scores_of_the_made_files(stimuli):
    found = scores_of(stimuli, Classifier(), answers=stimuli / "raw-data")
    assert set(found) == {"accuracy/cue-conflict", "shape_bias/cue-conflict", "kappa/cue-conflict"}
    assert found["accuracy/cue-conflict"].value == pytest.approx(4 / 6)
    # 3 of the 5 images with a conflict are named by shape, and 1 by texture
    assert found["shape_bias/cue-conflict"].value == 3 / 4
    assert found["shape_bias/cue-conflict"].extra == {"num_shape": 3, "num_texture": 1}
    # correct: 1 0 1 1 1 0; subject-01: 1 1 1 1 1 0 (observed 5/6, expected 22/36); subject-02: 1 0 1 1 0 1
    first = (5 / 6 - 22 / 36) / (1 - 22 / 36)
    second = (4 / 6 - 20 / 36) / (1 - 20 / 36)
    between = (3 / 6 - 22 / 36) / (1 - 22 / 36)
    score = found["kappa/cue-conflict"]
    assert score.value == pytest.approx((first + second) / 2)
    assert score.ceiling == pytest.approx(between)
    assert score.extra["by_person"] == {
        "subject-01": {"value": pytest.approx(first), "others": pytest.approx(between)},
        "subject-02": {"value": pytest.approx(second), "others": pytest.approx(between)},
    }


def test_a_linear_probe_is_marked(stimuli):
    found = scores_of(stimuli, Seeing(), probe="photographs", answers=stimuli / "raw-data")
    assert set(found) == {f"{name}_probe/cue-conflict" for name in ("accuracy", "shape_bias", "kappa")}
    assert found["shape_bias_probe/cue-conflict"].value == 3 / 4


def test_an_image_model_without_a_probe_has_no_score_and_a_warning(stimuli):
    warned = []
    config = ShapeBias.Config(datasets=("cue-conflict",), root=str(stimuli))
    context = RunContext(send=lambda event: warned.append(event.message))
    assert list(ShapeBias(config).evaluate(Seeing(), context)) == []
    assert "without text tower and ImageNet classifier has no score. Set probe to a folder" in warned[0]


def test_a_probe_needs_the_classes_of_the_set(stimuli):
    for path in (stimuli / "photographs" / "truck").iterdir():
        path.unlink()
    (stimuli / "photographs" / "truck").rmdir()
    with pytest.raises(
        DataError, match="probe 'photographs': its classes differ from those of 'cue-conflict'"
    ):
        scores_of(stimuli, Seeing(), probe="photographs")


def test_a_model_with_a_text_tower_decides_by_class_names(stimuli):
    model = tiny_model().eval()
    found = scores_of(stimuli, model)
    folders = [category(name) for name, _ in IMAGES]
    pixels = torch.stack([
        torch.from_numpy(np.array(Image.new("RGB", (model.image_size,) * 2, COLORS[seen]))).permute(2, 0, 1)
        for _, seen in sorted(IMAGES, key=lambda pair: (category(pair[0]), pair[0]))
    ])  # fmt: skip
    with torch.no_grad():
        z = torch.nn.functional.normalize(model.encode_image(pixels).float(), dim=1)
        texts = model.encode_text(model.tokenize([f"a photo of a {name}." for name in CLASSES]))
        said = (z @ torch.nn.functional.normalize(texts.float(), dim=1).T).argmax(dim=1)
    hits = [CLASSES[i] == name for i, name in zip(said.tolist(), sorted(folders), strict=True)]
    assert found["accuracy/cue-conflict"].value == pytest.approx(np.mean(hits))


def test_images_in_sessions_have_their_class_in_the_name(tmp_path):
    # datasets/sketch/dnn/session-1 of model-vs-human
    for n, name in enumerate(CLASSES, start=1):
        draw(tmp_path / "sketch/session-1" / f"{n:04d}_ske_dnn_0_{name}_00_{name}-0068-sketch-23.png", name)
    config = ShapeBias.Config(datasets=("sketch",), root=str(tmp_path))
    (score,) = ShapeBias(config).evaluate(Classifier(), RunContext())
    assert (score.name, score.value, score.num_examples) == ("accuracy/sketch", 1.0, 16)


def test_answers_without_people_or_with_conditions_are_refused(stimuli):
    write_answers(stimuli / "networks/cue-conflict", {"alexnet": PEOPLE["alexnet"]})
    config = ShapeBias.Config(datasets=("cue-conflict",), root=str(stimuli), answers=stimuli / "networks")
    (said,) = ShapeBias(config).preflight()
    assert "no answers of people (subject-...) about these images" in said
    file = stimuli / "raw-data/cue-conflict/cue-conflict_subject-01_session_1.csv"
    file.write_text(file.read_text().replace(",cat,0,", ",cat,1,"))
    with pytest.raises(DataError, match=r"2 conditions\. Keep the files of one"):
        read_people(file.parent, [f"{name}.png" for name, _ in IMAGES])


# ---- arithmetic


def test_probabilities_are_averaged_within_each_of_the_16_classes():
    # Geirhos et al.: the mean, so that 109 dogs have no advantage over one airplane
    probabilities = np.zeros((2, 1000))
    probabilities[0, 404] = 0.1
    probabilities[0, 151:269] = 0.9 / 118
    probabilities[1, [499, 294]] = [0.2, 0.3]  # a knife, and one of four bears
    assert decide(probabilities).tolist() == ["airplane", "knife"]
    assert sum(map(len, IMAGENET.values())) == 207
    assert len(set(itertools.chain(*IMAGENET.values()))) == 207


def test_a_trial_prefix_is_not_part_of_an_image_name():
    assert short_name("0001_s5n_s01_0_bird_00_bird3-bird2.png") == "bird3-bird2.png"
    assert short_name("cue-conflict/bird/bird3-bird2.png") == "bird3-bird2.png"
    assert short_name("0001_cop_dnn_c05_bear_10_n02131653_1.png") == "n02131653_1.png"


def test_kappa_is_1_for_equal_errors_and_0_for_expected_agreement():
    first = np.array([1.0, 1, 0, 0])
    assert kappa(first, first) == 1
    assert kappa(first, np.array([1.0, 0, 1, 0])) == 0
    assert kappa(np.ones(4), np.ones(4)) == 1
    assert kappa(first, np.array([1.0, np.nan, 0, np.nan])) == 1


def test_scores_equal_a_separate_implementation_on_the_same_answers():
    rng = np.random.default_rng(0)
    shape, texture, said = rng.choice(CLASSES, (3, 400))
    people = {f"subject-{i:02d}": rng.random(400) < 0.8 for i in range(4)}
    said = np.where(rng.random(400) < 0.4, shape, np.where(rng.random(400) < 0.5, texture, said))

    # in plain Python, after the README of texture-vs-shape and Geirhos, Meding and Wichmann (2020)
    rows = [row for row in zip(shape, texture, said, strict=True) if row[0] != row[1]]
    by_shape = sum(s == answer for s, _, answer in rows)
    by_texture = sum(t == answer for _, t, answer in rows)
    correct = [s == answer for s, answer in zip(shape, said, strict=True)]

    def consistency(a, b):
        p, q = sum(a) / len(a), sum(b) / len(b)
        expected = p * q + (1 - p) * (1 - q)
        return (sum(x == y for x, y in zip(a, b, strict=True)) / len(a) - expected) / (1 - expected)

    (bias,) = score_shape_bias("shape_bias/made", said, shape, texture)
    (errors,) = score_errors("kappa/made", said == shape, {k: v.astype(float) for k, v in people.items()})
    assert bias.value == pytest.approx(by_shape / (by_shape + by_texture))
    assert errors.value == pytest.approx(np.mean([consistency(correct, own) for own in people.values()]))
    pairs = itertools.combinations(people.values(), 2)
    assert errors.ceiling == pytest.approx(np.mean([consistency(a, b) for a, b in pairs]))
    for score in (bias, errors):
        assert score.pseudo_items.values.mean() == pytest.approx(score.value, abs=1e-12)
    # the error of a ratio over images, by the delta method
    p = bias.value
    assert bias.stderr == pytest.approx(np.sqrt(p * (1 - p) / (by_shape + by_texture)), rel=0.01)


def test_decisions_for_neither_cue_have_no_shape_bias():
    assert score_shape_bias("x/y", np.array(["oven"]), np.array(["cat"]), np.array(["dog"])) == []


# ---- perceptinit eval


RECIPE = """
schema = 1
name = "shapes"
[backbone]
use = "timm"
model = "test_vit"
image_size = 32
[[eval]]
use = "shape-bias"
datasets = ["cue-conflict"]
answers = "raw-data"
"""


def test_eval_prints_the_scores_of_a_classifier_with_the_ceiling_of_people(stimuli):
    timm = pytest.importorskip("timm")
    save_file(timm.create_model("test_vit").state_dict(), stimuli / "model.safetensors")
    (stimuli / "shapes.toml").write_text(RECIPE)
    arguments = ["eval", "timm:test_vit:model.safetensors", "--on", "shapes.toml", "--format", "json"]
    command = [sys.executable, "-m", "perceptinit", *arguments]
    done = subprocess.run(command, cwd=stimuli, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    scores = {row["measure"]: row for row in json.loads(done.stdout)["scores"]}
    assert {"accuracy", "kappa"} <= set(scores)
    assert scores["kappa"]["data_set"] == "cue-conflict"
