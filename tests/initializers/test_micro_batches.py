"""Micro-batches over the distinct images of a step of stage 1, with the gradients of the whole batch."""

import pytest
import torch
from helpers.stage_one import Colours, Heard, TinyTower
from torch import nn

from perceptinit.errors import InitializerError
from perceptinit.initializers.triplet import Triplet

LOSSES = ("hinge", "logistic", "info-nce")


def train(model, **options):
    options = {
        "epochs": 1,
        "batch_size": 48,
        "lr": 0.001,
        "optimizer": "torch.optim:SGD",
        "clip_norm": 0.0,
    } | options
    return Triplet(Triplet.Config(**options), Colours()).initialize(model, Heard().ctx)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("micro_batch", [1, 7, 24])
def test_gradients_are_those_of_the_whole_batch(monkeypatch, loss, micro_batch):
    gradients = []

    def keep(parameters):
        gradients.append([parameter.grad.clone() for parameter in parameters])

    monkeypatch.setattr("perceptinit.compute.distributed.sum_gradients", keep)
    for size in (None, micro_batch):
        train(TinyTower(), loss=loss, micro_batch=size)
    first, second = gradients[0], gradients[len(gradients) // 2]
    for whole, parts in zip(first, second, strict=True):
        torch.testing.assert_close(parts, whole, rtol=0, atol=1e-6)


def test_no_more_than_a_micro_batch_is_encoded_at_a_time():
    model = TinyTower()
    train(model, micro_batch=10)
    assert model.batch_sizes == [10, 10, 4] * 4  # two passes in each of two steps


class Dropping(TinyTower):
    def encode_image(self, images):
        return nn.functional.dropout(super().encode_image(images), 0.5, self.training)


def test_both_passes_drop_the_same_values():
    model = Dropping()
    seen = []
    whole = model.encode_image

    def encode(images):
        embeddings = whole(images)
        if model.training:
            seen.append(embeddings.detach())
        return embeddings

    model.encode_image = encode
    train(model, micro_batch=12)
    first, second = seen[:2], seen[2:4]
    assert all(map(torch.equal, first, second))
    assert not torch.equal(first[0] == 0, first[1] == 0)


@pytest.mark.parametrize(
    ("norm", "layer"),
    [("train", nn.BatchNorm1d(16)), ("frozen", nn.BatchNorm1d(16, track_running_stats=False))],
)
def test_batch_norm_over_a_micro_batch_is_refused(norm, layer):
    model = TinyTower()
    model.trunk.append(layer)
    message = "micro_batch: batch norm would compute its statistics over a micro-batch. Remove micro_batch"
    with pytest.raises(InitializerError, match=message):
        train(model, micro_batch=8, norm=norm)


def test_frozen_batch_norm_is_supported():
    model = TinyTower()
    model.trunk.append(nn.BatchNorm1d(16))
    assert train(model, micro_batch=8, norm="frozen").metrics["norm_layers_frozen"] == 1
