"""The tokenizer returns the token ids of open_clip for any text."""

import numpy as np
import open_clip
import pytest
import torch

from perceptinit.backbones.clip_tokenizer import ClipTokenizer

PRINTABLE = [chr(code) for code in range(32, 127)]
RARE = list("\t\n\x00\x1b\x7f\x85\u200béüß日本😀“”’…ﬁÃ©")


@pytest.mark.parametrize("characters", [PRINTABLE, PRINTABLE + RARE], ids=["plain", "any"])
@pytest.mark.parametrize("context_length", [1, 2, 8, 77])
def test_token_ids_of_random_texts_equal_open_clip(characters, context_length):
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(characters, rng.integers(120))) for _ in range(300)]
    theirs = open_clip.SimpleTokenizer()(texts, context_length=context_length)
    assert torch.equal(ClipTokenizer()(texts, context_length=context_length), theirs)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  A  Photo of\ta DOG ",
        "don't I'LL",
        "cats &amp; dogs",
        "<start_of_text> a <END_OF_TEXT>",
    ],
)
def test_token_ids_of_a_text_equal_open_clip(text):
    assert torch.equal(ClipTokenizer()(text), open_clip.SimpleTokenizer()(text))
