"""Files of (dis)similarity matrices in .npy, .mat and .csv: valid, unusual and damaged."""

import io

import numpy as np
import pytest
import scipy.io
import scipy.sparse
from harness import damaged, fuzz, outcome
from hypothesis import given, strategies as st
from PIL import Image

from perceptinit import build

NUM_IMAGES = 12
NAMES = [f"{i:02d}.png" for i in range(NUM_IMAGES)]
CELLS = ("", " ", "nan", "-inf", "1e400", "1_0", "x", "0x1", "٣", "1;2", '"', "\0", "9" * 400)
SHAPES = (
    "",
    "300000",
    "300000, 300000",
    "-1, 4",
    "12, 12, 12, 12",
    "9" * 40,
    "12",
    "0, 0",
    "12, 12",
)
TYPES = ("<f8", ">f4", "<i8", "<c16", "|O", "|b1", "<M8[s]", "|S3", "|V8", "<f2", "nonsense")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("matrices")
    for i, name in enumerate(NAMES):
        Image.fromarray(np.full((4, 5, 3), 20 * i, np.uint8)).save(folder / name)
    (folder / "names.txt").write_text("\n".join(NAMES), encoding="utf-8")
    return folder


@st.composite
def matrices(draw):
    """Draw one or more symmetric matrices, or an invalid array."""
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    values = rng.random((draw(st.integers(1, 3)), NUM_IMAGES, NUM_IMAGES))
    values = values + values.transpose(0, 2, 1)
    form = draw(st.sampled_from(("one", "many", "upper", "cube", "odd", "typed")))
    if form == "many":
        return values
    if form == "upper":
        return values[:, *np.triu_indices(NUM_IMAGES, 1)]
    if form == "cube":
        return values[:, : draw(st.integers(0, NUM_IMAGES))]
    if form == "odd":
        cell = draw(st.sampled_from((np.nan, np.inf, -np.inf, 1e308, -1.0, 0.0)))
        values[0, : draw(st.integers(1, NUM_IMAGES))] = cell
        return np.minimum(values[0], values[0].T)
    if form == "typed":
        return values[0].astype(draw(st.sampled_from(("f4", "i8", "u1", "c8", "?", "S3", "f2", "M8[s]"))))
    return values[0]


@st.composite
def npy_files(draw):
    form = draw(st.sampled_from(("npy", "npy", "npz", "header")))
    file = io.BytesIO()
    array = draw(matrices())
    if form == "npz":
        np.savez(file, array)
    elif form == "header":
        shape, kind = draw(st.sampled_from(SHAPES)), draw(st.sampled_from(TYPES))
        order = draw(st.sampled_from(("False", "True", "2", "{}")))
        header = f"{{'descr': '{kind}', 'fortran_order': {order}, 'shape': ({shape},), }}\n".encode()
        version = draw(st.sampled_from((b"\1\0", b"\2\0", b"\3\0", b"\xff\0")))
        size = len(header).to_bytes(2 if version == b"\1\0" else 4, "little")
        file.write(b"\x93NUMPY" + version + size + header + array.tobytes())
    else:
        np.save(file, array)
    return ".npy", draw(damaged(file.getvalue()))


@st.composite
def mat_files(draw):
    array = draw(matrices().filter(lambda a: a.dtype.kind not in "M"))
    other = draw(
        st.sampled_from(
            (
                None,
                "text",
                {"a": 1},
                {"a": array, "names": "text"},
                np.array([(array, "x"), (array, 1)], dtype=[("a", object), ("b", object)]),
                {"a": {"a": array}},
                np.empty((2, 2), dtype=object),
                scipy.sparse.eye(12).tocsc(),
                np.eye(12),
            )
        )
    )
    content = {"rdm": array} if other is None else {"rdm": other}
    if draw(st.integers(0, 3)) == 0:
        content["other"] = array
    file = io.BytesIO()
    form = draw(st.sampled_from(("5", "5", "4")))
    try:
        scipy.io.savemat(file, content, format=form, do_compression=draw(st.booleans()) and form == "5")
    except (TypeError, ValueError, AttributeError):  # not every format supports every content
        scipy.io.savemat(file, {"rdm": np.eye(12)})
    return ".mat", draw(damaged(file.getvalue()))


@st.composite
def csv_files(draw):
    array = draw(matrices().filter(lambda a: a.ndim == 2 and a.dtype.kind == "f"))
    rows = [[f"{cell:.4f}" for cell in row] for row in array]
    for _ in range(draw(st.sampled_from((0, 0, 1, 2))) * bool(rows)):
        row = rows[draw(st.integers(0, len(rows) - 1))]
        row[draw(st.integers(0, len(row) - 1))] = draw(st.sampled_from(CELLS) | st.text(max_size=5))
    if draw(st.booleans()):
        rows = [[name, *row] for name, row in zip(NAMES, rows, strict=False)]
    if draw(st.booleans()):
        rows = [["", *NAMES], *rows]
    separator = draw(st.sampled_from(",;\t"))
    text = draw(st.sampled_from(("\n", "\r\n"))).join(separator.join(row) for row in rows)
    return ".csv", draw(damaged(text.encode("utf-8", "surrogatepass")))


@fuzz(20)
@given(
    st.one_of(npy_files(), mat_files(), csv_files()),
    st.sampled_from(("rdm", None, "rdm.a", "rdm.a.a")),
)
def test_a_matrix_file_is_read_correctly_or_refused_in_one_sentence(place, drawn, key):
    suffix, data = drawn
    path = place / f"matrix{suffix}"
    path.write_bytes(data)
    table = {
        "use": "rdm", "path": str(path), "kind": "dissimilarity", "images": str(place),
        "names": str(place / "names.txt"),
    }  # fmt: skip
    if key:
        table["key"] = key
    found = outcome(
        "matrix", lambda: build("judgments", table).load("train"), [path.stem, "names.txt"], place
    )
    if found is not None:
        assert len(found)
        assert ((found.p_second >= 0) & (found.p_second <= 1)).all()
