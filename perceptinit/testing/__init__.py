"""Contract tests for plug-ins: one class for each kind of component, a tiny model and tiny data.

    from perceptinit.testing import InitializerContract
    from my_lab import MyInit

    class TestMyInit(InitializerContract):
        component = MyInit

        def options(self, tmp_path):
            return {"strength": 0.5}

Run it with pytest. A failure names the necessary change. Built-in components pass the same tests.
"""

from perceptinit.testing.contract import (
    OPTIONAL,
    Contract,
    tiny_classifier,
    tiny_judgments,
    tiny_model,
    tiny_pairs,
)
from perceptinit.testing.data import JudgmentsContract, PairsContract
from perceptinit.testing.models import BackboneContract, InitializerContract
from perceptinit.testing.stages import EvaluatorContract, PretrainerContract, TrackerContract

CONTRACTS = {
    "initializer": InitializerContract,
    "backbone": BackboneContract,
    "pretrainer": PretrainerContract,
    "judgments": JudgmentsContract,
    "pairs": PairsContract,
    "evaluator": EvaluatorContract,
    "tracker": TrackerContract,
}

__all__ = [
    "CONTRACTS",
    "OPTIONAL",
    "BackboneContract",
    "Contract",
    "EvaluatorContract",
    "InitializerContract",
    "JudgmentsContract",
    "PairsContract",
    "PretrainerContract",
    "TrackerContract",
    "tiny_classifier",
    "tiny_judgments",
    "tiny_model",
    "tiny_pairs",
]
