"""Stage 1 with each loss, its diagnostics, and control judgments."""

import math

import numpy as np
import pytest
import torch
from helpers.vision_towers import context
from torch import nn

from perceptinit.configs import read_config
from perceptinit.errors import DataError, InitializerError, UsageError
from perceptinit.initializers.batches import num_distinct
from perceptinit.initializers.objectives import Loss, OddOneOutObjective, TripletObjective
from perceptinit.initializers.triplet import Triplet
from perceptinit.initializers.triplet_hinge import TripletHinge
from perceptinit.initializers.triplet_loss import (
    distances_to_all,
    info_nce,
    logistic,
    odd_one_out,
    pair_distances,
    rivals,
    triplet_distances,
    vote_weights,
)
from perceptinit.initializers.triplet_training import augment_alike
from perceptinit.initializers.weights import trainable_names, weight_changes
from perceptinit.judgments.controls.synthetic import ClassTriplets, draw_class_triplets
from perceptinit.judgments.controls.wrappers import PixelTriplets
from perceptinit.judgments.forms.odd_one_out import OddOneOut
from perceptinit.types import Stimuli, Triplets

SIZE = 4
LOG_2 = math.log(2)


def stimuli_of(colours):
    images = [np.broadcast_to(c, (SIZE, SIZE, 3)).copy() for c in np.asarray(colours, np.uint8)]
    return Stimuli(tuple(f"colour-{i}" for i in range(len(images))), images)


class Tower(nn.Module):
    """Three numbered layers on 4 x 4 pixels."""

    def __init__(self):
        super().__init__()
        self.image_size, self.embed_dim = SIZE, 8
        self.stem = nn.Linear(3 * SIZE * SIZE, 16)
        self.blocks = nn.ModuleList([nn.Linear(16, 16), nn.Linear(16, 16)])
        self.projection = nn.Linear(16, 8)
        rng = torch.Generator().manual_seed(0)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=rng) / 4

    def encode_image(self, images):
        x = self.stem(images.flatten(1) / 255)
        for block in self.blocks:
            x = x + torch.tanh(block(x))
        return self.projection(x)


class RedJudges:
    """Ten observers that see only red; triplets and odd-one-out choices of the same colors."""

    name = "red"

    def __init__(self, num_images=20, count=120):
        rng = np.random.default_rng(0)
        colours = rng.integers(0, 256, (num_images, 3))
        self.stimuli, red = stimuli_of(colours), colours[:, 0] / 255
        self.rows = np.array([rng.permutation(num_images)[:3] for _ in range(count)])
        a, b, c = red[self.rows].T
        self.d_first, self.d_second, self.d_between = abs(a - b), abs(a - c), abs(b - c)

    def load(self, split):
        p_second = np.round(10 / (1 + np.exp((self.d_second - self.d_first) / 0.1))) / 10
        return Triplets.build(self.stimuli, *self.rows.T, p_second, 10)

    def load_odd_one_out(self, split):
        pairs = np.stack([self.d_first, self.d_second, self.d_between], axis=1)
        votes = np.zeros((len(pairs), 3), int)
        votes[np.arange(len(pairs)), 2 - pairs.argmin(axis=1)] = 3
        return OddOneOut.build(self.stimuli, self.rows, votes)


def train(loss, judgments=None, **options):
    options = {"epochs": 16, "batch_size": 40, "lr": 0.01} | options
    initializer = Triplet(Triplet.Config(loss=loss, **options), judgments or RedJudges())
    return initializer.initialize(Tower(), context())


# --- losses


def test_logistic_is_the_cross_entropy_of_the_votes():
    # a lead of ln(3) temperatures: the model chooses second with probability 3/4
    loss = logistic(0.1 * math.log(3), 0.0, torch.tensor([1.0, 0.0, 0.75]), 0.1)
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert loss.tolist() == pytest.approx([-math.log(0.75), -math.log(0.25), entropy])


