"""Archives of downloaded data sets: all files of a valid archive, no file of a damaged one."""

import io
import shutil
import tarfile
import zipfile

from harness import damaged, defect, fuzz, listing, outcome
from hypothesis import given, strategies as st

from perceptinit.files.archives import unpack

NAMES = ("a.txt", "b/c.txt", "b/d.png", "e/f/g.csv")
ODD_NAMES = (
    "", ".", "..", "../x", "/x", "a.txt", "a.txt/b", "b", "C:\\x", "b\\c.txt", "n" * 300, "d/" * 2500 + "x", "é", "\udcff",
    "a\0b", "con", "~/x", "./a.txt", "b//c.txt", "\x1b[31m", " ", "a.txt ", "b/",
)  # fmt: skip
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


@st.composite
def archives(draw):
    """Draw an archive, with its files if it is valid."""
    names = st.sampled_from(NAMES if draw(st.booleans()) else NAMES + ODD_NAMES)
    members = [(n, draw(st.binary(max_size=300))) for n in draw(st.lists(names, max_size=4, unique=True))]
    is_odd = draw(st.integers(0, 3)) == 0
    data = draw(_zipped(members, is_odd) if draw(st.booleans()) else _tarred(members, is_odd))
    hurt = draw(damaged(data))
    is_plain = hurt == data and not is_odd and members and {n for n, _ in members} <= set(NAMES)
    return hurt, dict(members) if is_plain else None


@st.composite
def _zipped(draw, members, is_odd):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", draw(st.sampled_from(METHODS))) as archive:
        for name, data in members:
            try:
                archive.writestr(name or zipfile.ZipInfo("x"), data)
            except (UnicodeEncodeError, ValueError):
                archive.writestr("y", data)
    data = bytearray(file.getvalue())
    if not is_odd:
        return bytes(data)
    for signature, places in (
        (b"PK\3\4", (4, 6, 8, 18, 22)),
        (b"PK\1\2", (6, 8, 10, 20, 24, 28, 38)),
    ):
        at = data.find(signature)
        if at >= 0 and draw(st.booleans()):
            field = at + draw(st.sampled_from(places))
            data[field : field + 2] = draw(
                st.sampled_from((b"\1\0", b"\x63\0", b"\xff\xff", b"\0\0", b"\x0e\0"))
            )
    if draw(st.integers(0, 3)) == 0:
        data = bytearray(bytes(data).replace(b".txt", b"\0txt"))
    return bytes(data)


@st.composite
def _tarred(draw, members, is_odd):
    file = io.BytesIO()
    mode = draw(st.sampled_from(("w", "w:gz", "w:bz2", "w:xz")))
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            if is_odd:
                kind = draw(st.sampled_from((b"0", b"1", b"2", b"3", b"5", b"6", b"S", b"x")))
                info.type, info.linkname = kind, "a.txt"
                info.mode = draw(st.sampled_from((0o644, 0, 0o7777)))
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


@fuzz(30)
@given(archives())
def test_an_archive_is_unpacked_completely_or_not_at_all(place, drawn):
    data, members = drawn
    path, into = place / "set.archive", place / "into"
    path.write_bytes(data)
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir()
    outside = [row for row in listing(place) if not row[0].startswith(str(into))]
    found = outcome("archive", lambda: unpack(path, into), [path.name])
    assert [row for row in listing(place) if not row[0].startswith(str(into))] == outside
    if found is None:
        if listing(into):
            defect("archive", f"left over: {[row[0] for row in listing(into)]}")
        return
    there = {p.relative_to(into).as_posix(): p.read_bytes() for p in into.rglob("*") if p.is_file()}
    assert sorted(there) == sorted(found)
    if members is not None:
        assert there == members
