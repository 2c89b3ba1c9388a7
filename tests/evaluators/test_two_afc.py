"""2AFC accuracy computed by hand, and the `two-afc` evaluator on models with known choices."""

import math

import numpy as np
import pytest
import torch

from perceptinit.errors import TrainingError
from perceptinit.evaluators.two_afc import TwoAFC
from perceptinit.images.stimuli import StimulusImages
from perceptinit.judgments.scoring import (
    clustered_stderr,
    cosine_distances,
    embedding_spread,
    two_afc_accuracy,
)
from perceptinit.judgments.two_afc import measure
from perceptinit.types import DataCard, RunContext, Stimuli, Triplets

RED, GREEN, BLUE, DARK_RED = (200, 0, 0), (0, 200, 0), (0, 0, 200), (100, 0, 0)


def plain(colour):
    return np.full((4, 4, 3), colour, dtype=np.uint8)


def colour_triplets(p_second, num_votes=1):
    """Return triplets: is dark red or green closer to red, is green or red closer to blue, ..."""
    images = [plain(c) for c in (RED, GREEN, BLUE, DARK_RED)]
    stimuli = Stimuli(("red", "green", "blue", "dark-red"), images)
    return Triplets.build(stimuli, [0, 3, 2], [1, 0, 1], [3, 1, 0], p_second, num_votes)


def mean_colour(images):
    return images.float().mean(dim=(2, 3))


class FixedJudgments:
    name = "fixed"
    card = DataCard(title="fixed", source_url="", license="", citation="")

    def __init__(self, triplets):
        self.triplets, self.loaded = triplets, []

    def load(self, split):
        self.loaded.append(split)
        return self.triplets


class Model:
    """An image tower of 4 x 4 pixels with any function as its embedding."""

    image_size = 4

    def __init__(self, encode):
        self.encode_image = encode


def evaluate(encode, judgments, **config):
    events = []
    evaluator = TwoAFC(TwoAFC.Config(**config), judgments)
    scores = list(evaluator.evaluate(Model(encode), RunContext(send=events.append)))
    return scores, [event.message for event in events if event.kind == "warning"]


def test_accuracy_counts_votes_for_the_closer_image():
    # judgment 1: the model chooses second, 3 of 4 agree; judgment 2: it chooses first, 1 of 4 agrees
    accuracy = two_afc_accuracy([0.5, 0.1], [0.2, 0.3], [0.75, 0.75])
    assert accuracy == 0.5


def test_a_tie_scores_one_half_for_any_votes():
    assert two_afc_accuracy([0.3], [0.3], [1.0]) == 0.5
    assert two_afc_accuracy([0.3], [0.3], [0.0]) == 0.5


def test_with_vote_counts_each_vote_has_equal_weight():
    # 1 vote that agrees, 3 that do not
    assert two_afc_accuracy([0.5, 0.5], [0.2, 0.2], [1.0, 0.0], [1, 3]) == 0.25


@pytest.mark.parametrize(
    ("d_first", "d_second", "p_second", "message"),
    [
        ([0.1, 0.2], [0.1], [0.5], "shapes differ"),
        ([0.1], [0.2], [1.5], r"p_second is not in \[0, 1\]"),
        ([0.1], [0.2], [math.nan], r"p_second is not in \[0, 1\]"),
        ([math.nan], [0.2], [1.0], "a distance is not finite"),
        ([], [], [], "no judgments"),
    ],
)
def test_invalid_distances_and_votes_are_refused(d_first, d_second, p_second, message):
    with pytest.raises(ValueError, match=message):
        two_afc_accuracy(d_first, d_second, p_second)


def test_the_clustered_error_of_distinct_anchors_is_the_standard_error():
    values = np.array([0.0, 1.0, 2.0, 3.0])
    assert clustered_stderr(values, np.arange(4)) == pytest.approx(math.sqrt(5 / 3) / 2)


def test_judgments_of_one_anchor_are_not_independent():
    # two anchors, each judged twice with one outcome: the precision of two judgments, not of four
    values = np.array([0.0, 0.0, 1.0, 1.0])
    assert clustered_stderr(values, np.array([7, 7, 9, 9])) == pytest.approx(0.5)
    assert clustered_stderr(np.array([0.0, 1.0]), np.arange(2)) == pytest.approx(0.5)


def test_the_standard_error_weights_judgments_by_votes():
    # mean (1*1 + 0*3)/4 = 1/4; residuals 3/4 and -3/4; sqrt(2 * 2 * 9/16) / 4 = 3/8
    stderr = clustered_stderr(np.array([1.0, 0.0]), np.arange(2), np.array([1, 3]))
    assert stderr == pytest.approx(3 / 8)


def test_one_anchor_has_no_standard_error():
    assert clustered_stderr(np.array([0.0, 1.0]), np.zeros(2)) is None


def test_spread_is_the_mean_cosine_distance_between_images():
    # pairs: 90 degrees (1), 180 degrees (2), 90 degrees (1)
    directions = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    assert embedding_spread(directions) == pytest.approx(4 / 3)
    assert embedding_spread(np.tile([0.6, 0.8], (5, 1))) == pytest.approx(0)


def test_distances_of_nearly_equal_embeddings_keep_their_precision():
    # 1 - cos of 1e-9 radians is 5e-19, which 1 - z_a . z_b would round to 0
    directions = np.array([[1.0, 0.0], [1.0, 1e-9]])
    assert cosine_distances(directions, np.array([0]), np.array([1])) == pytest.approx(5e-19)


