"""Tar shards: valid shards equal the result of tarfile, damaged and inconsistent shards are refused."""

import io
import tarfile

import pytest
from harness import damaged, fuzz, outcome
from hypothesis import given, strategies as st

from perceptinit import build

FORMATS = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
STEMS = ("a", "b", "c/d", "e" * 120, "é", "x.y", "__meta__", "..", "", "\x1b[31m", "f" * 300)
ENDINGS = ("jpg", "txt", "json", "JPG", "png", "")
FIELDS = {"name": (0, 100), "size": (124, 12), "sum": (148, 8), "type": (156, 1), "magic": (257, 8)}
SIZES = (b"-1", b"+5", b"8", b"1_0", b"99999999999", b"\x80" + b"\xff" * 11, b"\xff" * 12, b"\x80", b" ", b"\0",
         b"\xff" * 11 + b"\x01", b"\x80\0\0\0" + b"\xff" * 8, b"0x10", b"7777777777777")  # fmt: skip
PAX = (b"size=x", b"size=-1", b"size=" + b"9" * 30, b"size=", b"size=1_0", b"path=", b"path=\0\0", b"size=1e3",
       b"path", b"=", b"GNU.sparse.major=1", b"linkpath=x", b"size=" + b"9" * 5000)  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield folder


@st.composite
def shards(draw):
    """Draw a tar, with its samples {stem: (image, caption)} if it is valid."""
    kind = draw(st.sampled_from(("plain", "plain", "odd", "pax", "lying")))
    stems = ("a", "b", "c/d") if kind == "plain" else STEMS
    members = [
        (f"{stem}.{ending}", draw(st.binary(max_size=700)))
        for stem in draw(st.lists(st.sampled_from(stems), min_size=1, max_size=4, unique=True))
        for ending in (
            ("jpg", "txt") if kind == "plain" else draw(st.lists(st.sampled_from(ENDINGS), max_size=3))
        )
    ]
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=draw(st.sampled_from(FORMATS))) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            if kind == "odd":
                info.type = draw(
                    st.sampled_from((b"0", b"0", b"1", b"2", b"3", b"5", b"6", b"7", b"S", b"V"))
                )
            try:
                tar.addfile(info, io.BytesIO(data))
            except ValueError:  # the format does not support the name
                info.name = "n" + name[:20]
                tar.addfile(info, io.BytesIO(data))
    data = file.getvalue()
    if kind == "pax":
        data = _pax_member(draw(st.sampled_from(PAX))) + data
    elif kind == "lying":
        data = _lie(data, draw(st.sampled_from(sorted(FIELDS))), draw(st.sampled_from(SIZES)))
    hurt = draw(damaged(data))
    return hurt, members if hurt == data and kind == "plain" else None


def _pax_member(record):
    length = len(record) + 3
    while len(str(length)) + len(record) + 2 != length:
        length = len(str(length)) + len(record) + 2
    body = str(length).encode() + b" " + record + b"\n"
    info = tarfile.TarInfo("pax")
    info.type, info.size = b"x", len(body)
    return info.tobuf(tarfile.USTAR_FORMAT) + body + b"\0" * (-len(body) % 512)


def _lie(data, field, value):
    """Return a tar with one changed header field and a valid checksum."""
    start, size = FIELDS[field]
    header = bytearray(data[:512])
    header[start : start + size] = value[:size].ljust(size, b"\0")
    if field != "sum":
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + data[512:]


def read_shard(path, options):
    """Return the complaints about a shard, or its pairs."""
    pairs = build("pairs", {"use": "webdataset", "shards": str(path), "max_incomplete_share": 1, **options})
    complaints = list(pairs.preflight())
    return complaints or [pairs.pair(i) for i in range(pairs.num_pairs)]


@fuzz(30)
@given(shards(), st.sampled_from(({}, {}, {"text_member": "json", "text_key": "caption"})))
def test_a_shard_is_read_correctly_or_refused_in_one_sentence(place, drawn, options):
    data, members = drawn
    path = place / "shard.tar"
    path.write_bytes(data)
    found = outcome("shard", lambda: read_shard(path, options), [path.name], place)
    if members is None or options or found is None or isinstance(found[0], str):
        return
    images = [content for name, content in members if name.endswith(".jpg")]
    texts = [content.decode() for name, content in members if name.endswith(".txt")]
    assert [(p.image, p.text) for p in found] == list(zip(images, texts, strict=True))
