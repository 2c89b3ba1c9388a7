"""Embeddings on disk: the same model and images are not encoded again, and any change is."""

import numpy as np
import pytest
import torch
from helpers.made_sets import labelled_set, png

from perceptinit.evaluators import features, kept_embeddings
from perceptinit.evaluators.features import Encoding, Joint, Subjects, all_features
from perceptinit.test_sets.readers import read_zero_shot_set
from perceptinit.testing import tiny_model

LABELS = [0, 1, 2, 0]


@pytest.fixture
def embed(tmp_path):
    """Return a function that embeds a set on disk and returns the embeddings and the number of encoded images."""
    labelled_set(tmp_path / "set", LABELS, 3)

    def run(models, **options):
        counts = []
        for model in models:
            model.encode_image = lambda images, tower=model.image: (
                counts.append(len(images)) or tower.encode_image(images)
            )
        images = read_zero_shot_set(tmp_path / "set")  # a new object, without embeddings in memory
        encoding = Encoding(joint=Joint(cache_folder=tmp_path), **options)
        return all_features(Subjects.of(models), images, encoding), sum(counts)

    return run


def test_a_second_evaluation_encodes_only_new_models(embed):
    (first,), num_encoded = embed([tiny_model(0).eval()])
    assert num_encoded == len(LABELS)
    (again, other), num_encoded = embed([tiny_model(0).eval(), tiny_model(1).eval()])
    assert num_encoded == len(LABELS)
    assert np.array_equal(again, first)
    assert not np.array_equal(other, first)
    assert embed([tiny_model(1).eval(), tiny_model(0).eval()])[1] == 0


def test_another_image_precision_or_normalization_is_encoded_again(embed, tmp_path):
    model = tiny_model().eval()
    embed([model])
    assert embed([model], precision="bf16")[1] == len(LABELS)
    model.image.mean += 0.1
    assert embed([model])[1] == len(LABELS)
    labelled_set(tmp_path / "set", LABELS, 3, images=[png(9), *map(png, LABELS[1:])])
    assert embed([model])[1] == len(LABELS)
    assert embed([model])[1] == 0


@pytest.mark.parametrize(("is_single", "num_kept"), [(False, len(LABELS)), (True, 0)])
def test_decoded_images_are_kept_only_for_other_models(tmp_path, is_single, num_kept):
    labelled_set(tmp_path / "set", LABELS, 3)
    images = read_zero_shot_set(tmp_path / "set")
    all_features(Subjects.of([tiny_model().eval()]), images, Encoding(joint=Joint(is_single=is_single)))
    assert sum(map(len, features._PIXELS.get(images, {}).values())) == num_kept


def test_a_damaged_file_is_encoded_again_with_the_same_result(embed, tmp_path):
    model = tiny_model().eval()
    (first,), _ = embed([model])
    (file,) = (tmp_path / "embeddings").iterdir()
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    (again,), num_encoded = embed([model])
    assert num_encoded == len(LABELS)
    assert np.array_equal(again, first)


def test_the_files_used_least_recently_are_removed_beyond_the_limit(embed, tmp_path, monkeypatch):
    embed([tiny_model(0).eval()])
    (oldest,) = (tmp_path / "embeddings").iterdir()
    monkeypatch.setattr(kept_embeddings, "MAX_BYTES", 1.5 * oldest.stat().st_size)
    embed([tiny_model(1).eval()])
    (newest,) = (tmp_path / "embeddings").iterdir()
    assert newest != oldest


def test_a_model_with_modules_of_other_packages_is_always_encoded(embed, tmp_path):
    class Doubled(torch.nn.Linear):
        """A module whose code can change."""

    model = tiny_model().eval()
    model.image.projection = Doubled(32, 32)
    for _ in range(2):
        assert embed([model])[1] == len(LABELS)
    assert not (tmp_path / "embeddings").exists()
