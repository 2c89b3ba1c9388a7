"""Matplotlib figures, as inline SVG in the color scheme of the page, light or dark, or as files.

Figures are drawn in the light colors of the page. Inline SVG replaces them by CSS variables (`--arm-1`,
`--ink`, ...). Arms differ in color, line style and marker, so color is never the only distinction. Text is
not converted to paths.
"""

import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from typing import Any

from perceptinit._version import __version__
from perceptinit.errors import MissingPackageError

# as in report.css, where each of them is different
INK = "#1b2430"
FAINT = "#5c6875"
GRID = "#dfe3e8"
ARMS = ("#5c6876", "#0b62a8", "#c2480f", "#08775a", "#9a3f80", "#8a6500", "#2b2f9e", "#7a4a2b")
MAX_ARMS = len(ARMS)  # more arms reuse the colors with other line styles and markers
WIDTH_INCHES = 5.2
STYLES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

_COLOURS = {INK: "var(--ink)", FAINT: "var(--faint)", GRID: "var(--grid)"} | {
    colour: f"var(--arm-{i})" for i, colour in enumerate(ARMS)
}
_RC: dict[Any, Any] = {
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "text.parse_math": False,  # names can contain $
    "svg.hashsalt": "perceptinit",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
}


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of the page. `svg` is inline markup, and `alt` is its text alternative."""

    title: str
    svg: str
    alt: str
    caption: str = ""


def require_matplotlib() -> None:
    """Raise MissingPackageError with the install command if a package for reports is missing."""
    try:
        import jinja2  # noqa: F401
        import matplotlib  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f"the report requires the package '{error.name}'. Install it: pip install 'perceptinit[report]'"
        ) from error


@contextmanager
def drawing(height: float = 3.2, rows: int = 1, columns: int = 1, *, shares_x: bool = True) -> Iterator[Any]:
    """Yield Matplotlib axes in the style of the page; an array of them for several rows or columns."""
    import matplotlib
    from matplotlib.figure import Figure as Canvas

    with matplotlib.rc_context(_RC):
        canvas = Canvas(figsize=(WIDTH_INCHES, height), layout="constrained")
        yield canvas.subplots(rows, columns, sharex=shares_x, sharey=True)


def arm_colour(index: int) -> str:
    """Return the color of arm number `index`."""
    return ARMS[index % MAX_ARMS]


def arm_style(index: int) -> dict[str, Any]:
    """Return color, line style and marker of arm number `index`."""
    return {
        "color": arm_colour(index),
        "linestyle": STYLES[index % len(STYLES)],
        "marker": MARKERS[index % len(MARKERS)],
    }


def plot_arms(
    ax: Any,
    lines: Mapping[str, Sequence[Mapping[Any, Any]]],
    arms: Sequence[str],
    read: Callable[[Any], float] = float,
    **style: Any,
) -> None:
    """Plot the lines (x -> `read(y)`) of each arm in its style, with a legend above the axes."""
    for arm, of_arm in lines.items():
        for index, line in enumerate(of_arm):
            own = arm_style(arms.index(arm)) | style
            ax.plot(list(line), list(map(read, line.values())), label=None if index else arm, **own)
    add_legend(ax)


def add_legend(ax: Any) -> None:
    """Add a legend above the axes, with as many columns as its longest name allows."""
    longest = max(map(len, ax.get_legend_handles_labels()[1]), default=0)
    columns = int(72 * WIDTH_INCHES / (5 * longest + 45))
    ax.figure.legend(loc="outside upper left", ncols=min(4, max(1, columns)), fontsize=9)


def draw_limit(ax: Any, name: str, value: float, side: str) -> None:
    """Draw a labeled horizontal line; `side` is the vertical alignment of the label."""
    ax.axhline(value, color=FAINT, linewidth=1, linestyle=":")
    place = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
    ax.annotate(name, (1, value), (4, 0), va=side, color=FAINT, fontsize=8, **place)


def draw_people(ax: Any, lower: float, upper: float) -> None:
    """Draw the human ceiling as a band between its bounds."""
    ax.axhspan(lower, upper, color=FAINT, alpha=0.15, linewidth=0)
    draw_limit(ax, "human\nceiling", upper, "bottom")


def finish(ax: Any, title: str, alt: str, caption: str = "") -> Figure:
    """Return the figure as inline markup."""
    stream = io.StringIO()
    ax.figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    return Figure(title, _inline(stream.getvalue(), title, alt), alt, caption)


def save(ax: Any, format: str) -> bytes:
    """Return the figure as a file. format: "pdf" or "svg"."""
    created = "CreationDate" if format == "pdf" else "Date"
    metadata = {"Creator": f"perceptinit {__version__}", created: None}
    stream = io.BytesIO()  # Matplotlib's PDF writer hides the error of a full disk
    ax.figure.savefig(stream, format=format, metadata=metadata)
    return stream.getvalue()


def _inline(svg: str, title: str, alt: str) -> str:
    """Return an SVG's root element for embedding in HTML, with a label, fluid width and unique ids."""
    prefix = re.sub(r"[^a-z0-9]+", "-", title.lower())

    def adapt(found: re.Match[str]) -> str:
        tag = re.sub(r'(\bid="|xlink:href="#|url\(#)', rf"\g<1>{prefix}-", found[0])
        return re.sub("#[0-9a-f]{6}", lambda colour: _COLOURS.get(colour[0], colour[0]), tag)

    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub("<[^>]+>", adapt, svg)  # the text between tags contains names
    root, rest = svg.split(">", 1)
    root = re.sub(r' (width|height)="[^"]*"', "", root)
    return f'{root} role="img" aria-label="{escape(alt, quote=True)}">{rest}'
