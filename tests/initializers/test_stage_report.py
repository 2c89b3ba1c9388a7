"""The report of stage 1: unseen and known images, trivial models, distances, and a second set of judgments."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.earlier import TINY
from helpers.stage_one import SIZE, Colours, Heard, Killed, TinyTower, hinge_initializer
from torch import nn

from perceptinit.analysis.intervals import estimate_two_way, find_item_components
from perceptinit.files.checkpoints import load_state, save_state
from perceptinit.initializers.stage_report import find_unseen, stderr_over_images
from perceptinit.judgments.scoring import t_quantile
from perceptinit.recipe.reading import read_recipe
from perceptinit.results.record import describe_stages
from perceptinit.running.runner import run_recipe
from perceptinit.types import InitReport, Stimuli, Triplets

RNG = np.random.default_rng(0)


class HalfSeen(Colours):
    """Colors whose held-out judgments have images 12 to 35, of which 12 to 23 are in training."""

    def __init__(self, **options):
        super().__init__(num_images=36, num_triplets=400, **options)
        self.is_trained = (self.triplets.roles < 24).all(axis=0)

    def load(self, split):
        held_out = (self.triplets.roles >= 12).all(axis=0)
        return self.triplets.select(self.is_trained if split == "train" else held_out)


def of_random_images(num_images, count, votes=1):
    stimuli = Stimuli(tuple(map(str, range(num_images))), [np.zeros((SIZE, SIZE, 3), np.uint8)] * num_images)
    rows = np.array([RNG.permutation(num_images)[:3] for _ in range(count)])
    return Triplets.build(stimuli, *rows.T, RNG.random(count), votes)


def train(judgments=None, also_on=None, ctx=None, model=None, **options):
    initializer = hinge_initializer(judgments, **options)
    initializer.also_on = also_on
    return initializer.initialize(model or TinyTower(), ctx or Heard().ctx)


def test_a_judgment_is_unseen_if_none_of_its_images_is_in_training_by_name():
    images = [np.zeros((SIZE, SIZE, 3), np.uint8)] * 4
    trained, other = Stimuli(tuple("abcd"), images), Stimuli(tuple("dxyz"), images)
    triplets = Triplets.build(other, [1, 0], [2, 1], [3, 2], [1.0, 1.0])
    assert find_unseen(triplets, trained, np.array([0, 3])).tolist() == [True, False]
    assert find_unseen(triplets, trained, np.array([0, 1])).tolist() == [True, True]


def test_gains_on_unseen_and_known_images_are_reported_apart():
    judgments = HalfSeen()
    m = train(judgments, epochs=8).metrics
    held_out = judgments.load("val")
    unseen = int((held_out.roles >= 24).all(axis=0).sum())
    assert (m["unseen_2afc_judgments"], m["known_2afc_judgments"]) == (unseen, len(held_out) - unseen)
    for when in ("before", "after"):
        parts = m[f"unseen_2afc_{when}"] * unseen + m[f"known_2afc_{when}"] * m["known_2afc_judgments"]
        assert parts / len(held_out) == pytest.approx(m[f"2afc_val_{when}"])
    assert m["unseen_2afc_after"] > m["unseen_2afc_before"]


@pytest.mark.parametrize(("num_images", "count", "votes"), [(20, 300, 1), (900, 300, 4), (12, 60, 2)])
def test_the_interval_of_a_gain_is_that_of_eval(num_images, count, votes):
    triplets = of_random_images(num_images, count, votes)
    gains = RNG.choice([-1.0, 0.0, 1.0], size=count)
    stderr = stderr_over_images(gains, triplets)
    fewest = min(len(np.unique(role)) for role in triplets.roles)
    places = np.unique(triplets.roles.T, return_inverse=True)[1].reshape(triplets.roles.T.shape)
    parts = find_item_components(gains, places, triplets.num_votes)
    half = estimate_two_way(parts).high - estimate_two_way(parts).mean
    assert t_quantile(0.95, fewest - 1) * stderr == pytest.approx(half)


def test_few_images_have_no_interval():
    assert stderr_over_images(np.ones(8), of_random_images(9, 8)) is None


def test_the_best_trivial_model_is_reported():
    m = train().metrics
    (name,) = (name for name in m if name.startswith("trivial_2afc/"))
    assert 0.5 < m[name] <= 1


def lines(**metrics):
    known = {"spread_before": 0.196, "spread_after": 0.093, **metrics}
    report = InitReport(
        name="mine", changed=("a", "b"), sha256_before="", sha256_after="", metrics=known, seconds=1.0
    )
    return str(report).splitlines()


UNSEEN = {
    "unseen_2afc_before": 0.670, "unseen_2afc_after": 0.761, "unseen_2afc_judgments": 1425,
    "unseen_2afc_units": 40, "unseen_2afc_gain_stderr": 0.01,
}  # fmt: skip


def test_the_report_prints_six_lines():
    known = {name.replace("unseen", "known"): value for name, value in UNSEEN.items()}
    second = {name.replace("unseen", "also_on"): value for name, value in UNSEEN.items()}
    training = {"kept_epoch": 9, "epochs": 32, "norm_layers": 49, "norm_layers_frozen": 49}
    assert lines(**UNSEEN, **known, **second, **training, **{"trivial_2afc/mean colour": 0.605}) == [
        "mine: 2 tensors changed, epoch 9 of 32 was best and kept; 49 of 49 layers kept their running statistics",
        "2AFC on 1,425 judgments without training images (chance 0.5) 0.670 -> 0.761, gain +0.091, "
        "95 % interval [+0.071, +0.111]",  # t(39) = 2.023
        "2AFC on 1,425 held-out judgments with training images (chance 0.5) 0.670 -> 0.761, gain +0.091, "
        "95 % interval [+0.071, +0.111]",
        "2AFC on 1,425 judgments of also_on (chance 0.5) 0.670 -> 0.761, gain +0.091, "
        "95 % interval [+0.071, +0.111]",
        "best trivial model on held-out judgments: mean colour, 0.605",
        "mean cosine distance of two images: 0.2 -> 0.093",
    ]


def test_a_record_contains_the_lines_of_the_report_and_its_warnings():
    metrics = {"spread_before": 0.196, "spread_after": 0.093, "also_on_2afc_units": None, **UNSEEN}
    stage = {"stage": "init.0", "name": "mine", "num_changed": 2, "changed": [], "metrics": metrics}
    other = {**stage, "stage": "init.1", "metrics": {"weight_change": 0.1}}
    warnings = [
        {"stage": "init.0", "message": "stage 1 contracted the embeddings"},
        {"stage": "pretrain", "message": "slow"},
    ]
    found = list(describe_stages({"init": [stage, other], "warnings": warnings}))
    assert found == [
        *lines(**UNSEEN),
        "Warning: stage 1 contracted the embeddings",
        "mine: 2 tensors changed",
    ]


def test_the_report_states_that_no_image_is_unseen():
    report = train()
    assert "unseen_2afc_before" not in report.metrics
    assert str(report).splitlines()[1] == (
        "Every held-out judgment has a training image: the gain on other images was not measured"
    )


class Opposite(Colours):
    """The same colors, judged the other way round."""

    def load(self, split):
        return replace(self.triplets, p_second=1 - self.triplets.p_second)


def test_a_loss_on_the_second_set_is_a_warning():
    heard = Heard()
    m = train(epochs=16, also_on=Opposite(), ctx=heard.ctx).metrics
    assert m["also_on_2afc_judgments"] == 96
    assert m["also_on_2afc_after"] == pytest.approx(1 - m["2afc_val_after"])
    lost = m["also_on_2afc_before"] - m["also_on_2afc_after"]
    assert heard.warnings[-1].startswith(f"also_on: stage 1 lowered 2AFC by {lost:.3f}, more than its 95 %")


def test_a_gain_on_the_second_set_is_not_a_warning():
    heard = Heard()
    m = train(epochs=16, also_on=Colours(), ctx=heard.ctx).metrics
    assert m["also_on_2afc_after"] > m["also_on_2afc_before"]
    assert heard.warnings == []


def test_a_resumed_stage_reports_the_second_set_before_training(tmp_path):
    model = TinyTower()

    def offer(step, state):
        if step == 5:
            save_state(tmp_path / "state", {"stage": state(), "weights": model.state_dict()})
            raise Killed

    with pytest.raises(Killed):
        train(also_on=Colours(num_triplets=50), ctx=replace(Heard().ctx, offer=offer), model=model)
    kept = load_state(tmp_path / "state")
    model = TinyTower()
    model.load_state_dict(kept["weights"])
    resumed = train(
        also_on=Colours(num_triplets=50), ctx=replace(Heard().ctx, resumed=kept["stage"]), model=model
    )
    assert replace(resumed, seconds=0) == replace(train(also_on=Colours(num_triplets=50)), seconds=0)


@pytest.mark.parametrize("is_learned", [True, False])
def test_an_expansion_of_learned_embeddings_is_a_warning(is_learned):
    class Near(TinyTower):
        """Embeddings with a common direction, which shrinks when the weights change."""

        def __init__(self):
            super().__init__()
            self.norm = nn.LayerNorm(8)
            self.norm.weight.data[0] = 0.9 if is_learned else 1.0

        def encode_image(self, images):
            change = (self.norm.bias - 0).abs().sum()
            return self.norm(super().encode_image(images)) + 3 * (1 - (50 * change).clamp(max=1))

    heard = Heard()
    m = train(model=Near(), ctx=heard.ctx).metrics
    assert m["spread_after"] > 2 * m["spread_before"]
    assert any(text.startswith("stage 1 expanded the embeddings") for text in heard.warnings) == is_learned


OTHER = """
[data.other]
use = "synthetic"
num_train = 1
num_val = 40
num_test = 1
image_size = 16
seed = 5
"""


def test_a_recipe_measures_another_set_in_stage_one(tmp_path):
    with_other = TINY.replace("[init.judgments]", 'also_on.like = "data.other"\n[init.judgments]') + OTHER
    records = []
    for name, text in (("tiny", with_other), ("plain", TINY.replace('"tiny"', '"plain"'))):
        recipe = read_recipe(text, source=f"{name}.toml")
        records += run_recipe(recipe, arms=["pi"], seeds=[0], out=tmp_path, device="cpu")
    measured, plain = records
    assert measured["init"][0]["metrics"]["also_on_2afc_judgments"] == 40
    assert measured["hashes"]["init"] == plain["hashes"]["init"]
    assert measured["arm"]["resolved"]["init"][0]["also_on"]["seed"] == 5
    assert "also_on" not in plain["arm"]["resolved"]["init"][0]


def test_records_without_a_part_of_the_metrics_are_described_by_the_rest():
    metrics = {"2afc_val_before": 0.5, "2afc_test_before": 0.5, "2afc_test_after": 0.6, "spread_after": 0.1}
    stage = {"name": "a", "num_changed": 3, "metrics": metrics}
    unseen = {"name": "b", "num_changed": 2, "metrics": {"unseen_2afc_before": 0.5, "unseen_2afc_after": 0.7}}
    first, second, gain = describe_stages({"init": [stage, unseen], "warnings": []})
    assert first == "a: 2AFC on test judgments (chance 0.5) 0.500 -> 0.600, gain +0.100; 3 tensors changed"
    assert second == "b: 2 tensors changed"
    assert gain.startswith("2AFC on judgments without training images")
