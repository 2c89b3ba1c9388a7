"""`batch_size = "auto"` of stage 1, and the number of images that a stage encodes."""

from types import SimpleNamespace

import numpy as np
import pytest
from helpers.stage_one import Colours, Heard, TinyTower, hinge_initializer

from perceptinit.errors import DataError
from perceptinit.initializers.batches import choose_batch_size, num_distinct

RNG = np.random.default_rng(0)


def columns(num_images, num_judgments):
    return np.stack([RNG.permutation(num_images)[:3] for _ in range(num_judgments)])


@pytest.mark.parametrize(("num_judgments", "size"), [(50, 50), (4096, 4096), (4097, 2049), (22_801, 3801)])
def test_few_images_allow_4096_judgments_in_batches_of_equal_size(num_judgments, size):
    assert choose_batch_size(columns(100, num_judgments)) == size


def test_judgments_without_common_images_keep_the_default_batch():
    own = np.arange(3 * 1000).reshape(-1, 3)
    assert choose_batch_size(own) == 125  # 8 batches of equal size
    assert num_distinct(own, 125) == 3000


def test_a_step_has_at_most_about_384_images():
    many = columns(2000, 20_000)
    size = choose_batch_size(many)
    assert 128 < size < 200
    assert num_distinct(many, size) / (20_000 / size) == pytest.approx(384, abs=10)


def test_auto_trains_like_the_number_that_it_stands_for():
    auto, number = hinge_initializer(batch_size="auto"), hinge_initializer(batch_size=96)
    assert auto.plan() == number.plan()
    reports = [stage.initialize(TinyTower(), Heard().ctx) for stage in (auto, number)]
    assert reports[0].sha256_after == reports[1].sha256_after
    assert reports[0].metrics["steps"] == 4


def test_the_images_and_minutes_are_reported_before_the_first_step():
    heard = Heard()
    hinge_initializer(batch_size="auto").initialize(TinyTower(), heard.ctx)
    planned = next(i for i, event in enumerate(heard.events) if "images_planned" in event.metrics)
    first = next(i for i, event in enumerate(heard.events) if "loss" in event.metrics)
    assert planned < first
    assert heard.numbers("images_planned") == [4 * 24]  # 4 steps of all images
    assert heard.numbers("minutes_planned")[0] > 0


def test_small_batches_that_encode_all_images_in_each_step_are_a_warning():
    judgments = Colours(num_images=24, num_triplets=512)
    assert list(hinge_initializer(judgments, epochs=700, batch_size=128).warnings()) == [
        "each step encodes 24 of the 24 judged images, 67,200 in all. "
        'batch_size = "auto" (512) encodes 16,800 in as many epochs'
    ]
    for quiet in ({"epochs": 600, "batch_size": 128}, {"epochs": 700, "batch_size": "auto"}):
        assert list(hinge_initializer(judgments, **quiet).warnings()) == []


def test_the_plan_of_auto_requires_the_judgments():
    class Absent:
        card = SimpleNamespace(num_train=96)

        def load(self, split):
            raise DataError("no table")

    with pytest.raises(DataError, match='batch_size = "auto" depends on the judgments, which are missing'):
        hinge_initializer(Absent(), batch_size="auto").plan()
    assert hinge_initializer(Absent(), batch_size=32).plan().steps == 12
