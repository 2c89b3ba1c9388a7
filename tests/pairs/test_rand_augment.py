"""RandAugment and random erasing: timm's operations, ranges and shares, drawn from the sample's generator."""

import random

import numpy as np
import pytest
from PIL import Image
from timm.data import auto_augment as timm_ops, rand_augment_transform
from timm.data.random_erasing import RandomErasing

from perceptinit.pairs import rand_augment
from perceptinit.pairs.augment import Augment
from perceptinit.seeding import generator

PHOTO = generator(0, "photo").integers(0, 256, (48, 48, 3)).astype(np.uint8)
SQUARE = np.ascontiguousarray(PHOTO.transpose(2, 0, 1))


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("level", [0.0, 3.3, 9.0, 9.9])
def test_operations_and_arguments_are_those_of_timm(level, sign, monkeypatch):
    monkeypatch.setattr(timm_ops, "_randomly_negate", lambda value: sign * value)
    names = timm_ops._RAND_INCREASING_TRANSFORMS
    assert len(rand_augment._OPERATIONS) == len(names) == 15
    for (operation, argument), name in zip(rand_augment._OPERATIONS, names, strict=True):
        make = timm_ops.LEVEL_TO_ARG[name]
        wanted = list(make(level, {})) if make else []
        assert operation is timm_ops.NAME_TO_OP[name]
        found = [argument(level / 10, sign)] if argument else []
        assert found == pytest.approx(wanted)


def test_images_change_as_often_and_as_much_as_with_timm():
    random.seed(0)
    np.random.seed(0)
    image = Image.fromarray(PHOTO)
    timms = rand_augment_transform("rand-m7-mstd0.5-inc1", {"img_mean": (124, 116, 104), "interpolation": 3})
    theirs = np.array([np.abs(np.asarray(timms(image)).astype(int) - PHOTO).mean() for _ in range(1500)])
    rng = generator(0, "ours")
    ours = np.array(
        [np.abs(rand_augment.rand_augment(SQUARE, 7, rng).astype(int) - SQUARE).mean() for _ in range(1500)]
    )
    error = np.sqrt(theirs.var() / 1500 + ours.var() / 1500)
    assert abs(ours.mean() - theirs.mean()) < 4 * error
    assert abs((ours == 0).mean() - (theirs == 0).mean()) < 4 * np.sqrt(2 * 0.27 * 0.73 / 1500)


def test_boxes_of_noise_have_the_share_and_area_of_timm():
    import torch

    random.seed(0)
    timms = RandomErasing(0.25, mode="pixel", device="cpu")
    theirs = np.array([(timms(torch.full((3, 48, 48), 9.0)) != 9).float().mean().item() for _ in range(2000)])
    erase = Augment(scale=(1.0, 1.0), ratio=(1.0, 1.0), erase_share=0.25)
    plain = np.broadcast_to(np.array([1, 2, 3], np.uint8), (48, 48, 3))
    rng = generator(0, "erase")
    color = np.array([1, 2, 3])[:, None, None]
    ours = np.array([(erase(plain, 48, rng) != color).any(0).mean() for _ in range(2000)])
    error = np.sqrt(theirs.var() / 2000 + ours.var() / 2000)
    assert abs(ours.mean() - theirs.mean()) < 4 * error
    assert abs((ours > 0).mean() - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 2000)


def test_noise_has_the_mean_and_deviation_of_photographs():
    noise = rand_augment.noise_like((3, 64, 64), generator(0, "noise")) / 255
    assert noise.mean(axis=(1, 2)) == pytest.approx([0.485, 0.456, 0.406], abs=0.02)
    assert noise.std(axis=(1, 2)) == pytest.approx([0.229, 0.224, 0.225], abs=0.02)


def test_equal_generators_give_equal_pixels_whatever_the_global_state():
    augment = Augment(rand_augment=9, erase_share=0.5)
    images = []
    for seed in (0, 1):
        random.seed(seed)
        np.random.seed(seed)
        images.append([augment(PHOTO, 32, generator(i, "sample")) for i in range(20)])
    assert np.array_equal(*images)
    assert len({each.tobytes() for each in images[0]}) == 20


def test_the_largest_magnitude_leaves_one_bit():
    # timm's posterize then leaves none, which Pillow 13 refuses
    arguments = [
        argument(1.0, 1)
        for operation, argument in rand_augment._OPERATIONS
        if operation is timm_ops.posterize
    ]
    assert arguments == [1]
