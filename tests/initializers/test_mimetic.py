"""Equations of initializers without training, on small vision transformers."""

import numpy as np
import pytest
import timm
import torch
from helpers.vision_towers import initialize, tower
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from perceptinit.errors import CheckpointError, InitializerError
from perceptinit.files.checkpoints import weights_sha256
from perceptinit.initializers.attention import find_attention, find_positions, sinusoidal
from perceptinit.initializers.checkpoint import Interpolate
from perceptinit.initializers.mimetic import (
    Impulse,
    Mimetic,
    MimeticMLP,
    factors,
    shift_matrix,
    solve_neighbour,
)
from perceptinit.initializers.random import NormMatched, StatisticsMatched


def products(layer):
    """Wq Wk' of each head, and Wv Wproj, (D, D) each."""
    heads = range(layer.num_heads)
    qk = [layer.head(layer.query, h).T @ layer.head(layer.key, h) for h in heads]
    return qk, layer.value.T @ layer.out.T


def test_mimetic_products_are_scaled_identities_without_noise():
    model = tower(heads=1)  # one head as wide as a token has full rank
    initialize(Mimetic, model, qk_noise=0.0, vo_noise=0.0)
    for layer in find_attention(model, "mimetic"):
        (qk,), vo = products(layer)
        assert torch.allclose(qk, 0.7 * torch.eye(32), atol=1e-5)
        assert torch.allclose(vo, -0.4 * torch.eye(32), atol=1e-5)


def test_mimetic_noise_has_the_published_variance_around_the_identity():
    model = tower(width=128, heads=1)
    initialize(Mimetic, model)
    (qk,), vo = products(find_attention(model, "mimetic")[0])
    for product, scale, centre in ((qk, 0.7, 0.7), (vo, 0.4, -0.4)):
        z = (product - centre * torch.eye(128)) / scale
        assert z.mean().abs() < 4 / 128 / 128**0.5  # 4 standard errors of a mean over 128 x 128
        assert z.var() * 128 == pytest.approx(1, abs=0.06)


def test_mimetic_heads_are_best_low_rank_approximations_with_independent_noise():
    model = tower(heads=4)
    initialize(Mimetic, model, qk_noise=0.0)
    qk, _ = products(find_attention(model, "mimetic")[0])
    for product in qk:  # 8 of the 32 directions of an identity
        assert torch.linalg.svdvals(product)[:9].tolist() == pytest.approx(8 * [0.7] + [0], abs=1e-5)
    initialize(Mimetic, model)
    first, second = products(find_attention(model, "mimetic")[0])[0][:2]
    assert not torch.allclose(first, second, atol=0.1)


def test_both_factors_contain_the_roots_of_the_singular_values():
    matrix = torch.diag(torch.tensor([9.0, 4.0, 1.0]))
    left, right = factors(matrix, 2)
    assert torch.allclose(left @ right, torch.diag(torch.tensor([9.0, 4.0, 0.0])), atol=1e-5)
    assert left.norm(dim=0).tolist() == pytest.approx([3, 2])
    assert right.norm(dim=1).tolist() == pytest.approx([3, 2])


def test_mimetic_supports_the_attention_module_of_torch():
    model = nn.Sequential(nn.MultiheadAttention(16, 1, batch_first=True))
    initialize(Mimetic, model, qk_noise=0.0, vo_noise=0.0, positions="keep")
    (qk,), vo = products(find_attention(model, "mimetic")[0])
    assert torch.allclose(qk, 0.7 * torch.eye(16), atol=1e-5)
    assert torch.allclose(vo, -0.4 * torch.eye(16), atol=1e-5)


def test_mimetic_attention_of_a_single_token_is_the_negative_identity():
    model = tower()
    initialize(Mimetic, model, qk_noise=0.0, vo_noise=0.0)
    attention = model.trunk.blocks[0].attn
    token = torch.randn(1, 1, 32)  # a single token attends only to itself
    assert torch.allclose(attention(token), -0.4 * token, atol=1e-5)


