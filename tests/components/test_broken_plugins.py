"""The command line works with broken plug-ins and reports each of them."""

import json
import textwrap
import time
from pathlib import Path
from types import ModuleType

import pluggy
import pytest

from perceptinit.components import plugin_manager
from perceptinit.components.plugin_manager import PluginInfo, Plugins

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
    "raises": ("raise RuntimeError('no license file')", "RuntimeError: no license file"),
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
    "exits": ("raise SystemExit(0)", "SystemExit: 0"),
    "stops": (
        """
        class Stop(BaseException):
            pass
        class Exit(SystemExit):
            pass
        raise Stop("at import")
        """,
        "Stop: at import",
    ),
    "subclass": ("class Exit(SystemExit):\n    pass\nraise Exit(3)", "Exit: 3"),
    "speechless": (
        """
        import os
        class Speechless(Exception):
            def __str__(self):
                os._exit(0)
        raise Speechless
        """,
        "Speechless: its message cannot be read (SystemExit in __str__)",
    ),
    "expected": (
        """
        from perceptinit.errors import UsageError
        class Wrong(UsageError):
            def __str__(self):
                return 1
        raise Wrong
        """,
        "its message cannot be read (TypeError in __str__)",
    ),
    "vanishes": ("import os\nos._exit(0)", "SystemExit: os._exit(0)"),
    "late": (
        """
        import os
        from perceptinit import hookimpl
        @hookimpl
        def perceptinit_trackers():
            os._exit(0)
        """,
        "SystemExit: os._exit(0)",
    ),
    "command": (
        """
        from perceptinit import hookimpl
        @hookimpl
        def perceptinit_commands(app):
            raise GeneratorExit("in a hook")
        """,
        "GeneratorExit: in a hook",
    ),
    "unprintable": (
        """
        from perceptinit import hookimpl
        class Odd:
            def __repr__(self):
                raise BaseException("in repr")
        @hookimpl
        def perceptinit_pairs():
            return [Odd()]
        """,
        "BaseException: in repr",
    ),
    "escapes": ("raise RuntimeError('\\x1b[31mred')", "RuntimeError: \\x1b[31mred"),
    "needs": ("import no_such_package", "No module named 'no_such_package'"),
}


def install(folder, name, source, requires="perceptinit"):
    """Write a distribution with one module, which is also the plug-in."""
    (folder / f"{name}.py").write_text(source)
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    about = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nRequires-Dist: {requires}\n"
    (info / "METADATA").write_text(about)
    (info / "entry_points.txt").write_text(f"[perceptinit]\n{name} = {name}\n")


@pytest.fixture
def broken(tmp_path):
    """Install all broken plug-ins; returns the environment variables that load them."""
    for name, (source, _) in BROKEN.items():
        install(tmp_path, name, textwrap.dedent(source))
    return {"PYTHONPATH": f"{tmp_path}:{ROOT}", "PERCEPTINIT_PLUGINS": ",".join(BROKEN)}


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["show", "initializer", "random"]])
def test_the_command_line_works_with_broken_plugins(cli_process, broken, arguments):
    done = cli_process(*arguments, **broken)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_each_broken_plugin_is_listed_with_its_error(cli_process, broken):
    output = " ".join(cli_process("list", "plugins", **broken).stdout.split())
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
    shown = cli_process("list", "plugins", PYTHONPATH=f"{tmp_path}:{ROOT}", PERCEPTINIT_PLUGINS="acme").stdout
    counts = {line.split()[3]: line.split()[4] for line in shown.splitlines() if "acme" in line}
    assert counts == {"first": "1", "second": "2"}
    assert "perceptinit.initializers" in shown  # on one line of 80 columns


def test_output_of_an_import_does_not_reach_the_terminal(cli_process, tmp_path):
    source = "import sys\nprint('\\x1b[2Jprinted')\nprint('\\x1b[2Jerror', file=sys.stderr)\n"
    install(tmp_path, "noisy", source)
    done = cli_process("list", "plugins", PYTHONPATH=f"{tmp_path}:{ROOT}", PERCEPTINIT_PLUGINS="noisy")
    assert done.returncode == 0
    assert "printed" not in done.stdout + done.stderr
    assert "\\x1b[2Jerror" in done.stderr  # escaped


