"""Each initializer without human judgments, and its control, passes its contract and a smoke run."""

from __future__ import annotations

from typing import ClassVar

import pytest
from helpers.vision_towers import tower
from safetensors.torch import save_file

from perceptinit.backbones.timm_backbone import Timm
from perceptinit.initializers.covariance import Covariance
from perceptinit.initializers.imagenet import AnyTimmWeights
from perceptinit.initializers.linear import Linear
from perceptinit.initializers.lsuv import Lsuv
from perceptinit.initializers.pretrain import Distil, Pretrain
from perceptinit.initializers.procedural import Procedural
from perceptinit.initializers.random import TimmScheme
from perceptinit.initializers.weight_selection import WeightSelection
from perceptinit.pairs.fractals import Fractals
from perceptinit.pretrainers.supervised import Supervised
from perceptinit.recipe.reading import read_recipe
from perceptinit.running.runner import run_recipe
from perceptinit.seeding import named_torch_seed
from perceptinit.testing import InitializerContract, PairsContract, tiny_model, tiny_pairs

SHORT = {"epochs": 1, "batch_size": 32, "warmup_steps": 0}
SYMBOLS = {"steps": 3, "warmup_steps": 1, "batch_size": 8, "kinds": 4}
SUPERVISED = 'use = "pretrain", pretrain = { use = "supervised", pairs = '


class Start(InitializerContract):
    """An initializer with its recipe stage `table`. A class without `Test` in its name runs no contract tests."""

    keys: ClassVar = {}
    table = ""
    backbone = "vit_tiny_patch16_224"

    def options(self, tmp_path):
        return self.keys

    def tower(self):
        with named_torch_seed(0, "start"):
            return Timm(Timm.Config(model=self.backbone).smoke()).build().image


class TestPretrain(Start):
    component = Pretrain

    table = SUPERVISED + '{ use = "synthetic" } }'

    def parts(self):
        return {"pretrain": Supervised(Supervised.Config(**SHORT), tiny_pairs())}


class TestFractals(PairsContract):
    component = Fractals

    def options(self, tmp_path):
        return {"num_classes": 8}


class OnFractals(Start):
    component = Pretrain
    perturbation = 0.1
    table = SUPERVISED + '{ use = "fractals" } }'

    def parts(self):
        fractals = Fractals(Fractals.Config(num_classes=8, perturbation=self.perturbation))
        return {"pretrain": Supervised(Supervised.Config(**SHORT | {"batch_size": 4}), fractals)}


class OnFractalsControl(OnFractals):
    perturbation = 0.01
    table = SUPERVISED + '{ use = "fractals", perturbation = 0.01 } }'


class TestProcedural(Start):
    component = Procedural
    keys = SYMBOLS
    table = 'use = "procedural"'


class ProceduralControl(TestProcedural):
    keys = SYMBOLS | {"shuffled": True}
    table = 'use = "procedural", shuffled = true'


class TestDistil(Start):
    component = Distil
    table = 'use = "distil", teacher = "timm", model = "resnet18.a1_in1k", pairs = { use = "synthetic" }'

    def options(self, tmp_path):
        weights = {f"image.{name}": tensor for name, tensor in tiny_model(7).image.state_dict().items()}
        save_file(weights, tmp_path / "teacher.safetensors")
        return SHORT | {"teacher": "run", "file": str(tmp_path / "teacher.safetensors")}


class DistilControl(Start):
    component = Distil
    keys = SHORT | {"teacher_seed": 5}
    table = 'use = "distil", teacher = "random", pairs = { use = "synthetic" }'


class TestCovariance(Start):
    component = Covariance
    backbone = "convnext_tiny"
    table = 'use = "covariance"'


class CovarianceControl(TestCovariance):
    backbone = "convmixer_768_32"
    keys: ClassVar = {"shuffle": True}
    table = 'use = "covariance", shuffle = true'


class TestTimmScheme(Start):
    component = TimmScheme
    table = 'use = "timm-scheme", scheme = "moco"'


class TestTimmWeights(Start):
    component = AnyTimmWeights
    table = 'use = "timm-weights", tag = "augreg_in21k"'

    def options(self, tmp_path):
        save_file(tiny_model(7).image.trunk.state_dict(), tmp_path / "trunk.safetensors")
        return {"file": str(tmp_path / "trunk.safetensors")}


class TestLsuv(Start):
    component = Lsuv
    keys: ClassVar = {"num_images": 8}
    table = 'use = "lsuv", judgments = { use = "synthetic" }'


class TestLinear(Start):
    component = Linear
    keys: ClassVar = {"pull": 0.1}
    table = 'use = "linear", judgments = { use = "synthetic" }'


class TestWeightSelection(InitializerContract):
    component = WeightSelection

    def options(self, tmp_path):
        teacher = tower(width=64, depth=3, heads=4).trunk
        save_file(teacher.state_dict(), tmp_path / "teacher.safetensors")
        args = {"embed_dim": 64, "num_heads": 4, "depth": 3}
        return {
            "teacher": "vit_tiny_patch16_224",
            "teacher_args": args,
            "file": str(tmp_path / "teacher.safetensors"),
        }

    def tower(self):
        return tower()


STARTS = [cls for cls in list(globals().values()) if isinstance(cls, type) and issubclass(cls, Start)]
STARTS.remove(Start)
each_start = pytest.mark.parametrize("start", [cls() for cls in STARTS], ids=[c.__name__ for c in STARTS])


RECIPE = """
schema = 1
name = "start"
[backbone]
use = "timm"
model = "{backbone}"
[pretrain]
use = "supervised"
pairs = {{ use = "synthetic" }}
[[arm]]
name = "start"
init = [{{ {table} }}]
"""


@each_start
def test_a_smoke_run_with_the_initializer_finishes_and_changes_weights(start, tmp_path):
    recipe = read_recipe(RECIPE.format(backbone=start.backbone, table=start.table)).smoke()
    (record,) = run_recipe(recipe, out=tmp_path, device="cpu")
    assert record["status"] == "finished"
    (stage,) = record["init"]
    assert stage["changed"]
