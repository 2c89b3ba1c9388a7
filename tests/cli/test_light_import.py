"""Commands that only show information start fast: they import no heavy package."""

import subprocess
import sys

import pytest
from helpers import made_runs
from helpers.command_line import environment
from PIL import Image


# pydantic is not among them: recent typer imports it by itself where it is installed
def imported(stderr):
    return {line.rpartition("|")[2].strip() for line in stderr.splitlines()}


HEAVY = ("torch", "numpy", "open_clip", "timm", "webdataset", "scipy", "pyarrow", "PIL")


COMMANDS = (
    "--help", "list", "list judgments", "list plugins", "run --help", "compare --help", "report --help", "status --help",
    "preregister --help", "data --help", "data index --help", "data pack --help", "data download --help", "data check --help",
)  # fmt: skip
# runs the commands one after another in one process, and prints what the first that imports too much has imported
RUN = """
import sys
from perceptinit.__main__ import main
heavy, *commands = sys.argv[1:]
for command in commands:
    sys.argv = ["perceptinit", *command.split()]
    try:
        main()
    except SystemExit as end:
        assert not end.code, command
    found = sorted({*heavy.split()} & {*sys.modules})
    assert not found, f"{command}: {found}"
assert "typer" in sys.modules
"""


def test_commands_that_show_information_import_no_heavy_package():
    command = [sys.executable, "-c", RUN, " ".join(HEAVY), *COMMANDS]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_data_list_does_not_import_torch(cli_process):
    done = cli_process("data", "list", PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0, done.stderr
    names = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "numpy" in names
    assert sorted(names & {"torch", "torchvision", "open_clip", "timm"}) == []


def test_compare_imports_neither_torch_nor_scipy_stats(cli_process, tmp_path):
    made_runs.write(tmp_path, made_runs.three_by_three())
    done = cli_process("compare", "made", PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0, done.stderr
    names = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "scipy.special" in names
    assert sorted(names & {"torch", "scipy.stats", "pyarrow"}) == []


def test_data_check_of_a_table_imports_neither_torch_nor_pandas(cli_process, tmp_path):
    for name in "abc":
        Image.new("RGB", (8, 8)).save(tmp_path / f"{name}.png")
    (tmp_path / "lab.csv").write_text("anchor,positive,negative\na.png,b.png,c.png\n")
    done = cli_process("data", "check", "lab.csv", PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0, done.stderr
    assert "No errors." in done.stdout
    names = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "pyarrow" in names
    assert sorted(names & {"torch", "torchvision", "pandas"}) == []


def test_import_perceptinit_imports_no_heavy_package(cli_process):
    code = "import sys, perceptinit; print(sorted({'torch', 'numpy', 'typer'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# a hidden package itself is listed, because its import was tried
UNUSED = ("transformers.utils", "torchvision.models.resnet", "wandb.sdk")


def test_validate_of_a_timm_tower_imports_neither_transformers_nor_models_of_torchvision(cli_process):
    done = cli_process("validate", "quickstart", PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0, done.stderr
    assert {"timm", "open_clip"} <= imported(done.stderr)
    assert sorted(imported(done.stderr) & set(UNUSED)) == []


@pytest.mark.slow
def test_a_worker_of_a_timm_tower_imports_neither_transformers_nor_models_of_torchvision(cli_process):
    arguments = ("--smoke", "--jobs", "2", "--seed", "0", "--arm", "random", "--arm", "pi", "--out", "runs")
    done = cli_process("run", "quickstart", *arguments, PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0, done.stderr
    assert {"perceptinit.running.workers", "open_clip"} <= imported(done.stderr)
    assert sorted(imported(done.stderr) & set(UNUSED)) == []


LATER = """
from perceptinit.components.light_imports import import_lightly
import_lightly()
import sys, timm, open_clip, torchvision
assert not {"transformers", "torchvision.models"} & set(sys.modules)
assert torchvision.models.resnet18 and torchvision.datasets.CIFAR10
import transformers
assert transformers.AutoModel
try:
    torchvision.nothing
except AttributeError as error:
    print(error)
"""

HF_TEXT = """
import json
from pathlib import Path
from perceptinit.components.light_imports import import_lightly
import_lightly()
from perceptinit.backbones.clip_tokenizer import clip_tokenizer
from perceptinit.backbones.open_clip_backbone import OpenClip
from transformers import BertConfig
small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
BertConfig(**small).save_pretrained("bert")
vision = {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16}
text = {"hf_model_name": "bert", "hf_pooler_type": "mean_pooler"}
Path("hf.json").write_text(json.dumps({"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}))
tower = OpenClip(OpenClip.Config(model="hf.json")).build()
print(type(tower.text.transformer).__name__)
"""

COCA = """
import torch
from perceptinit.backbones.timm_backbone import Timm
Timm(Timm.Config(model="test_resnet", embed_dim=16, text_width=16, text_heads=2, text_layers=1)).build()
import open_clip
assert open_clip.hf_model.transformers is not None
if not open_clip.coca_model._has_transformers:  # newer releases of transformers lack what open_clip imports
    print(1)
    raise SystemExit
vision = {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16, "attentional_pool": True}
vision |= {"attn_pooler_heads": 2, "output_tokens": True}
text = {"width": 16, "heads": 2, "layers": 1, "embed_cls": True, "output_tokens": True}
decoder = {"width": 16, "heads": 2, "layers": 1, "context_length": 20}
model = open_clip.CoCa(16, multimodal_cfg=decoder, text_cfg=text, vision_cfg=vision).eval()
print(model.generate(torch.zeros(1, 3, 32, 32), generation_type="top_p", seq_len=8, min_seq_len=1).shape[0])
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "printed"),
    [
        pytest.param(
            LATER, "module 'torchvision' has no attribute 'nothing'", id="hidden modules can be imported"
        ),
        pytest.param(HF_TEXT, "HFTextEncoder", id="a text tower of transformers in a command"),
        pytest.param(COCA, "1", id="CoCa generates in a process of a library user"),
    ],
)
def test_a_process_can_use_what_commands_hide(code, printed, tmp_path):
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.stdout.splitlines()[-1:] == [printed], done.stderr
