"""A teacher's embeddings as the start (`distil`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from perceptinit.initializers.pretrain import Pretrain
from perceptinit.pretrainers.distil import Distil as DistilPretraining
from perceptinit.protocols import Pairs


class Distil(Pretrain):
    """Trains the image tower on a teacher's embeddings before pretraining.

    The same as `pretrain` with the pretrainer `distil`, whose keys it has. Control: `teacher = "random"`. A
    clean published effect at small size was not found; what a teacher is worth depends on what it knows.
    """

    name = "distil"

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(DistilPretraining.Config):
        pass

    def __init__(self, config: Config, pairs: Pairs) -> None:
        super().__init__(Pretrain.Config(), DistilPretraining(config, pairs))
        self.config: Any = config
