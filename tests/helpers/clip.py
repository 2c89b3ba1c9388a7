"""A small two-tower model, colored image-text pairs and a training of seconds."""

from dataclasses import replace

import numpy as np

from perceptinit.backbones.timm_backbone import Timm
from perceptinit.pretrainers.clip import Clip
from perceptinit.seeding import named_torch_seed
from perceptinit.types import Pair, RunContext


class Colours:
    """48 uniform images of 16 pixels with the name of a color as caption; some may be broken."""

    num_pairs = 48
    block_sizes = (48,)

    def __init__(self, broken=(), data=b"no image"):
        self.broken, self.data = broken, data

    def pair(self, index):
        if index in self.broken:
            return Pair(f"colour/{index}", self.data, "red")
        image = np.full((16, 16, 3), 5 * index, dtype=np.uint8)
        return Pair(f"colour/{index}", image, ["red", "dark green", "light blue"][index % 3])


CONFIG = Clip.Config(epochs=3, batch_size=16, lr=1e-3, warmup_steps=2, flip=True)


def model(seed=0, **model_args):
    config = Timm.Config().smoke()
    config = replace(config, image_size=16, model_args={**config.model_args, **model_args})
    with named_torch_seed(seed, "backbone"):
        return Timm(config).build()


def context(seed=0, **options):
    return RunContext(seed=seed, stage="pretrain", **options)


def train(tower, config=CONFIG, seed=0, pairs=None, stop=None, state=None):
    """Train, and return the pretrainer and the results of its steps."""
    clip = Clip(config, pairs or Colours())
    if state is not None:
        clip.load_state_dict(state)
    results = []
    for result in clip.steps(tower, context(seed)):
        results.append(result)
        if result.step == stop:
            break
    return clip, results
