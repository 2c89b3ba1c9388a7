"""The images that trials of jsPsych name only in the HTML that they showed (`stimulus`)."""

from __future__ import annotations

# N rows
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

import numpy as np

from perceptinit.judgments.reading.columns import Columns

NEEDED = {"trial_type", "response", "stimulus"}


def with_shown_images(columns: Columns, roles: Sequence[str]) -> Columns:
    """Return the trials with their images as columns `roles`, in the order of the HTML.

    Cells are None in trials that did not show as many images. Columns without NEEDED, and those of
    which no trial showed as many, return as they are.
    """
    if not columns.codes.keys() >= NEEDED:
        return columns
    shown = [
        images_in(cell) if isinstance(cell, str) else [] for cell in columns.distinct["stimulus"]
    ]
    if not any(len(images) == len(roles) for images in shown):
        return columns
    distinct, codes = dict(columns.distinct), dict(columns.codes)
    for place, role in enumerate(roles):
        distinct[role] = [images[place] if len(images) == len(roles) else None for images in shown]
        codes[role] = columns.codes["stimulus"]
    return replace(columns, distinct=distinct, codes=codes)


def has_button(columns: Columns, number: int) -> bool:
    """Whether a trial that is in the columns was answered with this button, from 0."""
    used = [columns.distinct["response"][code] for code in np.unique(columns.codes["response"])]
    return any(str(cell) in (str(number), f"{number}.0") for cell in used)


def images_in(html: str) -> list[str]:
    """Return what the `<img>` of a piece of HTML name, in order; see `file_of`. None of what no parser follows."""
    parser = _Images()
    try:
        parser.feed(html)
        parser.close()
    except AssertionError:  # of a marked section of an unknown kind
        return []
    return [file_of(source) for source in parser.sources]


def file_of(source: str) -> str:
    """Return the file that a URL means: a relative path as it is, the last part of any other."""
    try:
        parts = urlsplit(source)
    except ValueError:
        return source
    path = unquote(parts.path)
    is_relative = not parts.scheme and not parts.netloc and not path.startswith("/")
    return PurePosixPath(path).as_posix() if is_relative else path.rpartition("/")[2]


class _Images(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        source = dict(attrs).get("src")
        if tag == "img" and source:
            self.sources.append(source)