INTRUDERS = {
    "shouts": ("os.write(1, b'shouted')", True),
    "starts": ("subprocess.run(['echo', 'shouted'])", True),
    "closes": ("os.close(1)", True),
    "takes": (
        "os.close(1); os.open(os.devnull, os.O_RDWR)",
        True,
    ),
    "shuts": ("sys.__stdout__.close()", True),
    "replaces": ("sys.stdout.close()", False),
    "forks": ("if not os.fork(): os._exit(3)\nassert os.waitstatus_to_exitcode(os.wait()[1]) == 3", False),
}


@pytest.mark.parametrize(
    "words",
    [
        ("compare", "example", "--format", "json"),
        ("compare", "example", "--format", "csv"),
        ("compare", "example", "--format", "runs"),
    ],
)
def test_plugins_that_write_to_or_close_standard_output_are_named_and_output_stays_clean(
    cli_process, tmp_path, words
):
    clean = cli_process(*words, PERCEPTINIT_PLUGINS="").stdout
    for name, (line, _) in INTRUDERS.items():
        install(tmp_path, name, f"import os, subprocess, sys\n{line}\n")
    done = cli_process(*words, PYTHONPATH=f"{tmp_path}:{ROOT}", PERCEPTINIT_PLUGINS=",".join(INTRUDERS))
    assert (done.returncode, done.stdout) == (0, clean)
    warned = [line for line in done.stderr.splitlines() if line.startswith("warning: plug-in")]
    said = "wrote to or closed standard output"
    named = sorted(name for name, (_, is_named) in INTRUDERS.items() if is_named)
    assert warned == [f"warning: plug-in '{name}' {said}" for name in named]


def test_ctrl_c_during_an_import_ends_the_command_and_names_the_plugin(cli_process, tmp_path):
    install(tmp_path, "slow", "raise KeyboardInterrupt")
    done = cli_process("list", PYTHONPATH=f"{tmp_path}:{ROOT}", PERCEPTINIT_PLUGINS="slow")
    sentence = "interrupted in plug-in 'slow'. To skip it, add --without-plugin slow\n"
    assert (done.returncode, done.stderr) == (130, sentence)


def test_output_of_a_model_under_evaluation_goes_to_standard_error(cli_process, tmp_path):
    (tmp_path / "loud.py").write_text(
        "import os\n"
        "def model():\n"
        "    os.write(1, b'written\\n')\n"
        "    def embed(images):\n"
        "        print('printed')\n"
        "        return images.mean(dim=(2, 3))\n"
        "    embed.image_size = 16\n"
        "    return embed\n"
    )
    words = ("eval", "loud:model", "--on", "synthetic", "--no-cache", "--format", "json")
    done = cli_process(*words, PYTHONPATH=f"{tmp_path}:{ROOT}", PERCEPTINIT_PLUGINS="")
    assert json.loads(done.stdout)["scores"][0]["measure"] == "2afc"
    assert {"written", "printed"} <= set(done.stderr.splitlines())


def test_a_plugin_can_be_left_out_by_name(cli_process, broken):
    done = cli_process("--without-plugin", "raises", "--without-plugin=exits", "list", "plugins", **broken)
    assert (done.returncode, "no license file" in done.stdout) == (0, False)
    assert "not loaded exits (" not in done.stdout
    failed = cli_process("--without-plugin", "raise", "list", "plugins", **broken)
    assert failed.returncode == 2
    assert "--without-plugin: no plug-in called 'raise'. Did you mean 'raises'?" in failed.stderr


def test_a_plugin_that_imports_for_long_is_named(monkeypatch, capsys):
    monkeypatch.setattr(plugin_manager, "SLOW_SECONDS", 0.05)
    plugins = Plugins(pluggy.PluginManager("perceptinit"))
    plugins.load(PluginInfo("slow", "acme-slow", "1", "slow"), lambda: time.sleep(0.5) or ModuleType("slow"))
    assert (
        "plug-in 'slow' is still importing. Skip it: perceptinit --without-plugin slow"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("requires", "is_loaded"),
    [
        ("perceptinit>=99", False),
        ("Perceptinit>=99", False),
        ("perceptinit[onnx]>=99", False),
        ("perceptinit>=99; python_version < '3'", True),
        ("perceptinit>=99; extra == 'test'", True),
        ("perceptinit>=0.1", True),
    ],
)
def test_a_required_version_is_read_as_pip_reads_it(cli_process, tmp_path, requires, is_loaded):
    install(tmp_path, "needy", "", requires)
    done = cli_process("list", "plugins", PYTHONPATH=f"{tmp_path}:{ROOT}", PERCEPTINIT_PLUGINS="needy")
    assert ("not loaded" not in done.stdout) == is_loaded, done.stdout
