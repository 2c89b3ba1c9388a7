"""Retrieval scores computed by hand, captioned sets on disk, and their errors."""

import numpy as np
import pytest
import torch
from helpers.made_sets import caption_set, labelled_set

from perceptinit.errors import DataError
from perceptinit.evaluators.retrieval import Retrieval
from perceptinit.test_sets.readers import read_retrieval_set
from perceptinit.types import RunContext


class FakeEncoder:
    """The embedding of an image or caption is a unit vector at its angle."""

    image_size = 4
    embed_dim = 2

    def __init__(self, angles):
        self.angles = angles
        self.texts = []
        self.num_texts = 0

    def tokenize(self, texts):
        self.texts += texts
        first = len(self.texts) - len(texts)
        return torch.arange(first + 1, len(self.texts) + 1)[:, None]

    def encode_text(self, tokens):
        self.num_texts += len(tokens)
        return self._vectors([float(self.texts[int(t) - 1]) for t in tokens[:, 0]])

    def encode_image(self, images):
        return self._vectors(self.angles)

    @staticmethod
    def _vectors(degrees):
        radians = torch.tensor(degrees).double().deg2rad()
        return torch.stack([radians.cos(), radians.sin()], dim=1).float()


def evaluate(tmp_path, captions, angles, **options):
    caption_set(tmp_path / "set", captions)
    config = Retrieval.Config(datasets=("set",), root=str(tmp_path), **options)
    model = FakeEncoder(angles)
    scores = Retrieval(config).evaluate(model, RunContext(num_workers=0))
    return {score.name.removesuffix("/set"): score for score in scores}, model


def test_recall_accepts_any_of_several_captions(tmp_path):
    # images at 0, 40 and 90 degrees; the caption "25" of image 0 is nearer to image 1
    scores, _ = evaluate(tmp_path, [["5", "25"], ["41"], ["88", "91", "60"]], [0.0, 40.0, 90.0])
    assert scores["image_recall_1"].value == pytest.approx(4 / 6)
    assert scores["image_recall_1"].num_examples == 6
    assert scores["image_recall_1"].chance == pytest.approx(1 / 3)
    # the nearest captions of the images: 5, 41 and 91, all their own
    assert scores["text_recall_1"].value == 1.0
    assert scores["text_recall_1"].num_examples == 3
    assert scores["text_recall_1"].chance == pytest.approx((2 + 1 + 3) / 6 / 3)
    assert scores["mean_recall_1"].value == pytest.approx((4 / 6 + 1) / 2)
    assert scores["image_recall_5"].value == scores["text_recall_10"].value == 1.0


def test_the_standard_error_of_image_recall_clusters_captions_by_image(tmp_path):
    captions = [["0", "0", "0"], ["0", "0", "0"]]
    scores, _ = evaluate(tmp_path, captions, [0.0, 90.0])
    # all of image 0 found, none of image 1: two clusters of 3 with residual sums 1.5 and -1.5
    assert scores["image_recall_1"].value == 0.5
    assert scores["image_recall_1"].stderr == pytest.approx((2 * 2 * 1.5**2) ** 0.5 / 6)
    # 3 of 3 and 0 of 3 captions; text: the tie of six equal captions goes to the first
    assert scores["mean_recall_1"].num_examples == 2


def test_only_the_requested_ks_are_scored(tmp_path):
    scores, _ = evaluate(tmp_path, [["0"], ["90"]], [0.0, 90.0], ks=(2,))
    assert list(scores) == ["image_recall_2", "text_recall_2", "mean_recall_1"]


def test_a_repeated_caption_is_encoded_once(tmp_path):
    _, model = evaluate(tmp_path, [["0", "0"], ["90", "0"]], [0.0, 90.0])
    assert model.num_texts == 2


def test_each_line_of_the_text_file_is_a_caption(tmp_path):
    caption_set(tmp_path / "set", [["a cat", "one cat"], ["a dog"]])
    test_set = read_retrieval_set(tmp_path / "set")
    assert test_set.captions == ("a cat", "one cat", "a dog")
    assert test_set.owners.tolist() == [0, 0, 1]
    assert list(test_set.keys) == ["set/test/0.tar/s0000000", "set/test/0.tar/s0000001"]


def test_an_image_without_a_caption_is_reported(tmp_path):
    caption_set(tmp_path / "set", [["a cat"], []])
    with pytest.raises(
        DataError, match=r"'set', sample set/test/0.tar/s0000001: no caption \(1 such images\)"
    ):
        read_retrieval_set(tmp_path / "set")


def test_a_labeled_set_is_refused(tmp_path):
    labelled_set(tmp_path / "set", [0], 1)
    with pytest.raises(DataError, match="a classification set has no captions"):
        read_retrieval_set(tmp_path / "set")


def test_scores_on_the_simulated_set_are_marked_as_simulated():
    from perceptinit.backbones.timm_backbone import Timm

    config = Retrieval.Config(datasets=("flickr8k",)).smoke()
    model = Timm(Timm.Config().smoke()).build().eval()
    scores = list(Retrieval(config).evaluate(model, RunContext()))
    assert [s.name.split("/")[0] for s in scores] == [
        "image_recall_1", "text_recall_1", "image_recall_5", "text_recall_5",
        "image_recall_10", "text_recall_10", "mean_recall_1",
    ]  # fmt: skip
    assert all(s.extra["simulated"] for s in scores)
    assert np.isfinite([s.stderr for s in scores]).all()
