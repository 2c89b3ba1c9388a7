"""The evaluators of kNN, RSA and stored weights."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.made_sets import labelled_set, png

from perceptinit.errors import DataError
from perceptinit.evaluators.keep_weights import KeepWeights
from perceptinit.evaluators.labelled import KNN
from perceptinit.evaluators.rsa import RSA
from perceptinit.judgments.controls.synthetic import SyntheticJudgments
from perceptinit.judgments.own.matrix_set import RdmSet
from perceptinit.testing import tiny_model
from perceptinit.types import RunContext, Stimuli


@pytest.fixture
def pets(tmp_path):
    """A test set of three classes with identical images within each class."""
    labelled_set(tmp_path / "pets", [0, 1, 2] * 10, 3, splits=("train", "test"))
    return str(tmp_path)


def test_knn_accuracy_is_1_when_neighbors_are_copies(pets):
    config = KNN.Config(datasets=("pets",), root=pets, k=5)
    (score,) = KNN(config).evaluate(tiny_model().eval(), RunContext())
    assert (score.name, score.value, score.chance) == ("knn/pets", 1.0, pytest.approx(1 / 3))
    assert score.num_examples == 30


def test_knn_without_a_training_split_is_reported(tmp_path):
    labelled_set(tmp_path / "pets", [0, 1], 2)
    problems = list(KNN(KNN.Config(datasets=("pets",), root=str(tmp_path))).preflight())
    counter = tmp_path / "pets" / "train" / "nshards.txt"
    assert problems == [f"{counter}: no such file. It must contain the number of shards of the test set"]


class Numbers:
    """An encoder with known distances: a unit vector at a fixed angle for each image."""

    image_size = 4
    angles = (0.0, 10.0, 30.0, 70.0)

    def encode_image(self, images):
        by_pixel = {int(p[0, 0, 0]): i for i, p in enumerate(PIXELS)}
        radians = torch.tensor([self.angles[by_pixel[int(x[0, 0, 0])]] for x in images]).deg2rad()
        return torch.stack([radians.cos(), radians.sin()], dim=1)


PIXELS = [np.full((4, 4, 3), value, dtype=np.uint8) for value in (10, 20, 30, 40)]


class Matrices:
    """Judgments that are dissimilarity matrices of four images."""

    name = "matrices"

    def __init__(self, *subjects):
        self.subjects = np.stack(subjects).astype(float)

    def load(self, split):
        raise AssertionError("triplets are not needed")

    def load_dissimilarities(self, split):
        stimuli = Stimuli(tuple("abcd"), PIXELS)
        return stimuli, np.arange(4), self.subjects


ORDER = np.array([[0, 1, 3, 6], [1, 0, 2, 5], [3, 2, 0, 4], [6, 5, 4, 0]])  # of angles between


def test_rsa_is_1_for_a_subject_with_the_rank_order_of_the_model():
    spearman, kendall = RSA(RSA.Config(), Matrices(ORDER)).evaluate(Numbers(), RunContext())
    assert (spearman.name, kendall.name) == ("rsa_spearman/matrices", "rsa_kendall/matrices")
    assert spearman.value == pytest.approx(1)
    assert kendall.value == pytest.approx(1)
    assert spearman.ceiling is None
    assert spearman.num_examples == 6


def test_rsa_with_two_subjects_has_a_noise_ceiling():
    swapped = ORDER.copy()
    swapped[swapped == 1], swapped[swapped == 2] = 9, 1
    swapped[swapped == 9] = 2  # ranks 1 and 2 exchanged: Spearman 1 - 6 * 2 / (6 * 35)
    spearman, _ = RSA(RSA.Config(), Matrices(ORDER, swapped)).evaluate(Numbers(), RunContext())
    assert spearman.value == pytest.approx((1 + 1 - 12 / 210) / 2)
    assert spearman.lower_ceiling == pytest.approx(1 - 12 / 210)
    assert spearman.ceiling > spearman.lower_ceiling


def test_rsa_of_triplets_is_refused():
    evaluator = RSA(RSA.Config(), SyntheticJudgments(SyntheticJudgments.Config().smoke()))
    assert list(evaluator.preflight()) == [
        "rsa: judgments 'synthetic' are not dissimilarity matrices. Use 'rdm'"
    ]


def matrix_of_twelve(tmp_path, **shares):
    rng = np.random.default_rng(0)
    folder = tmp_path / "images"
    folder.mkdir()
    names = [f"{i}.png" for i in range(12)]
    for i, name in enumerate(names):
        (folder / name).write_bytes(png(i))
    (tmp_path / "names.txt").write_text("\n".join(names))
    points = rng.normal(size=(12, 3))
    np.save(tmp_path / "m.npy", np.linalg.norm(points[:, None] - points[None], axis=-1))
    return RdmSet(
        RdmSet.Config(
            path=tmp_path / "m.npy",
            kind="dissimilarity",
            images=folder,
            names=tmp_path / "names.txt",
            **shares,
        )
    )


def test_rsa_scores_a_matrix_from_a_file(tmp_path):
    evaluator = RSA(RSA.Config(), matrix_of_twelve(tmp_path, test_share=0.5))
    assert list(evaluator.preflight()) == []
    spearman, _ = evaluator.evaluate(tiny_model().eval(), RunContext())
    count = spearman.extra["num_images"]
    assert spearman.num_examples == count * (count - 1) // 2
    assert -1 <= spearman.value <= 1
    assert spearman.stderr is None  # of six images


def test_the_error_of_rsa_leaves_out_each_image_and_does_not_depend_on_the_name(tmp_path):
    judgments = matrix_of_twelve(tmp_path)
    model = tiny_model().eval()
    spearman, _ = RSA(RSA.Config(split="all"), judgments).evaluate(model, RunContext())
    renamed = judgments.config.path.rename(tmp_path / "other.npy")
    again = type(judgments)(replace(judgments.config, path=renamed))
    other, _ = RSA(RSA.Config(split="all"), again).evaluate(model, RunContext())
    assert spearman.stderr == other.stderr > 0
    assert len(spearman.pseudo_items.values) == 12


@pytest.mark.parametrize(
    ("split", "shares"),
    [
        ("all", {}),
        ("test", {"test_share": 1.0, "val_share": 0.0}),
        ("test", {"test_share": 0.9, "val_share": 0.0}),
    ],
)
def test_rsa_requires_no_training_images(tmp_path, split, shares):
    judgments = matrix_of_twelve(tmp_path, **shares)
    evaluator = RSA(RSA.Config(split=split), judgments)
    assert [*judgments.preflight(), *evaluator.preflight()] == []
    spearman, _ = evaluator.evaluate(tiny_model().eval(), RunContext())
    assert spearman.name == ("rsa_spearman/m-all" if split == "all" else "rsa_spearman/m")
    assert spearman.extra["num_images"] == (12 if shares.get("test_share") != 0.9 else 11)


@pytest.mark.parametrize(
    ("split", "shares", "advice"),
    [
        ("train", {"test_share": 0.9, "val_share": 0.0}, "Lower val_share or test_share"),
        ("val", {}, "Raise val_share"),
        ("test", {"test_share": 0.1}, "Raise test_share"),
    ],
)
def test_too_few_images_in_a_split_are_reported_with_the_share_to_change(tmp_path, split, shares, advice):
    with pytest.raises(DataError, match=f"1 of 12 images are in split '{split}'.*{advice}"):
        matrix_of_twelve(tmp_path, **shares).load(split)


def test_keep_weights_names_the_file_after_the_samples_seen(tmp_path):
    model = tiny_model().eval()
    ctx = RunContext(folder=tmp_path, samples_seen=320)
    assert list(KeepWeights(KeepWeights.Config()).evaluate(model, ctx)) == []
    assert (tmp_path / "weights" / "samples-000000000320.safetensors").is_file()
    assert list(KeepWeights(KeepWeights.Config()).evaluate(model, RunContext())) == []
