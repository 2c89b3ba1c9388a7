"""The texts of the page: Markdown files in the study's folder `texts`, in any language."""

import re
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from pathlib import Path

from perceptinit.companion import write_file
from perceptinit.plugin import DataError
from perceptinit_collect.design import num_trials
from perceptinit_collect.settings import DesignSettings

FOLDER = "texts"
COMMON = ("begin", "break", "closed", "consent", "debrief", "labels", "stored", "stored_hash", "stored_id")
BY_TASK = ("instructions", "question")
OPTIONAL_LABELS = {
    "age": "",
    "instructed": "Attention check: please choose picture {number}.",
    "withdraw": "Withdraw",
    "withdraw_sure": "Delete all my answers and end my participation",
    "withdraw_elsewhere": (
        "You have used more than one browser, so this page cannot delete your answers. To have them deleted, "
        "send your code to the researchers."
    ),
    "withdrawn": "Your answers have been deleted, and your participation has ended.",
}
"""Defaults for labels that a study does not have to translate."""
BLANK = re.compile(r"\[FILL IN ([^:\]]+)[^\]]*\]")
_LABEL = re.compile(r"^[-*]\s+(\w+):\s+(.+)$", re.MULTILINE)
# ISO 639 codes of languages that are usually written from right to left
_RIGHT_TO_LEFT = {"ar", "arc", "ckb", "dv", "fa", "he", "ks", "ps", "sd", "syr", "ug", "ur", "yi"}
_TAGS = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*")


def default_text(name: str, task: str) -> str:
    """Return a bundled text."""
    file = f"{name}_{task}.md" if name in BY_TASK else f"{name}.md"
    return resources.files("perceptinit_collect").joinpath("texts", file).read_text("utf-8")


def write_missing(folder: Path, task: str) -> None:
    """Copy bundled texts that are missing from a study into its folder."""
    for name in (*COMMON, *BY_TASK):
        path = folder / FOLDER / f"{name}.md"
        if not path.exists():
            write_file(path, default_text(name, task).encode())


def read_texts(folder: Path) -> dict[str, str]:
    """Return the study's texts by name; DataError if a text or label is missing or not UTF-8."""
    texts = {}
    for name in (*COMMON, *BY_TASK):
        path = folder / FOLDER / f"{name}.md"
        try:
            texts[name] = path.read_text(encoding="utf-8-sig")
        except OSError as error:
            raise DataError(
                f"{path}: {error.strerror}. Restore the file, because a study needs all its texts"
            ) from error
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: not UTF-8 ({error.reason}). Save it as UTF-8") from error
    missing = sorted(labels_of(default_text("labels", "")).keys() - labels_of(texts["labels"]).keys())
    if missing:
        raise DataError(f"{folder / FOLDER / 'labels.md'}: the line '- {missing[0]}: ...' is missing. Add it")
    return texts


def find_blanks(texts: Mapping[str, str]) -> list[str]:
    """Return the texts with unfilled blanks `[FILL IN name: hint]`, as `texts/FILE.md (name, name)`."""
    return [
        f"{FOLDER}/{name}.md ({', '.join(blanks)})"
        for name, text in texts.items()
        if (blanks := BLANK.findall(text))
    ]


def labels_of(text: str) -> dict[str, str]:
    """Return the labels in `labels.md` by name."""
    return {**OPTIONAL_LABELS, **dict(_LABEL.findall(text))}


def fill_in(text: str, settings: DesignSettings) -> str:
    """Replace `{trials}` and `{practice}` with numbers of trials; drop lines with `{practice}` if it is 0."""
    if not settings.practice:
        text = "".join(line for line in text.splitlines(keepends=True) if "{practice}" not in line)
    return text.replace("{trials}", str(num_trials(settings))).replace("{practice}", str(settings.practice))


@lru_cache(maxsize=256)  # a page uses ten texts, which do not change
def html_of(markdown: str) -> str:
    """Render Markdown as HTML, escaping embedded HTML and disabling `javascript:` and `file:` links."""
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False}).render(markdown)


def direction(language: str) -> str:
    """Return the writing direction, "rtl" or "ltr", of a language tag such as `he` or `az-Arab`."""
    base, *rest = language.split("-")
    is_rtl = base.lower() in _RIGHT_TO_LEFT or "arab" in [part.lower() for part in rest]
    return "rtl" if is_rtl and "latn" not in [part.lower() for part in rest] else "ltr"


def is_language_tag(language: str) -> bool:
    """Return whether `language` has the form of a BCP 47 tag."""
    return bool(_TAGS.fullmatch(language))
