"""Passwords, signatures and tokens are used but never printed or stored."""

import json

import pytest

from perceptinit.errors import DataError, describe_error, without_credentials
from perceptinit.recipe.reading import read_recipe
from perceptinit.results.record import new_record

RECIPE = """
schema = 1
name = "remote"
summary = "s"
seeds = [0]
baseline = "random"

[backbone]
use = "timm"

[pretrain]
use = "clip"
[pretrain.pairs]
use = "webdataset"
shards = "https://me:secret@host/{0..9}.tar?X-Amz-Signature=secret1"

[[arm]]
name = "random"
init = []
"""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:secret@host/a.tar", "https://...@host/a.tar"),
        ("s3://key:secret@bucket/{0..9}.tar, next", "s3://...@bucket/{0..9}.tar, next"),
        (
            "https://h/a.tar?X-Amz-Signature=0a1b&X-Amz-Credential=AKIA%2F1&v=3 said no",
            "https://h/a.tar?X-Amz-Signature=...&X-Amz-Credential=...&v=3 said no",
        ),
        ("https://h/a?download=1&sig=abc%3D#part", "https://h/a?download=1&sig=...#part"),
        ("denied for hf_abcdefghijklmnopqrst", "denied for ..."),
        ("AKIAABCDEFGHIJKLMNOP is invalid", "... is invalid"),
        ("Authorization: Bearer abc.def-123", "Authorization: Bearer ..."),
        ("aws_secret_access_key='abc/123'", "aws_secret_access_key='...'"),
        (
            "https://osf.io/f5rn6?view_only=1 (by hand)",
            "https://osf.io/f5rn6?view_only=1 (by hand)",
        ),
        ("hf_vit_base_patch16_clip_224", "hf_vit_base_patch16_clip_224"),
        ("https:/me:secret@host/a.tar", "https:/...@host/a.tar"),
        ("mail me@host.org about a://b", "mail me@host.org about a://b"),
    ],
)
def test_credentials_are_removed_from_text(text, shown):
    assert without_credentials(text) == shown
    assert without_credentials(shown) == shown
    assert str(DataError(text)) == shown


def test_records_and_fingerprints_contain_no_credentials():
    recipe = read_recipe(RECIPE, overrides=["pretrain.pairs.index='s3://a:secret@b/i'"])
    arm = recipe.arm("random")
    assert "secret" not in json.dumps(new_record(recipe, arm, 0, "cpu"))
    assert recipe.pretrain.parts["pairs"].config.shards.count("secret") == 2
    renewed = read_recipe(RECIPE.replace("secret1", "renewed"), overrides=recipe.overrides)
    assert renewed.fingerprint(arm) == recipe.fingerprint(arm)


def test_an_unexpected_error_and_its_log_contain_no_credentials():
    sentence = describe_error(RuntimeError("GET https://host/a?sig=secret failed"))
    assert "secret" not in sentence
    path = sentence.partition("The traceback is in ")[2].partition(".log")[0] + ".log"
    with open(path) as log:  # noqa: PTH123
        assert "sig=..." in log.read()
