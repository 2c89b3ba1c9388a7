"""Weight selection (Xu et al. 2024), on small vision transformers."""

import pytest
import torch
from helpers.vision_towers import context, initialize, tower, vit
from safetensors.torch import save_file

from perceptinit.configs import read_config
from perceptinit.errors import CheckpointError
from perceptinit.initializers.weight_selection import WeightSelection, even_indices, select


@pytest.mark.parametrize(
    ("large", "small", "indices"),
    [
        (6, 3, [0, 2, 4]),
        (4, 4, [0, 1, 2, 3]),
        (5, 3, [0, 2, 4]),
        (7, 3, [0, 3, 6]),
        (8, 3, [0, 4, 7]),
    ],
)
def test_selected_elements_are_evenly_spaced(large, small, indices):
    assert even_indices(large, small).tolist() == indices  # 3.5 rounds to even: 4


def test_selection_takes_every_second_row_and_column_of_a_teacher_twice_as_wide():
    teacher = {"weight": torch.arange(16.0).reshape(4, 4), "bias": torch.arange(4.0)}
    student = {"weight": torch.zeros(2, 2), "bias": torch.zeros(2)}
    selected = select(teacher, student, "teacher")
    assert selected["weight"].tolist() == [[0, 2], [8, 10]]
    assert selected["bias"].tolist() == [0, 2]


def test_queries_keys_and_values_are_selected_separately():
    teacher = {"qkv.bias": torch.arange(9.0)}  # q 0 1 2, k 3 4 5, v 6 7 8
    selected = select(teacher, {"qkv.bias": torch.zeros(6)}, "teacher")
    assert selected["qkv.bias"].tolist() == [0, 2, 3, 5, 6, 8]


def save_teacher(path, width=64, depth=3, heads=4, size=32):
    trunk = vit(width, depth, heads, size)
    save_file(trunk.state_dict(), path)
    return trunk


TEACHER = {
    "teacher": "vit_tiny_patch16_224",
    "teacher_args": {"embed_dim": 64, "num_heads": 4, "depth": 3},
}


def test_weight_selection_fills_the_trunk_with_the_first_layers_of_the_teacher(tmp_path):
    teacher = save_teacher(tmp_path / "teacher.safetensors").state_dict()
    model = tower()
    projection = model.projection.weight.clone()
    initialize(WeightSelection, model, file=tmp_path / "teacher.safetensors", **TEACHER)
    own = model.trunk.state_dict()
    for name in ("blocks.1.attn.qkv.weight", "blocks.0.mlp.fc1.weight", "patch_embed.proj.weight"):
        large = teacher[name]
        rows, columns = (torch.arange(0, n, k) for n, k in zip(large.shape[:2], (2, 2), strict=True))
        if name.startswith("patch"):
            columns = torch.arange(3)  # red, green, blue
        assert torch.equal(own[name], large[rows][:, columns]), name
    assert torch.equal(model.projection.weight, projection)


def test_weight_selection_resamples_the_position_embeddings_of_the_teacher_to_the_grid_of_the_tower(tmp_path):
    save_teacher(tmp_path / "teacher.safetensors", size=64)
    messages, file = [], tmp_path / "teacher.safetensors"
    config = WeightSelection.Config(file=file, **TEACHER)
    WeightSelection(config).initialize(tower(), context(messages=messages))
    assert "resampled pos_embed (1, 65, 64) to (1, 17, 64)" in messages[0]


def test_a_teacher_smaller_or_shallower_than_the_tower_is_refused(tmp_path):
    save_teacher(tmp_path / "teacher.safetensors")
    options = {"file": tmp_path / "teacher.safetensors", **TEACHER}
    with pytest.raises(CheckpointError, match=r"must be at least as large in every dimension"):
        initialize(WeightSelection, tower(width=128), **options)
    with pytest.raises(CheckpointError, match=r"has no tensor blocks\.3\..*as deep"):
        initialize(WeightSelection, tower(depth=4), **options)


def test_an_unknown_teacher_and_a_missing_file_are_reported_before_the_start(tmp_path):
    config = WeightSelection.Config(teacher="vit_smal_patch16_224", file=tmp_path / "absent")
    first, second = WeightSelection(config).preflight()
    assert first == "timm has no model 'vit_smal_patch16_224'. Did you mean 'vit_small_patch16_224'?"
    assert "absent: no such file" in second
    assert "set either 'file'" in str(read_config(WeightSelection.Config, {"teacher": "x"}, "init")[1][0])
