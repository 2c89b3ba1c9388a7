"""CLIP's tokenizer. A separate module, because open_clip takes up to two seconds to import."""

# B texts, T tokens
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from itertools import chain

import numpy as np
import torch
from open_clip import SimpleTokenizer, tokenizer

from perceptinit.backbones.text import Tokenizer

# number of distinct words in the cache of ids
NUM_WORDS = 2**17


@cache
def clip_tokenizer() -> Tokenizer:
    """Return CLIP's byte-pair tokenizer (49,408 ids), whose files are read once."""
    return ClipTokenizer()


class ClipTokenizer(SimpleTokenizer):
    """open_clip's CLIP tokenizer (49,408 ids) with a cache of words, and without cleaning plain texts.

    Cleaning (encodings, HTML entities) does not change printable ASCII texts without "&".
    """

    def __init__(self) -> None:
        self.__dict__.update(vars(tokenizer._tokenizer))  # open_clip has read the files
        self._word_ids = lru_cache(NUM_WORDS)(self._find_word_ids)

    def __reduce__(self) -> tuple[Callable[[], Tokenizer], tuple[()]]:
        return clip_tokenizer, ()  # other processes read the files again

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, without start and end tokens."""
        if text.isascii() and text.isprintable() and "&" not in text:
            text = " ".join(text.split()).lower()
        else:
            text = self.clean_fn(text)
        return list(chain.from_iterable(map(self._word_ids, self.pat.findall(text))))

    def __call__(self, texts: str | Sequence[str], context_length: int | None = None) -> torch.Tensor:
        """Return token ids, int64, shape (B, T), padded with 0.

        T is `context_length` (default 77). Truncated texts keep the end token.
        """
        length = context_length or self.context_length
        rows = [self.encode(text) for text in ([texts] if isinstance(texts, str) else texts)]
        ids = np.zeros((len(rows), length), dtype=np.int64)
        for row, words in zip(ids, rows, strict=True):
            tokens = [self.sot_token_id, *words][: length - 1]
            tokens.append(self.eot_token_id)
            row[: len(tokens)] = tokens
        return torch.from_numpy(ids)

    def _find_word_ids(self, word: str) -> tuple[int, ...]:
        characters = "".join(self.byte_encoder[byte] for byte in word.encode())
        return tuple(self.encoder[part] for part in self.bpe(characters).split(" "))
