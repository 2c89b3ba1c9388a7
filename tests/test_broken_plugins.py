"""Whatever is wrong with a plug-in, the command line works and says it."""

import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

BROKEN = {
    "shadow": (
        """
        from perceptinit import Component, hookimpl
        @hookimpl
        def perceptinit_initializers():
            return [Component(name="random", target="shadow:X", summary="mine")]
        """,
        "initializer 'random' is offered by both 'perceptinit' and 'shadow'; uninstall or rename one",
    ),
    "raises": ("raise RuntimeError('no licence file')", "RuntimeError: no licence file"),
    "wrongtype": (
        """
        from perceptinit import hookimpl
        @hookimpl
        def perceptinit_pairs():
            return ["my-pairs"]
        """,
        "must return perceptinit.Component objects, got 'my-pairs'",
    ),
    "needs": ("import no_such_package", "No module named 'no_such_package'"),
}


@pytest.fixture
def broken(tmp_path):
    """Install all four; returns the environment that finds them."""
    for name, (source, _) in BROKEN.items():
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(source))
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[perceptinit]\n{name} = {name}\n")
    return {"PYTHONPATH": f"{tmp_path}:{ROOT}", "PERCEPTINIT_PLUGINS": ",".join(BROKEN)}


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["show", "initializer", "random"]])
def test_the_command_line_works_beside_broken_plugins(cli, broken, arguments):
    done = cli(*arguments, **broken)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_each_broken_plugin_is_told(cli, broken):
    told = " ".join(cli("plugins", **broken).stdout.split())
    for name, (_, sentence) in BROKEN.items():
        assert f"not loaded {name} ({name})" in told
        assert sentence in told
