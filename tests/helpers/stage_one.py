"""Towers and initializers that train in seconds."""

import numpy as np
import torch
from torch import nn

from perceptinit.initializers.triplet_hinge import TripletHinge
from perceptinit.types import RunContext, Stimuli, Triplets

SIZE = 4


class TinyTower(nn.Module):
    """Two linear layers on 4 x 4 pixels."""

    def __init__(self, seed=0):
        super().__init__()
        self.image_size, self.embed_dim = SIZE, 8
        self.trunk = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE * SIZE, 16), nn.GELU())
        self.projection = nn.Linear(16, 8)
        self.batch_sizes, self.sums = [], []
        self.reset_parameters(seed)

    def encode_image(self, images):
        if self.training:
            self.batch_sizes.append(len(images))
            self.sums.append(images.sum().item())
        return self.projection(self.trunk(images / 255))

    def reset_parameters(self, seed):
        rng = torch.Generator().manual_seed(seed)
        for parameter in self.parameters():
            divisor = 4 if parameter.ndim > 1 else 16  # biases within 1 / sqrt(inputs), as in random weights
            parameter.data = torch.randn(parameter.shape, generator=rng) / divisor


class Colours:
    """Judgments of uniform colors by observers that see only red."""

    def __init__(self, num_images=24, num_triplets=96, ties=0, broken=None):
        rng = np.random.default_rng(0)
        colours = rng.integers(0, 256, (num_images, 3), dtype=np.uint8)
        images = [np.broadcast_to(c, (SIZE, SIZE, 3)).copy() for c in colours]
        if broken is not None:
            images[broken] = b"no image"
        stimuli = Stimuli(tuple(f"colour-{i}" for i in range(num_images)), images)
        rows = np.array([rng.permutation(num_images)[:3] for _ in range(num_triplets)])
        red = colours[:, 0].astype(int)
        near = np.abs(red[rows[:, 1]] - red[rows[:, 0]]) > np.abs(red[rows[:, 2]] - red[rows[:, 0]])
        p_second = near.astype(float)
        p_second[:ties] = 0.5
        self.triplets = Triplets.build(stimuli, *rows.T, p_second)

    def load(self, split):
        return self.triplets


class Heard:
    """A run context that records its events."""

    def __init__(self, seed=0):
        self.events = []
        self.ctx = RunContext(seed=seed, stage="init.0", num_workers=0, send=self.events.append)

    @property
    def warnings(self):
        return [e.message for e in self.events if e.kind == "warning"]

    def numbers(self, name):
        return [e.metrics[name] for e in self.events if name in e.metrics]


def hinge_initializer(judgments=None, **options):
    options = {"epochs": 4, "batch_size": 32, "lr": 0.01} | options
    return TripletHinge(TripletHinge.Config(**options), judgments or Colours())


class Killed(BaseException):
    pass
