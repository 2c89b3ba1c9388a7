"""Text as LaTeX and Markdown, so that names in tables and recipes are displayed and never become markup.

HTML is escaped by jinja2 and `html.escape`, SVG by Matplotlib, and CSV by `reports.columns.csv_text`.
"""

import re

_LATEX = str.maketrans(
    {
        **{character: f"\\{character}" for character in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "^": r"\textasciicircum{}",
        "~": r"\textasciitilde{}",
    }
)
_LINK = r"\](?=[(\[:])|:(?=//)|(?<=www)\."
# also GitHub's: strikethrough, formulas, tables and addresses without brackets
_MARKDOWN = re.compile(rf"[\\`*~|$]|(?<!\w)_|_(?!\w)|{_LINK}|^(?=>|(#+|[-+])(\s|$)|[-=]+$)")
_HTML = re.compile(r"<(?=[A-Za-z/!?])|&(?=#?\w+;)")
_NUMBERED = re.compile(r"^(\d+)(?=[.)](\s|$))")


def join_lines(text: str) -> str:
    """Return a text on one line."""
    return " ".join(text.splitlines())


def to_latex(text: str) -> str:
    """Return a text for a cell of a LaTeX table."""
    escaped = join_lines(text).translate(_LATEX)
    # LaTeX would read it as an argument of the command before
    return f"{{}}{escaped}" if escaped.startswith(("[", "*")) else escaped


def to_markdown(text: str) -> str:
    """Return a text for a paragraph, an item or a cell in Markdown."""
    line = _HTML.sub(lambda found: {"<": "&lt;", "&": "&amp;"}[found[0]], join_lines(text).strip())
    return _NUMBERED.sub(r"\1\\", _MARKDOWN.sub(r"\\\g<0>", line))