def test_two_afc_chooses_the_more_similar_image_and_embeds_each_image_once():
    seen = []

    def encode(images):
        seen.append(len(images))
        return mean_colour(images)

    # red: green or dark red? second. dark red: red or green? first. blue: green or red? a tie
    triplets = colour_triplets([1.0, 0.25, 1.0], num_votes=[2, 4, 2])
    images = torch.stack([torch.from_numpy(i.copy()) for i in triplets.stimuli.images])
    result = measure(encode, triplets, images.permute(0, 3, 1, 2), batch_size=3)
    assert seen == [3, 1]
    assert result.accuracy == pytest.approx((2 + 3 + 1) / 8)
    assert (result.num_judgments, result.num_ties, result.num_anchors, result.num_images) == (
        3,
        1,
        3,
        4,
    )
    # of 6 pairs, only red and dark red are similar
    assert result.spread == pytest.approx(5 / 6)


def test_weighting_by_judgments_counts_each_judgment_once():
    triplets = colour_triplets([1.0, 0.25, 1.0], num_votes=[20, 40, 60])
    (score, _), _ = evaluate(mean_colour, FixedJudgments(triplets), weighting="judgments")
    assert score.value == pytest.approx((1 + 0.75 + 0.5) / 3)
    assert score.ceiling == score.lower_ceiling == pytest.approx((1 + 0.75 + 1) / 3)


def test_the_score_contains_chance_ceiling_and_count():
    (score, spread), warnings = evaluate(
        mean_colour, FixedJudgments(colour_triplets([1.0, 0.0, 1.0], [40, 40, 40]))
    )
    assert (score.name, spread.name) == ("2afc/fixed", "embedding_spread/fixed")
    assert (score.chance, score.lower_ceiling, score.ceiling) == (0.5, 1.0, 1.0)
    assert score.num_examples == 3
    assert score.value == pytest.approx(2.5 / 3)
    assert score.extra["num_ties"] == 1
    assert spread.num_examples == 4
    assert warnings == []


def test_one_answer_per_question_gives_no_ceiling():
    (score, _), _ = evaluate(mean_colour, FixedJudgments(colour_triplets([1.0, 0.0, 1.0])))
    assert (score.lower_ceiling, score.ceiling) == (None, None)


def test_the_score_name_contains_a_split_other_than_test():
    judgments = FixedJudgments(colour_triplets([1.0, 0.0, 1.0]))
    (score, _), _ = evaluate(mean_colour, judgments, split="val")
    assert score.name == "2afc/fixed-val"
    assert judgments.loaded == ["val"]


def test_a_collapsed_model_scores_chance_with_a_warning():
    triplets = colour_triplets([1.0, 1.0, 1.0])
    (score, spread), (warning,) = evaluate(lambda x: torch.ones(len(x), 8), FixedJudgments(triplets))
    assert score.value == 0.5
    assert spread.value == pytest.approx(0)
    assert "2afc/fixed: the image embeddings have collapsed" in warning
    assert "3 of 3 judgments are ties" in warning


def test_zero_embeddings_are_a_collapse_and_not_an_error():
    triplets = colour_triplets([1.0, 1.0, 1.0])
    (score, _), warnings = evaluate(lambda x: torch.zeros(len(x), 8), FixedJudgments(triplets))
    assert score.value == 0.5
    assert len(warnings) == 1


def test_embeddings_that_are_not_finite_stop_the_evaluation():
    def encode(images):
        return mean_colour(images).where(images[:, 0, :1, 0] > 0, torch.nan)

    with pytest.raises(TrainingError, match="2 of 4 image embeddings are not finite"):
        evaluate(encode, FixedJudgments(colour_triplets([1.0, 0.0, 1.0])))


def test_repeated_evaluations_load_judgments_and_decode_images_once():
    judgments = FixedJudgments(colour_triplets([1.0, 0.0, 1.0]))
    evaluator = TwoAFC(TwoAFC.Config(), judgments)
    first = list(evaluator.evaluate(Model(mean_colour), RunContext()))
    judgments.triplets.stimuli.images.clear()  # a second read would fail
    assert list(evaluator.evaluate(Model(mean_colour), RunContext())) == first
    assert judgments.loaded == ["test"]


def test_images_beyond_the_cache_are_decoded_again():
    stimuli = colour_triplets([1.0, 0.0, 1.0]).stimuli
    cached, uncached = StimulusImages(stimuli, 4), StimulusImages(stimuli, 4, cache_bytes=191)
    indices = np.array([2, 0, 2])
    assert torch.equal(cached[indices], uncached[indices])
    stimuli.images.clear()
    assert torch.equal(cached[indices][0, :, 0, 0], torch.tensor(BLUE, dtype=torch.uint8))
    with pytest.raises(IndexError):
        uncached[indices]


def test_preflight_reports_why_a_split_cannot_be_loaded():
    from perceptinit.errors import DataError

    class NoTest(FixedJudgments):
        def load(self, split):
            raise DataError(f"fixed: no judgments in split '{split}'")

    evaluator = TwoAFC(TwoAFC.Config(), NoTest(None))
    assert list(evaluator.preflight()) == ["fixed: no judgments in split 'test'"]
