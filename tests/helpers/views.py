"""What a view of a comparison says, beside the patterns of a situation with a known truth."""

import re


def list_texts(value):
    """Return all texts in a JSON value, with its keys, which are also names of models."""
    if isinstance(value, str):
        return [value]
    parts = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for part in parts for text in list_texts(part)]


def find_unsupported(situation, lines):
    """Return the matches of `never` and the missing matches of `must`."""
    found = [f"says {line!r}" for p in situation.never for line in lines if re.search(p, line)]
    silent = [f"does not say {p!r}" for p in situation.must if not any(re.search(p, line) for line in lines)]
    return found + silent
