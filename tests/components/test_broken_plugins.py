"""The command line works with broken plug-ins and reports each of them."""

import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

BROKEN = {
    "shadow": (
        """
        from perceptinit import Component, hookimpl
        @hookimpl
        def perceptinit_initializers():
            return [Component(name="random", target="shadow:X", summary="mine")]
        """,
        "initializer 'random' is offered by both 'perceptinit' and 'shadow'. Uninstall or rename one",
    ),
    "raises": ("raise RuntimeError('no licence file')", "RuntimeError: no licence file"),
    "wrongtype": (
        """
        from perceptinit import hookimpl
        @hookimpl
        def perceptinit_pairs():
            return ["my-pairs"]
        """,
        "must return Component objects (perceptinit.plugin), got 'my-pairs'",
    ),
    "typo": (
        """
        from perceptinit import hookimpl
        @hookimpl
        def perceptinit_initialisers():
            return []
        """,
        "no hook called 'perceptinit_initialisers'. Did you mean 'perceptinit_initializers'?",
    ),
    "needs": ("import no_such_package", "No module named 'no_such_package'"),
}


@pytest.fixture
def broken(tmp_path):
    """Install all broken plug-ins; returns the environment variables that load them."""
    for name, (source, _) in BROKEN.items():
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(source))
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[perceptinit]\n{name} = {name}\n")
    return {"PYTHONPATH": f"{tmp_path}:{ROOT}", "PERCEPTINIT_PLUGINS": ",".join(BROKEN)}


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["show", "initializer", "random"]])
def test_the_command_line_works_with_broken_plugins(cli_process, broken, arguments):
    done = cli_process(*arguments, **broken)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_each_broken_plugin_is_listed_with_its_error(cli_process, broken):
    output = " ".join(cli_process("plugins", **broken).stdout.split())
    for name, (_, sentence) in BROKEN.items():
        assert f"not loaded {name} ({name})" in output
        assert sentence in output


def test_components_are_counted_per_plugin_module(cli_process, tmp_path):
    for name, kinds in {"first": ("pairs",), "second": ("pairs", "trackers")}.items():
        hooks = [
            f"@hookimpl\ndef perceptinit_{kind}():\n"
            f"    return [Component(name='acme/{name}', target='{name}:X', summary='')]"
            for kind in kinds
        ]
        source = "\n".join(["from perceptinit import Component, hookimpl", *hooks])
        (tmp_path / f"{name}.py").write_text(source)
    info = tmp_path / "acme-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    # two distributions share one entry point name: both modules are loaded and counted separately
    (info / "entry_points.txt").write_text("[perceptinit]\nacme = first\n")
    other = tmp_path / "acme_more-1.0.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: acme_more\nVersion: 1.0\n")
    (other / "entry_points.txt").write_text("[perceptinit]\nacme = second\n")
    shown = cli_process("plugins", PYTHONPATH=f"{tmp_path}:{ROOT}", PERCEPTINIT_PLUGINS="acme").stdout
    counts = {line.split()[3]: line.split()[4] for line in shown.splitlines() if "acme" in line}
    assert counts == {"first": "1", "second": "2"}
    assert "perceptinit.initializers" in shown  # on one line of 80 columns