def test_logistic_of_a_tie_is_minimal_at_equal_distances():
    assert logistic(0.3, 0.3, 0.5, 0.1).item() == pytest.approx(LOG_2)
    assert logistic(0.3, 0.2, 0.5, 0.1) > LOG_2


def test_odd_one_out_is_a_softmax_over_three_pairs():
    distances = torch.tensor([[0.0, 0.1 * LOG_2, 0.1 * LOG_2]])  # shares 1/2, 1/4, 1/4
    assert odd_one_out(distances, torch.tensor([[1.0, 0, 0]]), 0.1).item() == pytest.approx(LOG_2)
    mixed = odd_one_out(distances, torch.tensor([[0.5, 0.5, 0]]), 0.1)
    assert mixed.item() == pytest.approx(1.5 * LOG_2)


def test_odd_one_out_of_a_collapsed_model_is_the_logarithm_of_3():
    assert odd_one_out(torch.zeros(1, 3), torch.tensor([[0.2, 0.3, 0.5]]), 0.1).item() == (
        pytest.approx(math.log(3))
    )


def test_info_nce_compares_the_chosen_image_with_its_negatives_only():
    distances = torch.tensor([[0.0, 0.1, 0.1, 0.1]])
    rival = torch.tensor([[False, False, True, False]])
    assert info_nce(distances, torch.tensor([1]), rival, 0.1).item() == pytest.approx(LOG_2)


def test_negatives_exclude_the_anchor_and_other_choices_for_it():
    anchor, chosen, rejected = (torch.tensor(c) for c in ([0, 0, 4], [1, 2, 1], [3, 1, 0]))
    assert rivals(anchor, chosen, rejected, 5).int().tolist() == [
        [0, 0, 0, 1, 1],  # 2 was chosen for the same anchor by the next judgment
        [0, 1, 0, 1, 1],  # 1 too, but this judgment rejected it
        [1, 0, 1, 1, 0],
    ]


def test_euclidean_distances_are_not_normalized():
    embeddings = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]])
    rows = [torch.tensor([i]) for i in range(3)]
    distances = triplet_distances(embeddings, *rows, "euclidean")
    assert [d.item() for d in distances] == pytest.approx([5, 1])
    pairs = pair_distances(embeddings, torch.tensor([[0], [1], [2]]), "euclidean")
    assert pairs.tolist()[0] == pytest.approx([5, 1, 18**0.5])
    table = distances_to_all(embeddings, torch.tensor([0]), "euclidean")
    assert table.tolist()[0] == pytest.approx([0, 5, 1], abs=1e-5)


def test_the_distance_of_equal_embeddings_has_a_finite_gradient():
    embeddings = torch.ones(3, 2, requires_grad=True)
    pair_distances(embeddings, torch.tensor([[0], [1], [2]]), "euclidean").sum().backward()
    assert embeddings.grad.isfinite().all()


def test_vote_weights_are_proportional_to_votes_with_mean_one():
    assert vote_weights(torch.tensor([1, 2, 3])).tolist() == [0.5, 1, 1.5]


# --- objectives


def triplets(p_second, votes=1):
    n = len(p_second)
    return Triplets.build(stimuli_of(np.eye(3) * 255), [0] * n, [1] * n, [2] * n, p_second, votes)


@pytest.mark.parametrize(("loss", "dropped"), [("hinge", 1), ("info-nce", 1), ("logistic", 0)])
def test_ties_are_dropped_for_losses_that_cannot_use_them(loss, dropped):
    objective = TripletObjective(triplets([0.5, 1, 0]), Loss(name=loss, margin=0.05), "judgments")
    assert objective.num_ties_dropped == dropped
    assert len(objective.columns) == 3 - dropped


def test_margin_violations_are_counted_for_each_loss():
    embeddings = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])  # first is much nearer
    for name in ("hinge", "logistic", "info-nce"):
        objective = TripletObjective(triplets([0, 1]), Loss(name=name, margin=0.05), "judgments")
        places = torch.from_numpy(objective.columns.T.copy())
        _, violations = objective.losses(embeddings, places, np.arange(2))
        assert violations.tolist() == [0, 1]


