"""The owner's page of `perceptinit collect` displays hostile names unchanged, in a browser."""

import html
import json
from types import SimpleNamespace

import pytest
from helpers.browser import chromium, visit
from helpers.hostile_names import NAMES
from PIL import Image

__all__ = ["chromium"]
pytest.importorskip("perceptinit_collect", reason="the companion package is not installed")


@pytest.mark.slow
def test_the_owner_page_displays_names_and_runs_nothing(chromium, tmp_path, monkeypatch):
    from perceptinit_collect import owner
    from perceptinit_collect.serve import serve_in_thread
    from perceptinit_collect.settings import default_design
    from perceptinit_collect.study import create, open_study
    from perceptinit_collect.texts import BLANK

    (tmp_path / "in").mkdir()
    for i in range(8):
        Image.new("RGB", (30 + i, 40), (i, 30 * i, 0)).save(tmp_path / f"in/{i}.png")
    create(
        tmp_path / "in", tmp_path / "study", default_design("2afc", 12, 12, False, 0), lambda message: None
    )
    for text in (tmp_path / "study/texts").glob("*.md"):
        text.write_text(BLANK.sub("done", text.read_text()))
    status = {
        "summary": [[name, name] for name in NAMES],
        "columns": ["participant", *NAMES],
        "people": [[name, *NAMES] for name in NAMES],
    }
    monkeypatch.setattr(owner, "run_aside", lambda what, folder: json.dumps(status))
    flags = ("--dump-dom", "--virtual-time-budget=5000", "--host-resolver-rules=")
    with open_study(tmp_path / "study") as study, serve_in_thread(study, None) as address:
        page = SimpleNamespace(as_uri=lambda: f"{address}owner#{study.token}")
        seen = visit(chromium, page, tmp_path, *flags)
    assert seen.console == []
    assert [asked for asked in seen.requests if not asked.startswith(address)] == []
    cells = [html.escape(name, quote=False) for name in NAMES]
    missing = [name for name in cells if seen.dom.count(f"<td>{name}</td>") < len(NAMES)]
    assert missing == []
