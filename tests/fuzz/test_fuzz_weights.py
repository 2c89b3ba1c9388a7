"""Files of weights and states: the written values or one sentence."""

import io
import json
import struct

import torch
from harness import damaged, fuzz, outcome
from hypothesis import given, strategies as st
from safetensors.torch import save

from perceptinit.files.checkpoints import load_state, load_weights, save_state

ODD_TREES = ("", "null", "[]", "{}", "3", '{"items": 3}', '{"tensor": "t9"}', '{"list": {}}', '{"items": [[1]]}',
             "[" * 5000, '{"items": [["a", {"tensor": "t0"}]]}', '{"items": [[{}, 1]]}')  # fmt: skip
ODD_TENSORS = (
    {}, [], 3, None, {"dtype": "F32"}, {"dtype": "X9", "shape": [2], "data_offsets": [0, 8]},
    {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}, {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]},
    {"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 8]},
    {"dtype": "F32", "shape": [2], "data_offsets": [0, 2**63]},
)  # fmt: skip


states = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=5)
    | st.integers(0, 5).map(lambda n: torch.arange(n, dtype=torch.float32)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.integers(0, 9), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@st.composite
def weights_files(draw):
    """Draw the bytes of a safetensors file, possibly invalid."""
    form = draw(st.sampled_from(("whole", "header", "tree", "pickle")))
    tensors = {f"t{i}": torch.rand(draw(st.integers(0, 4))) for i in range(draw(st.integers(0, 3)))}
    if form == "pickle":
        file = io.BytesIO()
        torch.save(tensors, file)
        return draw(damaged(file.getvalue()))
    tree = draw(st.sampled_from(ODD_TREES))
    data = save(tensors, metadata={"tree": tree} if form == "tree" else None)
    if form == "header":
        size = struct.unpack("<Q", data[:8])[0]
        header = json.loads(data[8 : 8 + size])
        header[draw(st.sampled_from(("t0", "t9", "__metadata__", "")))] = draw(st.sampled_from(ODD_TENSORS))
        text = json.dumps(header).encode()
        stated = draw(st.sampled_from((len(text), 0, 2**63, 10**8, len(text) - 1)))
        data = struct.pack("<Q", stated) + text + data[8 + size :]
    return draw(damaged(data))


@fuzz(30)
@given(weights_files(), st.sampled_from((load_weights, load_state)))
def test_a_weights_file_is_read_or_refused_in_one_sentence(place, data, door):
    path = place / "weights.safetensors"
    path.write_bytes(data)
    outcome("weights", lambda: door(path), [path.name], place)


@fuzz(30)
@given(st.dictionaries(st.text(max_size=3), states, max_size=4), st.data())
def test_a_damaged_state_is_refused_or_equals_the_saved_state(place, state, data):
    path = place / "state.safetensors"
    save_state(path, state)
    whole = path.read_bytes()
    hurt = data.draw(damaged(whole))
    path.write_bytes(hurt)
    found = outcome("state", lambda: load_state(path), [path.name], place)
    if hurt == whole:
        assert found is not None
        assert equal(found, state)


def equal(one, other):
    """Return whether two states are equal; tensors must agree in type, shape and values."""
    if isinstance(other, torch.Tensor):
        return isinstance(one, torch.Tensor) and torch.equal(one, other)
    if isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(one[k], other[k]) for k in other)
    if isinstance(other, list):
        return len(one) == len(other) and all(map(equal, one, other))
    return one == other