def test_the_odd_one_out_objective_converts_odd_votes_to_pair_votes():
    judgments = OddOneOut.build(stimuli_of(np.eye(3) * 255), [[0, 1, 2]], [[1, 0, 3]])
    objective = OddOneOutObjective(judgments, Loss(name="odd-one-out", margin=0.05), "votes")
    embeddings = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    places = torch.tensor([[0], [1], [2]])
    losses, violations = objective.losses(embeddings, places, np.array([0]))
    # pair 0-1 at distance 0 has 3 of 4 votes, the others are at distance 1, 10 temperatures
    log_z = math.log(1 + 2 * math.exp(-10))
    assert losses.item() == pytest.approx(0.75 * log_z + 0.25 * (10 + log_z))
    assert violations.item() == 0


def test_training_judgments_that_are_all_ties_are_refused():
    with pytest.raises(InitializerError, match="all 2 training judgments are ties"):
        TripletObjective(triplets([0.5, 0.5]), Loss(name="hinge", margin=0.05), "judgments")


# --- the initializer


@pytest.mark.parametrize("loss", ["hinge", "logistic", "info-nce", "odd-one-out"])
def test_training_with_each_loss_improves_2afc(loss):
    m = train(loss).metrics
    assert m["2afc_val_before"] < m["2afc_val_after"] - 0.04
    assert m["2afc_val_after"] > 0.9 * m["2afc_val_ceiling"] >= 0.9 * m["2afc_val_ceiling_lower"]
    assert m["spread_after"] > 1e-3


def test_training_with_euclidean_distances_improves_2afc():
    m = train("logistic", distance="euclidean", temperature=1.0).metrics
    assert m["2afc_val_after"] > m["2afc_val_before"]


def test_triplet_with_a_hinge_loss_equals_triplet_hinge():
    options = {"epochs": 2, "batch_size": 40, "margin": 0.1}
    hinge = TripletHinge(TripletHinge.Config(**options), RedJudges()).initialize(Tower(), context())
    chosen = Triplet(Triplet.Config(loss="hinge", **options), RedJudges())
    report = chosen.initialize(Tower(), context())
    assert report.sha256_after == hinge.sha256_after
    assert (report.name, hinge.name) == ("triplet", "triplet-hinge")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"loss": "hinge", "temperature": 0.1}, "temperature has no effect on loss 'hinge'"),
        ({"loss": "odd-one-out", "weighting": "agreement"}, "does not support weighting 'agreement'"),
        (
            {"crop_scale": [0.9, 0.5]},
            "crop_scale = [0.9, 0.5]: expected two positive shares in ascending order",
        ),
        ({"loss": "triplet"}, "loss: "),
    ],
)
def test_incompatible_settings_are_reported(table, message):
    _, problems = read_config(Triplet.Config, table, "init")
    assert message in str(problems[0])


def test_odd_one_out_loss_refuses_anchored_judgments():
    class Anchored:
        name, load = "red", RedJudges().load

    initializer = Triplet(Triplet.Config(loss="odd-one-out"), Anchored())
    assert ["are not odd-one-out" in message for message in initializer.preflight()] == [True]
    with pytest.raises(UsageError, match="judgments 'red' are not odd-one-out"):
        initializer.initialize(Tower(), context())


def test_a_smoke_config_uses_simulated_triplets():
    config = Triplet.Config(loss="odd-one-out", weighting="votes").smoke()
    assert (config.loss, config.epochs, config.weighting) == ("logistic", 2, "votes")


def test_last_blocks_trains_the_last_blocks_and_the_layers_after_them():
    report = train("hinge", last_blocks=1)
    assert {name.rpartition(".")[0] for name in report.changed} == {"blocks.1", "projection"}
    assert trainable_names(Tower(), "all", 2)[0] == "blocks.0.weight"


