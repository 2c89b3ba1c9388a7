"""What people read: Markdown files in the study's folder `texts`, in any language."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from pathlib import Path

from perceptinit.plugin import DataError, atomic_path

FOLDER = "texts"
COMMON = (
    "begin",
    "break",
    "closed",
    "consent",
    "debrief",
    "labels",
    "stored",
    "stored_hash",
    "stored_id",
)
BY_TASK = ("instructions", "question")
_LABEL = re.compile(r"^[-*]\s+(\w+):\s+(.+)$", re.MULTILINE)
# ISO 639 codes of languages whose usual script runs from right to left
_RIGHT_TO_LEFT = {"ar", "arc", "ckb", "dv", "fa", "he", "ks", "ps", "sd", "syr", "ug", "ur", "yi"}
_TAGS = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*")


def default_text(name: str, task: str) -> str:
    """Return a text that comes with perceptinit."""
    file = f"{name}_{task}.md" if name in BY_TASK else f"{name}.md"
    return resources.files("perceptinit_collect").joinpath("texts", file).read_text("utf-8")


def write_missing(folder: Path, task: str) -> None:
    """Put the texts that a study has not yet into its folder."""
    for name in (*COMMON, *BY_TASK):
        path = folder / FOLDER / f"{name}.md"
        if not path.exists():
            with atomic_path(path) as temporary:
                temporary.write_text(default_text(name, task), encoding="utf-8")


def read_texts(folder: Path) -> dict[str, str]:
    """Return the study's texts by name; DataError names one that is missing, no UTF-8, or lacks a label."""
    texts = {}
    for name in (*COMMON, *BY_TASK):
        path = folder / FOLDER / f"{name}.md"
        try:
            texts[name] = path.read_text(encoding="utf-8-sig")
        except OSError as error:
            raise DataError(f"{path}: {error.strerror}; every text of a study is needed") from error
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: not UTF-8 text ({error.reason}). Save it as UTF-8") from error
    missing = sorted(labels_of(default_text("labels", "")).keys() - labels_of(texts["labels"]).keys())
    if missing:
        raise DataError(f"{folder / FOLDER / 'labels.md'}: no line '- {missing[0]}: ...'")
    return texts


def is_example(texts: Mapping[str, str]) -> bool:
    """Tell whether the consent is still the text that comes with perceptinit."""
    return texts["consent"].strip() == default_text("consent", "").strip()


def labels_of(text: str) -> dict[str, str]:
    """Return the words of `labels.md` by name."""
    return dict(_LABEL.findall(text))


@lru_cache(maxsize=256)  # a page takes ten texts, and they do not change
def html_of(markdown: str) -> str:
    """Return Markdown as HTML; markup in it is shown as text, and links lead to http, https and mail only."""
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False}).render(markdown)


def direction(language: str) -> str:
    """Return "rtl" for languages that run from right to left, else "ltr"; a script such as `az-Arab` counts."""
    base, *rest = language.split("-")
    is_rtl = base.lower() in _RIGHT_TO_LEFT or "arab" in [part.lower() for part in rest]
    return "rtl" if is_rtl and "latn" not in [part.lower() for part in rest] else "ltr"


def is_language_tag(language: str) -> bool:
    """Tell whether this may stand in the page's `lang`."""
    return bool(_TAGS.fullmatch(language))
