"""Remote test sets, judgments and folders are fetched once and equal local ones."""

import numpy as np
import pytest
from helpers.made_sets import caption_set, labelled_set, png
from helpers.object_store import Fault

from perceptinit.components.building import read_spec
from perceptinit.components.plugin_manager import build_plugin_manager
from perceptinit.errors import DataError, RemoteError
from perceptinit.files.remote import addresses, copies, network, store
from perceptinit.files.remote.addresses import RemoteFile
from perceptinit.judgments.sources import as_table
from perceptinit.pairs.csv_pairs import CsvPairs
from perceptinit.pairs.indexing import RemoteScan, index_remote, open_shards
from perceptinit.pairs.paths import expand
from perceptinit.test_sets.choice import SetChoice
from perceptinit.test_sets.labelled_images import LabelledImages
from perceptinit.test_sets.remote import fetch_remote
from perceptinit.test_sets.sets import SyntheticSettings

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def memory(monkeypatch):
    """The in-memory file system of fsspec, used as a bucket: it lists and stores files."""
    import fsspec

    monkeypatch.setitem(addresses.PACKAGES, "memory", "fsspec")
    made = fsspec.filesystem("memory")
    yield made
    made.store.clear()


def choice(dataset, root="", kind="classification", missing="error"):
    return SetChoice(
        datasets=(dataset,), suite="", root=root, missing=missing, kinds=(kind,), synthetic=SyntheticSettings()
    )  # fmt: skip


def test_a_remote_labeled_set_equals_the_local_set_and_is_fetched_once(bucket, tmp_path):
    labelled_set(tmp_path / "pets", [0, 1, 1, 0], 2, splits=("test", "train"))
    bucket.put_folder("/sets/pets", tmp_path / "pets")
    theirs, ours = choice(f"{bucket.url}/sets/pets"), choice("pets", str(tmp_path))
    assert theirs.name(f"{bucket.url}/sets/pets") == "pets"
    for split in ("test", "train"):
        there, here = theirs.read(f"{bucket.url}/sets/pets", split), ours.read("pets", split)
        assert np.array_equal(there.labels, here.labels)
        assert list(there.images) == list(here.images)
        assert (list(there.keys), there.classnames) == (list(here.keys), here.classnames)
    bucket.sent.clear()
    fetch_remote.cache_clear()
    assert choice("pets", f"{bucket.url}/sets").read("pets").name == "pets"
    assert not any(bucket.sent.values())


def test_a_remote_captioned_set_equals_the_local_set(bucket, tmp_path):
    caption_set(tmp_path / "flickr", [["a cat", "a pet"], ["a dog"]])
    bucket.put_folder("/flickr", tmp_path / "flickr")
    there = choice(f"{bucket.url}/flickr", kind="retrieval").read(f"{bucket.url}/flickr")
    here = choice("flickr", str(tmp_path), kind="retrieval").read("flickr")
    assert there.captions == here.captions
    assert list(there.images) == list(here.images)


def test_a_missing_remote_set_is_reported_or_skipped(bucket):
    there = choice("pets", bucket.url)
    assert list(there.problems()) == [
        f"{bucket.url}/pets: no test set in clip-benchmark's layout (no test/nshards.txt). Class folders can be read "
        "from local disks, buckets and hubs, but not from web servers. Convert them: perceptinit data pack SOURCE OUT --test-set --template "
        '"a photo of a {c}."'
    ]
    assert choice("pets", bucket.url, missing="skip").present() == ([], ["pets"])