def test_more_last_blocks_than_the_tower_has_are_refused():
    message = (
        r"last_blocks = 3: Tower has 2 numbered blocks, such as blocks\.0, blocks\.1\. Lower last_blocks"
    )
    with pytest.raises(InitializerError, match=message):
        train("hinge", last_blocks=3)


# --- augmentation


def test_all_images_of_a_step_have_the_same_crop_and_flip():
    rng = np.random.default_rng(3)
    image = torch.randint(0, 256, (1, 3, 16, 16), dtype=torch.uint8)
    for _ in range(8):
        both = augment_alike(image.repeat(2, 1, 1, 1), (0.3, 0.8), True, rng)
        assert both.dtype == torch.uint8
        assert both.shape == (2, 3, 16, 16)
        assert torch.equal(both[0], both[1])
        assert not torch.equal(both[0], image[0])


def test_images_are_unchanged_without_crop_and_flip():
    image = torch.randint(0, 256, (1, 3, 8, 8), dtype=torch.uint8)
    assert augment_alike(image, (1.0, 1.0), False, np.random.default_rng(0)) is image


def test_augmented_training_is_reproducible_under_a_seed():
    judgments = RedJudges()  # crops do not change uniform images, so these are not uniform
    noise = np.random.default_rng(0).integers(0, 256, (20, SIZE, SIZE, 3), dtype=np.uint8)
    judgments.stimuli = Stimuli(judgments.stimuli.ids, list(noise))
    options = {"crop_scale": (0.5, 1.0), "flip": True, "epochs": 2}
    hashes = {train("logistic", judgments, **options).sha256_after for _ in range(2)}
    assert len(hashes) == 1
    assert hashes != {train("logistic", judgments, epochs=2).sha256_after}


# --- diagnostics


def test_weight_changes_are_relative_to_the_initial_norm_of_the_block():
    before = {
        "blocks.0.a.weight": torch.diag(torch.tensor([3.0, 4.0])),
        "blocks.0.b": torch.ones(2),
    }
    after = {"blocks.0.a.weight": torch.diag(torch.tensor([6.0, 4.0])), "blocks.0.b": torch.ones(2)}
    changes = weight_changes(before, after)
    assert changes["weight_change/blocks.0"] == pytest.approx(3 / 5)
    assert changes["norm_ratio/blocks.0"] == pytest.approx(52**0.5 / 5)
    assert changes["spectrum_change/blocks.0"] == pytest.approx(5**0.5 / 5)  # (6, 4) - (4, 3)


def test_a_rotation_changes_the_weights_but_not_the_spectrum():
    turned = torch.tensor([[0.0, -1.0], [1.0, 0.0]])
    changes = weight_changes({"head.weight": torch.eye(2)}, {"head.weight": turned})
    assert changes["weight_change/head"] == pytest.approx(2**0.5)
    assert changes["spectrum_change/head"] == pytest.approx(0, abs=1e-12)


def test_the_report_contains_the_learning_curve_and_the_change_of_each_block():
    m = train("logistic", epochs=4, eval_every=2).metrics
    assert {"2afc_val_epoch_02", "train_loss_epoch_02", "margin_violations"} <= m.keys()
    blocks = {name.removeprefix("weight_change/") for name in m if name.startswith("weight_change/")}
    assert blocks == {"stem", "blocks.0", "blocks.1", "projection"}
    assert all(m[f"spectrum_change/{b}"] <= m[f"weight_change/{b}"] for b in blocks)


# --- controls


def test_pixel_triplets_replace_training_votes_only():
    stimuli = stimuli_of([[250, 0, 0], [200, 10, 0], [0, 250, 0], [0, 240, 10]])

    class People:
        name = "people"

        def load(self, split):  # all votes contradict the pixel colors
            return Triplets.build(stimuli, [0, 2], [1, 0], [2, 3], [1.0, 0.0], [7, 7])

    control = PixelTriplets(PixelTriplets.Config(size=SIZE), People())
    assert control.load("train").p_second.tolist() == [0, 1]
    assert control.load("train").num_votes.tolist() == [1, 1]
    assert control.load("test").p_second.tolist() == [1, 0]
    assert control.name == "people"