def test_mimetic_positions_are_sinusoidal_except_for_the_class_token():
    model = tower()
    before = model.trunk.pos_embed[0, 0].clone()
    report = initialize(Mimetic, model)
    table = model.trunk.pos_embed[0]
    assert torch.equal(table[0], before)
    # second patch of the first row: column 1, row 0; the fastest wave has frequency 1
    assert table[2, [0, 8, 16, 24]].tolist() == pytest.approx([np.sin(1), np.cos(1), 0, 1])
    assert all(("attn" in name and "weight" in name) or "pos" in name for name in report.changed)


def test_mimetic_can_keep_positions_and_is_reproducible_under_a_seed():
    hashes = []
    for seed in (0, 0, 1):
        model = tower()
        report = initialize(Mimetic, model, seed, positions="keep")
        assert "trunk.pos_embed" not in report.changed
        hashes.append(report.sha256_after)
    assert hashes[0] == hashes[1] != hashes[2]


def test_mimetic_requires_attention():
    message = "initializer 'mimetic': Linear has no supported attention layer"
    with pytest.raises(InitializerError, match=message):
        initialize(Mimetic, nn.Linear(2, 2))


def test_sinusoidal_positions_are_distinct():
    waves = sinusoidal(5, 16)
    distances = torch.cdist(waves, waves) + 9 * torch.eye(25)
    assert waves.shape == (25, 16)
    assert distances.min() > 0.1


def test_a_model_without_position_embeddings_is_reported():
    with pytest.raises(InitializerError, match="ResNet has 0 position embeddings"):
        find_positions(timm.create_model("resnet10t", num_classes=0), "impulse")


# --- impulse


def test_the_shift_matrix_points_to_the_neighbor():
    # 0 1
    # 2 3: one step right, 0 -> 1 and 2 -> 3; 1 and 3 have no neighbor there
    assert shift_matrix(2, (0, 1)).nonzero().tolist() == [[0, 1], [2, 3]]
    assert shift_matrix(2, (1, 1)).nonzero().tolist() == [[0, 3]]


def test_impulse_heads_attend_to_one_neighbor_by_position():
    model = tower(width=64)
    initialize(Impulse, model, share=0.6)
    positions = find_positions(model, "impulse")
    points = F.layer_norm(positions, positions.shape[1:])
    offsets = [(r, c) for r in (-1, 0, 1) for c in (-1, 0, 1)]
    seen = set()
    for layer in find_attention(model, "impulse"):
        for h in range(layer.num_heads):
            q, k = points @ layer.head(layer.query, h).T, points @ layer.head(layer.key, h).T
            attention = (q @ k.T / layer.head_dim**0.5).softmax(-1)
            shares = [
                (attention.double() * shift_matrix(4, o)).sum(1)[shift_matrix(4, o).sum(1) > 0].mean()
                for o in offsets
            ]
            assert max(shares) == pytest.approx(0.6, abs=1e-3)
            seen.add(int(np.argmax(shares)))
    assert len(seen) > 1


def test_impulse_scales_positions_to_a_standard_deviation_of_0_36():
    model = tower()
    initialize(Impulse, model)
    assert find_positions(model, "impulse").std() == pytest.approx(0.36, rel=1e-4)


def test_impulse_refuses_identical_positions():
    model = tower()
    positions = find_positions(model, "impulse")
    positions.copy_(torch.randn(1, 32).expand(16, 32))
    with pytest.raises(InitializerError, match=r"attention on the neighbor stays below share = 0\.5"):
        solve_neighbour(positions, head_dim=16, share=0.5, offset=(0, 1))


# --- interpolate


def test_interpolate_moves_weights_a_share_of_the_way_to_a_file(tmp_path):
    own, other = tower(seed=0), tower(seed=1)
    save_file(other.state_dict(), tmp_path / "other.safetensors")
    expected = 0.75 * own.projection.weight + 0.25 * other.projection.weight
    initialize(Interpolate, own, share=0.25, file=tmp_path / "other.safetensors")
    assert torch.allclose(own.projection.weight, expected)
    assert torch.equal(own.mean, other.mean)


