"""The simulated world is reproducible, marked as simulated, and has disjoint splits."""

import colorsys

import numpy as np
import pytest
from coloraide import Color

from perceptinit.configs import read_config
from perceptinit.judgments.baselines import two_afc_ceiling
from perceptinit.judgments.controls.synthetic import SyntheticJudgments
from perceptinit.judgments.scoring import two_afc_accuracy
from perceptinit.pairs.synthetic import SyntheticPairs
from perceptinit.test_sets.choice import render_set
from perceptinit.test_sets.sets import SyntheticSettings
from perceptinit.world.captions import WORDS, caption
from perceptinit.world.factors import COLOURS, SHAPES, TEXTURES, draw_factors, draw_rgb
from perceptinit.world.observers import (
    Observers,
    colour_difference,
    differences,
    shape_difference,
)
from perceptinit.world.render import render
from perceptinit.world.triplets import draw_triplet


@pytest.fixture(scope="module")
def judgments():
    return SyntheticJudgments(SyntheticJudgments.Config(num_train=200, num_val=50, num_test=200))


def test_an_image_depends_only_on_its_seed_and_name():
    factors = draw_factors(0, "pairs", 7)
    assert factors == draw_factors(0, "pairs", 7)
    assert factors != draw_factors(0, "pairs", 8)
    assert factors != draw_factors(1, "pairs", 7)
    assert np.array_equal(render(factors, 32), render(factors, 32))


def test_an_image_can_be_rendered_at_any_size():
    for size in (16, 33, 64):
        image = render(draw_factors(0, "x", 0), size)
        assert (image.shape, image.dtype) == ((size, size, 3), np.uint8)


def test_judgments_do_not_change_with_the_size_of_the_split(judgments):
    more = SyntheticJudgments(SyntheticJudgments.Config(num_train=300)).load("train")
    few = judgments.load("train")
    assert np.array_equal(more.p_second[:200], few.p_second)
    assert np.array_equal(more.stimuli.images[5], few.stimuli.images[5])


def test_splits_pairs_and_test_set_share_no_image(judgments):
    def distinct(images):
        return {image.tobytes() for image in images}

    pairs = SyntheticPairs(SyntheticPairs.Config(num_pairs=100))
    groups = [
        distinct(judgments.load("train").stimuli.images),
        distinct(judgments.load("val").stimuli.images),
        distinct(judgments.load("test").stimuli.images),
        distinct(pairs.pair(i).image for i in range(100)),
        distinct(render_set(SyntheticSettings(num_images=100)).images),
    ]
    assert sum(map(len, groups)) == len(set().union(*groups))
    assert sum(map(len, groups)) == 600 + 150 + 600 + 100 + 100


def test_observers_disagree_and_the_ceiling_is_below_1(judgments):
    lower, upper = two_afc_ceiling(judgments.load("test"))
    assert 0.8 < lower < upper < 0.95


def test_pixels_alone_hardly_predict_the_votes(judgments):
    triplets = judgments.load("test")
    pixels = np.stack([image.reshape(-1) for image in triplets.stimuli.images]).astype(float)
    pixels /= np.linalg.norm(pixels, axis=1, keepdims=True)

    def distance(a, b):
        return 1 - (pixels[a] * pixels[b]).sum(axis=1)

    accuracy = two_afc_accuracy(
        distance(triplets.anchor, triplets.first),
        distance(triplets.anchor, triplets.second),
        triplets.p_second,
    )
    assert 0.45 < accuracy < 0.65


def test_observers_ignore_the_scene():
    rng = np.random.default_rng(0)
    crowd = Observers.draw(20, rng)
    thing, other = draw_factors(0, "x", 1).thing, draw_factors(0, "x", 2).thing
    same, different = differences([thing], [thing])[0], differences([thing], [other])[0]
    assert same.tolist() == [0, 0, 0]
    assert (crowd.p_second(different, same) > 0.5).all()
    assert crowd.p_second(same, same) == pytest.approx(np.full(20, 0.5))


def test_color_differences_follow_ciede2000():
    # white to black is 100 units of CIEDE2000: 1 - exp(-100 / 25)
    assert colour_difference((1, 1, 1), (0, 0, 0)) == pytest.approx(1 - np.exp(-4), abs=1e-3)
    assert colour_difference((0.2, 0.4, 0.6), (0.2, 0.4, 0.6)) == 0


def test_shape_differences_are_symmetric_and_zero_for_one_shape():
    for a in SHAPES:
        for b in SHAPES:
            difference = shape_difference(a, b)
            assert difference == shape_difference(b, a)
            assert difference == 0 if a == b else 0.5 <= difference <= 1


def test_captions_mention_some_factors_and_rarely_all():
    pairs = SyntheticPairs(SyntheticPairs.Config(num_pairs=300))
    captions = [pairs.pair(i).text for i in range(300)]
    with_colour = [any(c in text for c in COLOURS) for text in captions]
    with_shape = [any(s in text for s in SHAPES) for text in captions]
    assert 0.2 < np.mean(with_colour) < 0.95
    assert 0.2 < np.mean(with_shape) < 0.95
    assert len(set(captions)) > 200


def test_judgments_and_test_sets_are_marked_as_simulated(judgments):
    assert judgments.card.simulated
    assert "imulated" in judgments.card.title
    assert render_set(SyntheticSettings(num_images=2)).simulated


def test_each_shade_is_closest_to_the_color_of_its_name():
    middles = {
        name: Color("srgb", colorsys.hsv_to_rgb(hue / 360, saturation, value))
        for name, (hue, saturation, value) in COLOURS.items()
    }
    rng = np.random.default_rng(0)
    for name in COLOURS:
        for _ in range(20):
            shade = Color("srgb", draw_rgb(name, rng))
            assert min(middles, key=lambda m: shade.delta_e(middles[m], method="2000")) == name


def test_captions_contain_no_false_attribute():
    for i in range(200):
        factors = draw_factors(0, "x", i)
        words = set(caption(factors, np.random.default_rng(i)).split())
        for said, all_names in (("colour", COLOURS), ("shape", SHAPES), ("texture", TEXTURES)):
            truth = getattr(factors.thing, said)
            for name in all_names:
                synonyms = {w for phrase in WORDS.get(name, (name,)) for w in phrase.split()}
                assert name == truth or not words & synonyms


def test_a_candidate_in_the_scene_of_the_anchor_has_independent_noise(judgments):
    rows = [draw_triplet(judgments.config.seed, "train", i) for i in range(200)]
    shared = [(a, b) for a, b, _ in rows if a.scene == b.scene]
    assert 50 < len(shared) < 110  # 80 of 200 expected, standard deviation 7
    assert all(a.noise_seed != b.noise_seed for a, b in shared)


def test_inconsistent_vote_bounds_are_refused():
    _, problems = read_config(SyntheticJudgments.Config, {"min_votes": 9, "max_votes": 50}, "init.judgments")
    assert [str(p) for p in problems] == [
        "init.judgments: set min_votes <= max_votes <= num_observers, got 9, 50 and 40"
    ]
