"""Contract tests for plug-in authors: one class per kind, a tiny model and tiny data. Needs pytest.

    from perceptinit.testing import InitializerContract
    from my_lab import MyInit

    class TestMyInit(InitializerContract):
        component = MyInit

        def options(self, tmp_path):
            return {"strength": 0.5}

A failure says what to change. The built-ins are held to the same classes.
"""

from perceptinit.testing.contract import OPTIONAL as OPTIONAL
from perceptinit.testing.contract import Contract as Contract
from perceptinit.testing.contract import tiny_classifier as tiny_classifier
from perceptinit.testing.contract import tiny_judgments as tiny_judgments
from perceptinit.testing.contract import tiny_model as tiny_model
from perceptinit.testing.contract import tiny_pairs as tiny_pairs
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
