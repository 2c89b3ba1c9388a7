"""Where the files of NIGHTS are: in pieces, so that an interruption costs one piece."""

from __future__ import annotations

from perceptinit.files.downloads import Download

URL = "https://data.csail.mit.edu/nights"
NUM_CHUNKS = 100
KINDS = ("ref", "distort")
# the unpacked sizes that the source states, shared out evenly
CHUNK_BYTES = 58_000_000_000 // (len(KINDS) * NUM_CHUNKS)
UNFILTERED = ("0_24", "25_49", "50_74", "75_99")
UNFILTERED_BYTES = 289_000_000_000 // (len(KINDS) * len(UNFILTERED))


def nights_downloads() -> tuple[Download, ...]:
    """Return the files of each part: "data" (the 20,019 triplets), "table", "unfiltered" and "jnd".

    The source has `data.csv` only inside its 58 GB archive: that one member is read out of it.
    """
    table = Download(
        urls=(f"{URL}/nights.zip",),
        path="data.csv",
        member="data.csv",
        parts=("data", "table"),
    )
    chunks = (
        Download(
            urls=(f"{URL}/nights_chunked/{kind}/{number:03d}.zip",),
            path=f"{kind}-{number:03d}.zip",
            unpack=True,
            into=kind,
            unpacked_bytes=CHUNK_BYTES,
        )
        for kind in KINDS
        for number in range(NUM_CHUNKS)
    )
    jnd = Download(urls=(f"{URL}/jnd_votes.csv",), path="jnd_votes.csv", parts=("jnd",))
    return (table, *chunks, jnd, *_unfiltered())


def _unfiltered() -> tuple[Download, ...]:
    # the source states http for the table; https is tried first
    name = "nights_unfiltered/nights_raw.csv"
    urls = (f"{URL}/{name}", f"{URL.replace('https', 'http')}/{name}")
    table = Download(urls=urls, path="unfiltered/nights_raw.csv", parts=("unfiltered",))
    images = (
        Download(
            urls=(f"{URL}/nights_unfiltered/{kind}_{span}.zip",),
            path=f"unfiltered/{kind}_{span}.zip",
            unpack=True,
            into=f"unfiltered/{kind}",
            unpacked_bytes=UNFILTERED_BYTES,
            parts=("unfiltered",),
        )
        for kind in KINDS
        for span in UNFILTERED
    )
    return (table, *images)
