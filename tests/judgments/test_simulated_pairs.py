"""The world of recipes/known_effects/prepare_simulated_pairs.py: the planted share is in the labels that judgments read."""

import sys

import numpy as np
import pytest
from helpers.command_line import ROOT

from perceptinit.judgments.image_files import read_labelled_parquet
from perceptinit.world.factors import SHAPES

NUM = 200


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    out = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "recipes/known_effects")
        import prepare_simulated_pairs as script

        patch.setattr(script, "NUM_IMAGES", {"judged": NUM, "pairs": 20, "aside": 30})
        script.main(out)
    for name in ("prepare_simulated_pairs", "prepare_simulated", "prepare_ties", "prepare"):
        sys.modules.pop(name)
    return out


@pytest.mark.parametrize("share", [0, 5, 20, 50])
def test_a_planted_share_of_the_class_labels_is_wrong(world, share):
    _, right = read_labelled_parquet(world / "test.parquet", "image", "label")
    images, labels = read_labelled_parquet(world / f"labels-{share}.parquet", "image", "label")
    assert np.mean(np.array(labels) != np.array(right)) == share / 100
    assert len(images) == NUM
    _, classes = read_labelled_parquet(world / f"labels-{share}.parquet", "image", "class")
    assert classes == [SHAPES[label] for label in labels]


def test_most_people_give_the_class(world):
    _, right = read_labelled_parquet(world / "test.parquet", "image", "label")
    counts = np.load(world / "human_counts.npy")
    assert counts.sum(axis=1).tolist() == [51] * NUM
    assert np.mean(counts.argmax(axis=1) == np.array(right)) > 0.95
    assert 0 < 1 - counts[np.arange(NUM), right].sum() / counts.sum() < 0.1