def test_pixel_ties_give_half_a_vote_to_each_candidate():
    stimuli = stimuli_of([[250, 0, 0], [0, 250, 0], [0, 0, 250]])

    class People:
        def load(self, split):
            return Triplets.build(stimuli, [0], [1], [2], [1.0])

    control = PixelTriplets(PixelTriplets.Config(size=SIZE), People())
    assert control.load("train").p_second.tolist() == [0.5]


@pytest.fixture
def class_folder(tmp_path):
    from PIL import Image

    for name, colour in (("cat", (200, 0, 0)), ("dog", (0, 200, 0)), ("owl", (0, 0, 200))):
        (tmp_path / name).mkdir()
        for i in range(20):
            Image.new("RGB", (4, 4), colour).save(tmp_path / name / f"{i}.png")
    return tmp_path


def test_class_triplets_choose_the_class_of_the_anchor_and_splits_are_disjoint(class_folder):
    judgments = ClassTriplets(ClassTriplets.Config(root=class_folder, num_triplets=200))
    images = {}
    for split in ("train", "val", "test"):
        t = judgments.load(split)
        label = np.array([name.partition("/")[0] for name in t.stimuli.ids])
        chosen = np.where(t.p_second == 1, t.second, t.first)
        rejected = np.where(t.p_second == 1, t.first, t.second)
        assert (label[chosen] == label[t.anchor]).all()
        assert (label[rejected] != label[t.anchor]).all()
        images[split] = set(np.concatenate([t.anchor, t.first, t.second]).tolist())
    t = judgments.load("train")
    assert 150 < len(t) <= 200
    assert 0.4 < t.p_second.mean() < 0.6
    assert not images["train"] & (images["val"] | images["test"])
    assert np.array_equal(t.anchor, ClassTriplets(judgments.config).load("train").anchor)


def test_class_triplets_read_parquet(tmp_path):
    import pyarrow
    from pyarrow import parquet

    table = pyarrow.table({"image": [b"%d" % i for i in range(40)], "label": [0, 1] * 20})
    parquet.write_table(table, tmp_path / "images.parquet")
    config = ClassTriplets.Config(root=tmp_path / "images.parquet", num_triplets=50)
    t = ClassTriplets(config).load("train")
    is_one = np.arange(40) % 2 == 1
    chosen = np.where(t.p_second == 1, t.second, t.first)
    assert np.array_equal(is_one[chosen], is_one[t.anchor])
    config = ClassTriplets.Config(root=tmp_path / "images.parquet", label_column="class")
    with pytest.raises(DataError, match="cannot read columns image and class"):
        ClassTriplets(config).load("train")
    config = ClassTriplets.Config(root=tmp_path / "missing.parquet")
    with pytest.raises(DataError, match=r"missing\.parquet: no such file"):
        ClassTriplets(config).load("train")


def test_class_triplets_require_two_images_of_one_class_and_one_of_another(tmp_path):
    rng = np.random.default_rng(0)
    alone = draw_class_triplets(np.array([0, 1, 2]), np.arange(3), 5, rng)
    one_class = draw_class_triplets(np.array([0, 0, 0]), np.arange(3), 5, rng)
    assert len(alone) == len(one_class) == 0
    (message,) = ClassTriplets(ClassTriplets.Config(root=tmp_path)).preflight()
    assert message.endswith("no images found. Expected one subfolder per class")


def test_distinct_images_are_counted_per_batch():
    columns = np.array([[0, 1, 2], [0, 1, 3], [4, 5, 6], [4, 5, 4], [7, 8, 8]])
    assert num_distinct(columns, 2) == 4 + 3 + 2
    assert num_distinct(columns[:4], 2) == 4 + 3
    assert num_distinct(columns, 8) == 9