def test_interpolate_without_a_file_moves_weights_toward_random_weights_of_the_seed():
    hashes = []
    for seed in (0, 0, 1):
        model = tower()
        hashes.append(initialize(Interpolate, model, seed, share=1.0).sha256_after)
    assert hashes[0] == hashes[1] != hashes[2]
    assert hashes[0] != weights_sha256(tower())


def test_interpolate_refuses_a_file_of_a_different_architecture_and_changes_nothing(tmp_path):
    save_file(tower(depth=1).state_dict(), tmp_path / "other.safetensors")
    model = tower()
    before = weights_sha256(model)
    with pytest.raises(CheckpointError, match=r"12 missing \(trunk\.blocks\.1"):
        initialize(Interpolate, model, file=tmp_path / "other.safetensors")
    assert weights_sha256(model) == before


# --- statistics-matched


def changed_pairs(keep):
    model = tower()
    with torch.no_grad():
        model.trunk.blocks[0].attn.qkv.weight[:32] *= 5  # queries with a different scale
    before = {k: v.clone() for k, v in model.named_parameters()}
    initialize(StatisticsMatched, model, keep=keep)
    return [(before[k], v.detach()) for k, v in model.named_parameters()]


def test_statistics_matched_permutes_the_values_of_each_tensor():
    for old, new in changed_pairs("values"):
        assert torch.equal(old.flatten().sort().values, new.flatten().sort().values)
        assert old.unique().numel() < 9 or not torch.equal(old, new)


def test_statistics_matched_keeps_mean_and_standard_deviation():
    for old, new in changed_pairs("moments"):
        assert new.mean().item() == pytest.approx(old.mean().item(), abs=1e-5)
        assert new.std().item() == pytest.approx(old.std().item(), rel=1e-3, abs=1e-6)


def test_statistics_matched_keeps_singular_values_but_not_directions():
    for old, new in changed_pairs("spectrum"):
        if old.ndim == 2 and old.shape != (96, 32):
            spectra = [torch.linalg.svdvals(weight) for weight in (old, new)]
            assert torch.allclose(*spectra, atol=1e-4)
            assert F.cosine_similarity(old.flatten(), new.flatten(), dim=0).abs() < 0.2


@pytest.mark.parametrize("keep", ["spectrum", "values", "moments"])
def test_statistics_of_queries_keys_and_values_are_matched_separately(keep):
    pairs = [pair for pair in changed_pairs(keep) if pair[0].shape == (96, 32)]
    for old, new in pairs:
        norms = [[part.norm().item() for part in w.chunk(3)] for w in (old, new)]
        assert norms[1] == pytest.approx(norms[0], rel=1e-3)


# --- norm-matched


def test_norm_matched_keeps_directions_with_the_norms_of_random_weights():
    model = tower()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3).add_(0.01 * torch.randn_like(parameter))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    initialize(NormMatched, model)
    fresh = dict(tower(seed=1).named_parameters())
    for name, new in model.named_parameters():
        if new.ndim < 2:
            assert torch.equal(new, before[name])
        else:
            assert F.cosine_similarity(new.flatten(), before[name].flatten(), dim=0) > 0.9999
            assert new.norm().item() == pytest.approx(fresh[name].norm().item(), rel=0.5)


# --- mimetic-mlp (Trockman and Kolter 2026)


def test_mimetic_mlp_shifts_the_mean_of_the_first_layer_of_each_mlp_only():
    model = tower()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    report = initialize(MimeticMLP, model, mean=0.5)
    assert report.changed == tuple(f"trunk.blocks.{i}.mlp.fc1.weight" for i in range(2))
    for name in report.changed:
        shift = model.get_parameter(name) - before[name]
        assert torch.allclose(shift, 0.5 * before[name].std().expand_as(shift), atol=1e-6)


def test_mimetic_mlp_after_layer_norm_does_not_change_the_output():
    model, images = tower(), torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    before = model(images)
    initialize(MimeticMLP, model)
    assert torch.allclose(model(images), before, atol=1e-4)


def test_mimetic_mlp_requires_an_mlp():
    with pytest.raises(InitializerError, match="Linear has no MLP"):
        initialize(MimeticMLP, nn.Linear(4, 4))