def test_remote_judgments_equal_local_judgments(bucket, tmp_path):
    rows = [
        "anchor,first,second,first_votes,second_votes",
        "0.png,1.png,2.png,3,1",
        "1.png,2.png,0.png,0,4",
    ]
    (tmp_path / "judgments.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "photos").mkdir()
    for number in range(3):
        (tmp_path / f"photos/{number}.png").write_bytes(png(number))
    bucket.put("/judgments.csv", (tmp_path / "judgments.csv").read_bytes())
    options = {"use": "table", "split_by": "row", "val_share": 0.0, "test_share": 0.0}
    there = {**options, "path": f"{bucket.url}/judgments.csv", "images": str(tmp_path / "photos")}
    here = {**options, "path": str(tmp_path / "judgments.csv"), "images": str(tmp_path / "photos")}
    theirs, ours = built(there), built(here)
    assert theirs.load("train").stimuli.ids == ours.load("train").stimuli.ids
    assert np.array_equal(theirs.load("train").p_second, ours.load("train").p_second)
    assert theirs.name == "judgments"
    spec, _ = read_spec(build_plugin_manager().registry, "judgments", there, "x")
    assert spec.table()["path"] == f"{bucket.url}/judgments.csv"


def built(table):
    spec, problems = read_spec(build_plugin_manager().registry, "judgments", table, "judgments")
    assert not problems
    return spec.build()


def test_a_folder_in_a_bucket_is_copied_again_after_a_change(memory):
    memory.pipe_file("/bucket/photos/a/1.png", b"one")
    memory.pipe_file("/bucket/photos/2.png", b"two")
    folder = copies.local_folder("memory://bucket/photos")
    assert (folder / "a/1.png").read_bytes() == b"one"
    assert (folder / "2.png").read_bytes() == b"two"
    memory.pipe_file("/bucket/photos/2.png", b"three")
    assert (copies.local_folder("memory://bucket/photos") / "2.png").read_bytes() == b"three"


def class_folders(memory):
    for number, name in enumerate(("cat/a.png", "cat/b.png", "dog/c.png")):
        memory.pipe_file(f"/bucket/pets/{name}", png(number))


def test_class_folders_in_a_bucket_are_a_test_set_and_training_pairs(memory):
    class_folders(memory)
    found = choice("memory://bucket/pets").read("memory://bucket/pets")
    assert found.classnames == ("cat", "dog")
    assert found.labels.tolist() == [0, 0, 1]
    assert list(found.keys) == ["pets/cat/a.png", "pets/cat/b.png", "pets/dog/c.png"]
    pairs = LabelledImages(LabelledImages.Config(path="memory://bucket/pets"))
    assert list(pairs.preflight()) == []
    assert [pairs.pair(i).text for i in range(3)] == ["cat", "cat", "dog"]
    assert pairs.pair(2).image.read_bytes() == png(2)


def test_an_incomplete_set_in_a_bucket_is_not_read_as_class_folders(memory, tmp_path):
    class_folders(memory)
    memory.pipe_file("/bucket/pets/classnames.txt", b"cat\ndog\n")
    with pytest.raises(
        DataError, match=r"pets: incomplete test set \(classnames.txt without train/nshards\.txt\)"
    ):
        fetch_remote("memory://bucket/pets", "train")
    assert not (tmp_path / "cache" / "copies").exists()


def test_an_empty_bucket_counts_as_a_missing_set(memory):
    there = choice("pets", "memory://bucket", missing="skip")
    assert there.present() == ([], ["pets"])


def captions(memory, at):
    memory.pipe_file(f"{at}/captions.csv", b"image,caption\n1.png,one\na/2.png,two\n")
    memory.pipe_file("/bucket/set/1.png", png(1))
    memory.pipe_file("/bucket/set/a/2.png", png(2))


@pytest.mark.parametrize("root", ["", "memory://bucket/set", "here"])
def test_images_of_a_remote_csv_table_are_next_to_it_elsewhere_or_local(memory, tmp_path, root):
    captions(memory, "/bucket/set" if not root else "/bucket/tables")
    if root == "here":
        root = str(copies.local_folder("memory://bucket/set"))
    file = f"memory://bucket/{'tables' if root else 'set'}/captions.csv"
    pairs = CsvPairs(CsvPairs.Config(file=file, root=root))
    assert list(pairs.preflight()) == []
    assert [(p.key, p.image.read_bytes(), p.text) for p in map(pairs.pair, range(2))] == [
        ("captions.csv row 2 (1.png)", png(1), "one"),
        ("captions.csv row 3 (a/2.png)", png(2), "two"),
    ]


def test_images_next_to_a_csv_table_on_a_web_server_are_refused_before_the_fetch(bucket):
    bucket.put("/set/captions.csv", b"image,caption\n1.png,one\n")
    pairs = CsvPairs(CsvPairs.Config(file=f"{bucket.url}/set/captions.csv"))
    assert list(pairs.preflight()) == [
        f"{bucket.url}/set: a web server does not list folders. Download the folder, or use a bucket or a hub"
    ]
    assert not bucket.requests


def test_a_csv_table_on_a_web_server_supports_local_images(bucket, tmp_path):
    bucket.put("/set/captions.csv", b"image,caption\n1.png,one\n")
    (tmp_path / "1.png").write_bytes(png(1))
    config = CsvPairs.Config(file=f"{bucket.url}/set/captions.csv", root=str(tmp_path))
    assert list(CsvPairs(config).preflight()) == []


def judgments_csv(rows):
    return "\n".join(["anchor,first,second,first_votes,second_votes", *rows]).encode()


def test_data_check_prints_the_same_for_remote_and_local_judgments(cli, bucket, tmp_path):
    (tmp_path / "photos").mkdir()
    for number in range(12):
        (tmp_path / f"photos/{number}.png").write_bytes(png(number))
    rows = [f"{i}.png,{(i + 1) % 12}.png,{(i + 2) % 12}.png,{i % 4},2" for i in range(12)]
    (tmp_path / "lab.csv").write_bytes(judgments_csv(rows))
    bucket.put("/lab.csv", judgments_csv(rows))
    here = cli("data", "check", "lab.csv,images=photos")
    there = cli("data", "check", f"{bucket.url}/lab.csv?token=secret,images=photos")
    assert here.returncode == 0, here.stderr
    assert (there.returncode, there.stdout) == (0, here.stdout)
    assert "secret" not in there.stdout + there.stderr


def test_the_columns_of_a_remote_file_choose_its_component(bucket):
    bucket.put("/lab.csv", b"image_1,image_2,image_3,odd\n1.png,2.png,3.png,1.png\n")
    assert as_table(f"{bucket.url}/lab.csv", build_plugin_manager().registry) == {
        "use": "odd-one-out",
        "path": f"{bucket.url}/lab.csv",
    }


@pytest.mark.parametrize("kind", ["labels", "captions"])
def test_data_check_prints_the_same_for_remote_and_local_sets(cli, bucket, tmp_path, kind):
    if kind == "labels":
        labelled_set(tmp_path / "pets", [0, 1, 1, 0], 2)
    else:
        caption_set(tmp_path / "pets", [["a cat", "a pet"], ["a dog"]])
    bucket.put_folder("/pets", tmp_path / "pets")
    here = cli("data", "check", "pets,root=.")
    there = cli("data", "check", f"{bucket.url}/pets")
    assert here.returncode == 0, here.stderr
    assert there.returncode == 0, there.stderr
    assert there.stdout.splitlines()[-1].partition("/pets")[2] == here.stdout.splitlines()[-1][4:]


def test_data_check_reports_a_missing_remote_set(cli, bucket):
    done = cli("data", "check", f"{bucket.url}/pets")
    assert done.returncode == 1
    assert "no test set in clip-benchmark's layout" in " ".join(done.stdout.split())


def test_a_folder_on_a_web_server_is_refused():
    with pytest.raises(DataError, match="a web server does not list folders"):
        copies.local_folder("https://host/photos")


def test_a_remote_path_outside_its_folder_is_refused(memory, tmp_path):
    with pytest.raises(DataError, match=r"the path .* is outside its folder"):
        copies.local_files(RemoteFile("memory://bucket"), {"../x": network.Stat(3, "")})


def test_a_glob_and_an_index_work_in_a_bucket(memory, tmp_path):
    labelled_set(tmp_path, [0, 1, 1, 0], 2)
    for name in ("b.tar", "a.tar"):
        memory.pipe_file(f"/bucket/set/{name}", (tmp_path / "test/0.tar").read_bytes())
    memory.pipe_file("/bucket/set/notes.txt", b"no shard")
    assert [f.url for f in expand("memory://bucket/set/*.tar")] == [
        "memory://bucket/set/a.tar",
        "memory://bucket/set/b.tar",
    ]
    with pytest.raises(DataError, match=r"\*\.zip: none of 3 files matches"):
        expand("memory://bucket/set/*.zip")
    planned = open_shards(["memory://bucket/set"])
    assert isinstance(planned, RemoteScan)
    assert str(index_remote(planned, None, lambda: None)) == "memory://bucket/set/shards.index"
    assert memory.exists("/bucket/set/shards.index")


def test_a_missing_package_for_a_protocol_is_reported(monkeypatch):
    def absent(url, **options):
        raise ImportError("no module")

    monkeypatch.setattr("fsspec.core.url_to_fs", absent)
    with pytest.raises(
        Exception, match=r"s3://b/a\.tar: s3:// requires the package s3fs\. Install it: pip install"
    ):
        store.stat(RemoteFile("s3://b/a.tar"))


def test_a_server_that_always_answers_416_is_asked_a_few_times(bucket):
    bucket.put("/sets/a.csv", b"x" * 100)
    bucket.faults.append(Fault(path="a.csv", status=416))
    with pytest.raises(RemoteError, match="failed after"):
        copies.local_copy(f"{bucket.url}/sets/a.csv")
    assert sum(bucket.requests.values()) < 40
