"""Contract tests for plug-ins: one class for each kind of component, a tiny model and tiny data.

    from perceptinit.testing import InitializerContract
    from my_lab import MyInit

    class TestMyInit(InitializerContract):
        component = MyInit

        def options(self, tmp_path):
            return {"strength": 0.5}

Run it with pytest. Each failure message states the required change. Built-in components pass the same tests.
"""

from perceptinit.testing.contract import (
    OPTIONAL as OPTIONAL,
    Contract as Contract,
    tiny_classifier as tiny_classifier,
    tiny_judgments as tiny_judgments,
    tiny_model as tiny_model,
    tiny_pairs as tiny_pairs,
)
from perceptinit.testing.data import (
    JudgmentsContract as JudgmentsContract,
    PairsContract as PairsContract,
)
from perceptinit.testing.models import (
    BackboneContract as BackboneContract,
    InitializerContract as InitializerContract,
)
from perceptinit.testing.stages import (
    EvaluatorContract as EvaluatorContract,
    PretrainerContract as PretrainerContract,
    TrackerContract as TrackerContract,
)

CONTRACTS = {
    "initializer": InitializerContract,
    "backbone": BackboneContract,
    "pretrainer": PretrainerContract,
    "judgments": JudgmentsContract,
    "pairs": PairsContract,
    "evaluator": EvaluatorContract,
    "tracker": TrackerContract,
}
