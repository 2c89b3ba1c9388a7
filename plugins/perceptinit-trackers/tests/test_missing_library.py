"""A tracker without its library is an error before the run, with the command that installs the library."""

import sys

import pytest

from perceptinit.companion import load_recipe
from perceptinit.plugin import PerceptInitError

RECIPE = """
schema = 1
name = "tracked"
seeds = [0]
[backbone]
use = "timm"
model = "vit_tiny_patch16_224"
[[arm]]
name = "random"
init = []
[[eval]]
use = "keep-weights"
[[track]]
use = "log/NAME"
"""


class Missing:
    """A finder that does not find a package."""

    def __init__(self, package):
        self.package = package

    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] == self.package:
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)


@pytest.mark.parametrize("name", ["codecarbon", "mlflow", "tensorboard", "wandb"])
def test_a_missing_library_is_an_error_with_the_pip_command_of_its_extra(name, tmp_path, monkeypatch):
    for module in list(sys.modules):
        if f".{name}." in f".{module}.":  # also torch.utils.tensorboard and the module of the tracker
            monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(sys, "meta_path", [Missing(name), *sys.meta_path])
    (tmp_path / "tracked.toml").write_text(RECIPE.replace("NAME", name))
    with pytest.raises(PerceptInitError) as error:
        load_recipe(tmp_path / "tracked.toml")
    assert str(error.value).endswith(
        f"track.use: tracker 'log/{name}' needs the package '{name}'. "
        f"Install it: pip install 'perceptinit-trackers[{name}]'"
    )
