"""Shards in an S3 bucket of moto's server: index, glob, equal batches, a changed object, a missing bucket.

    pip install "moto[server]" && python benchmarks/remote_on_s3.py

Uses the S3 protocol through s3fs, unlike the tests, and measures nothing. `--server` is the command that starts moto if
it is installed in another environment.
"""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import bench
from remote_loader import make_loader, write_shard

from perceptinit.errors import PerceptInitError
from perceptinit.pairs.batches import fingerprint
from perceptinit.pairs.indexing import RemoteScan, index_remote, open_shards
from perceptinit.pairs.webdataset_pairs import WebdatasetPairs

BUCKET = "made-here"


def batches_of(shards: str) -> str:
    """Return the fingerprint of two epochs."""
    loader = make_loader(WebdatasetPairs(WebdatasetPairs.Config(shards=shards)), 16, 2, 2)
    last = ""
    for batch in loader.batches(0, 2 * loader.num_batches):
        last = fingerprint(last, batch)
    return last


def check(folder: Path) -> None:
    import s3fs

    bucket = s3fs.S3FileSystem()
    bucket.mkdir(BUCKET, create_parents=True)
    for number in range(8):
        write_shard(folder / f"{number}.tar", 20, 32, number)
        bucket.put(str(folder / f"{number}.tar"), f"{BUCKET}/set/{number}.tar")
    planned = open_shards([f"s3://{BUCKET}/set"])
    assert isinstance(planned, RemoteScan)
    print(f"index: {index_remote(planned, None, lambda: None)}")
    ours, theirs = batches_of(str(folder / "*.tar")), batches_of(f"s3://{BUCKET}/set/*.tar")
    print(f"batches: {'equal' if ours == theirs else 'DIFFERENT'}")
    changed = bucket.cat_file(f"{BUCKET}/set/5.tar").replace(b"image", b"IMAGE")
    bucket.pipe_file(f"{BUCKET}/set/5.tar", changed)
    for pattern in (f"s3://{BUCKET}/set/{{0..7}}.tar", "s3://nobody-has-it/{0..7}.tar"):
        os.environ["PERCEPTINIT_CACHE"] = str(folder / "another cache")
        try:
            print(f"NO ERROR: {batches_of(pattern)}")
        except PerceptInitError as error:
            print(f"refused: {error}")


def main() -> None:
    options = bench.parse(__doc__, server="moto_server", tiny={})
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    credentials = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any"}
    os.environ.update(
        credentials, AWS_DEFAULT_REGION="us-east-1", AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}"
    )
    server = subprocess.Popen([options.server, "-H", "127.0.0.1", "-p", str(port)], stderr=subprocess.DEVNULL)
    try:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["PERCEPTINIT_CACHE"] = str(Path(folder) / "cache")
            while socket.socket().connect_ex(("127.0.0.1", port)) and server.poll() is None:
                time.sleep(0.2)
            check(Path(folder))
    finally:
        server.terminate()


if __name__ == "__main__":
    main()
