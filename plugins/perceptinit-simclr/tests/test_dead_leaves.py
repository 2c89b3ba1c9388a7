"""Dead leaves images: sizes and occlusion computed by hand, and contract tests."""

import numpy as np
import pytest
from perceptinit_simclr.dead_leaves import DeadLeaves, Leaves, draw_radii, render

from perceptinit.testing import PairsContract

RED, BLUE = (255, 0, 0), (0, 0, 255)


class TestDeadLeaves(PairsContract):
    component = DeadLeaves

    def options(self, tmp_path):
        return {"num_images": 5, "image_size": 16}


class Fixed:
    """A generator whose uniform numbers are given."""

    def __init__(self, *values):
        self.values = values

    def random(self, num):
        return np.array(self.values)


def test_radii_are_quantiles_of_the_power_law_density():
    # density c r^-3 on [1, 2]: distribution (1 - r^-2) / (1 - 1/4), so the median is (1 - 3/8) ** -1/2
    assert draw_radii(3, 1.0, 2.0, Fixed(0.0, 0.5, 1.0)) == pytest.approx([1.0, 1.264911, 2.0])


def test_a_leaf_occludes_the_leaves_behind_it(monkeypatch):
    leaves = Leaves(
        centers=np.array([[0.25, 0.25], [0.5, 0.5]]),
        radii=np.array([0.2, 2.0]),
        angles=np.zeros(2),
        is_square=np.array([False, False]),
        colors=np.array([RED, BLUE], np.uint8),
    )
    monkeypatch.setattr("perceptinit_simclr.dead_leaves.draw_leaves", lambda *_: leaves)
    image = render(DeadLeaves.Config(image_size=2), np.random.default_rng(0))
    assert image.tolist() == [[list(RED), list(BLUE)], [list(BLUE), list(BLUE)]]


def test_a_square_has_the_area_of_the_disk_and_is_rotated():
    def leaf(is_square, angle):
        return Leaves(
            np.zeros((1, 2)), np.ones(1), np.array([angle]), np.array([is_square]), np.zeros((1, 3))
        )

    axis = np.linspace(-1.5, 1.5, 301)
    points = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    areas = [leaf(*kind).contain(points).sum() * 0.01**2 for kind in ((False, 0.0), (True, 0.0), (True, 0.5))]
    assert areas == pytest.approx([np.pi] * 3, rel=0.02)
    corner = np.array([[0.85, 0.85]])  # half of the side is 0.886
    assert leaf(True, 0.0).contain(corner).item()
    assert not leaf(True, np.pi / 4).contain(corner).item()


def test_images_are_covered_and_differ_by_index_and_seed():
    def images(**options):
        pairs = DeadLeaves(DeadLeaves.Config(num_images=3, **options))
        return [pairs.pair(i).image for i in range(3)]

    first, again, other = images(), images(), images(seed=1)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first[0], other[0])
    # uniform colors: no pixel kept the initial black, up to 1 in 256^3
    assert all((image.reshape(-1, 3).sum(axis=1) > 0).all() for image in first)
    assert np.mean(first) == pytest.approx(127.5, abs=15)


def test_images_of_smaller_leaves_have_more_edges():
    def edges(low, high):
        config = DeadLeaves.Config(min_radius=low, max_radius=high, image_size=64)
        image = render(config, np.random.default_rng(0)).astype(int)
        return (np.abs(np.diff(image, axis=0)).sum(axis=2) > 0).mean()

    assert edges(0.02, 0.02) > 2 * edges(0.2, 0.2)


@pytest.mark.parametrize(("low", "high"), [(0.001, 0.5), (0.5, 0.1)])
def test_radii_out_of_order_are_an_error(low, high):
    with pytest.raises(ValueError, match=f"min_radius = {low:g}: it must be between 0.01 and max_radius"):
        DeadLeaves.Config(min_radius=low, max_radius=high)
