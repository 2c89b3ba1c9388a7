"""Plug-ins are discovered, named and isolated: a broken plug-in does not affect others."""

import textwrap

import pytest

from perceptinit import Component, __version__
from perceptinit.components.plugin_manager import build_plugin_manager
from perceptinit.errors import MissingPackageError, PerceptInitError, UsageError
from perceptinit.registry import Entry, Registry

GOOD = """
    from perceptinit import Component, hookimpl

    class Mine:
        '''Does nothing.'''

    @hookimpl
    def perceptinit_initializers():
        return [Component(name="{name}", target=Mine, summary="mine")]
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Return a function that installs a module with the metadata of its distribution and loads only these."""
    names = []

    def put(name, source, version="1.2", distribution="", requires="perceptinit>=0.1"):
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(source))
        info = tmp_path / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution or name}\nVersion: {version}\nRequires-Dist: {requires}\n"
        )
        (info / "entry_points.txt").write_text(f"[perceptinit]\n{name} = {name}\n")
        names.append(name)
        monkeypatch.setenv("PERCEPTINIT_PLUGINS", ",".join(names))

    monkeypatch.syspath_prepend(str(tmp_path))
    return put


def test_an_installed_plugin_is_listed_with_its_distribution(install):
    install("acme_lab", GOOD.format(name="acme/mine"))
    entry = build_plugin_manager().registry.get("initializer", "acme/mine")
    assert (entry.plugin, entry.distribution, entry.version) == ("acme_lab", "acme_lab", "1.2")


def test_a_summary_of_two_lines_is_one_line_of_the_list(cli, install):
    install("acme_wordy", GOOD.format(name="acme/mine").replace('"mine"', '"mine,\\n\\tand yours"'))
    assert "initializer\tacme/mine\tacme_wordy\tmine, and yours\n" in cli("list", "initializer").stdout


def test_built_in_components_are_registered_through_the_same_hooks():
    plugins = build_plugin_manager()
    entry = plugins.registry.get("initializer", "triplet-hinge")
    assert entry.plugin == "perceptinit"
    assert any(info.module == "perceptinit.initializers" for info in plugins.loaded)


def test_a_plugin_that_raises_on_import_disables_only_itself(install):
    install("acme_broken", "raise RuntimeError('no license file')")
    install("acme_lab", GOOD.format(name="acme/mine"))
    plugins = build_plugin_manager()
    (failure,) = plugins.failures
    assert failure.name == "acme_broken"
    assert failure.reason == "RuntimeError: no license file"
    assert plugins.registry.get("initializer", "acme/mine")
    assert plugins.registry.get("initializer", "random")


def test_a_hook_that_returns_the_wrong_type_is_reported(install):
    install(
        "acme_wrong",
        """
        from perceptinit import hookimpl

        @hookimpl
        def perceptinit_pairs():
            return ["my-pairs"]
        """,
    )
    (failure,) = build_plugin_manager().failures
    assert failure.reason == (
        "TypeError: perceptinit_pairs must return Component objects (perceptinit.plugin), got 'my-pairs'"
    )


def test_a_misspelled_hook_is_reported_with_the_correct_name(install):
    install("acme_typo", GOOD.format(name="acme/x").replace("_initializers", "_initialisers"))
    (failure,) = build_plugin_manager().failures
    assert failure.name == "acme_typo"
    assert failure.reason.startswith(
        "no hook called 'perceptinit_initialisers'. Did you mean 'perceptinit_initializers'? Known: "
    )


def test_a_hook_without_the_decorator_is_reported_and_not_called(install):
    install("acme_plain", GOOD.format(name="acme/x").replace("@hookimpl", ""))
    plugins = build_plugin_manager()
    (failure,) = plugins.failures
    assert failure.reason.startswith("perceptinit_initializers has no decorator @hookimpl")
    assert [e for e in plugins.registry.entries if e.plugin == "acme_plain"] == []


def test_a_hook_with_unknown_arguments_is_reported(install):
    install("acme_asks", GOOD.format(name="acme/x").replace("initializers()", "initializers(kind)"))
    (failure,) = build_plugin_manager().failures
    assert "Argument(s) {'kind'} are declared in the hookimpl" in failure.reason


def test_the_trace_prints_each_hook_call_and_its_result(install, cli_process, tmp_path):
    install("acme_lab", GOOD.format(name="acme/mine"))
    environment = {"PYTHONPATH": f"{tmp_path}:{__file__.rpartition('/tests/')[0]}"}
    environment["PERCEPTINIT_PLUGINS"] = "acme_lab"
    traced = cli_process("list", "initializer", PERCEPTINIT_TRACE="1", **environment)
    quiet = cli_process("list", "initializer", **environment)
    assert "finish perceptinit_initializers --> [[Component(name='acme/mine'" in traced.stderr
    assert traced.stdout == quiet.stdout
    assert quiet.stderr == ""


def test_a_plugin_without_vendor_prefix_is_reported_and_cannot_shadow_a_built_in(install):
    install("rival", GOOD.format(name="random"))
    plugins = build_plugin_manager()
    (failure,) = plugins.failures
    assert "needs a vendor prefix, such as 'rival/random'" in failure.reason
    assert (
        "initializer 'random' is offered by both 'perceptinit' and 'rival'. Uninstall or rename one"
        in failure.reason
    )
    assert plugins.registry.get("initializer", "random").plugin == "perceptinit"


def test_a_name_that_two_plugins_offer_is_refused_on_use(install):
    install("one", GOOD.format(name="acme/mine"))
    install("two", GOOD.format(name="acme/mine"))
    registry = build_plugin_manager().registry
    with pytest.raises(UsageError) as error:
        registry.get("initializer", "acme/mine")
    assert str(error.value) == (
        "initializer 'acme/mine' is offered by both 'one' and 'two'. Uninstall or rename one"
    )
    assert registry.get("initializer", "random")


def test_perceptinit_plugins_limits_the_loaded_plugins(install, monkeypatch):
    install("acme_lab", GOOD.format(name="acme/mine"))
    monkeypatch.setenv("PERCEPTINIT_PLUGINS", "other")
    with pytest.raises(
        UsageError,
        match=r"'acme/mine' is offered by plug-in acme, and plug-in acme is not installed\. Install",
    ):
        build_plugin_manager().registry.get("initializer", "acme/mine")


def test_a_local_file_is_a_plugin(tmp_path):
    path = tmp_path / "my_init.py"
    path.write_text(textwrap.dedent(GOOD.format(name="local/mine")))
    entry = build_plugin_manager([path]).registry.get("initializer", "local/mine")
    assert entry.plugin == "my_init"
    assert entry.load().__name__ == "Mine"


def test_a_missing_or_broken_local_file_is_an_error(tmp_path):
    with pytest.raises(UsageError, match=r"my_init\.py: no such file"):
        build_plugin_manager([tmp_path / "my_init.py"])
    (tmp_path / "my_init.py").write_text("import nothing_like_this")
    with pytest.raises(UsageError, match=r"my_init\.py: ModuleNotFoundError: No module named"):
        build_plugin_manager([tmp_path / "my_init.py"])


def test_an_unknown_name_is_reported_with_the_nearest_name():
    with pytest.raises(UsageError) as error:
        build_plugin_manager().registry.get("initializer", "triplet-hnge")
    assert str(error.value).startswith(
        "no initializer called 'triplet-hnge'. Did you mean 'triplet-hinge'? Known: "
    )


def test_a_missing_package_is_reported_with_the_install_command():
    component = Component(name="acme/x", target="no_such_package.module:X", summary="", extra="acme[brain]")
    entry = Entry(kind="judgments", component=component, plugin="acme")
    with pytest.raises(MissingPackageError) as error:
        entry.load()
    assert str(error.value) == (
        "judgments 'acme/x' needs the package 'no_such_package'. Install it: pip install 'acme[brain]'"
    )


def test_a_target_without_its_class_is_reported():
    component = Component(name="acme/x", target="perceptinit.errors:Nothing", summary="")
    with pytest.raises(PerceptInitError, match=r"perceptinit\.errors has no class Nothing"):
        Entry(kind="pairs", component=component, plugin="acme").load()


def test_an_empty_registry_reports_no_known_names():
    with pytest.raises(UsageError, match="Known: none"):
        Registry().get("pairs", "x")


def test_a_plugin_adds_a_verb_unless_the_name_exists(install, cli_process, tmp_path):
    verb = """
        from perceptinit import hookimpl

        @hookimpl
        def perceptinit_commands(app):
            @app.command("{verb}")
            def hello():
                'Say hello.'
                print("hello from the lab")
    """
    install("acme_verbs", verb.format(verb="hello"))
    install("acme_clash", verb.format(verb="run"))
    environment = {"PYTHONPATH": f"{tmp_path}:{__file__.rpartition('/tests/')[0]}"}
    environment["PERCEPTINIT_PLUGINS"] = "acme_verbs,acme_clash"
    done = cli_process("hello", **environment)
    assert done.stdout == "hello from the lab\n", done.stderr
    listing = cli_process("list", "plugins", **environment).stdout
    assert "the command 'run' already exists" in listing
    assert "Run a recipe" in cli_process("run", "--help", **environment).stdout


# ---- companions ----------------------------------------------------------------------------------

BAPPS = GOOD.format(name="bapps").replace("initializers", "judgments")


def test_a_component_of_a_missing_companion_is_reported_with_the_install_command():
    with pytest.raises(MissingPackageError) as error:
        Registry().get("judgments", "bapps")
    assert str(error.value) == (
        "the judgments 'bapps' is part of the companion package perceptinit-perceptual-sets, which is not "
        "installed. Install it: pip install ./plugins/perceptinit-perceptual-sets (in a checkout) or its wheel, "
        "perceptinit_perceptual_sets-*.whl"
    )


def test_a_verb_of_a_missing_companion_is_reported_with_the_install_command(cli):
    done = cli("collect", "photographs")
    assert done.returncode == 2
    assert "the verb 'collect' is part of the companion package perceptinit-collect" in done.stderr
    assert "pip install ./plugins/perceptinit-collect" in done.stderr


def test_a_companion_offers_its_listed_components_without_a_prefix(install):
    install("sets", BAPPS, distribution="perceptinit-perceptual-sets")
    plugins = build_plugin_manager()
    assert plugins.failures == []
    assert plugins.registry.get("judgments", "bapps").plugin == "sets"


def test_other_plugins_need_a_prefix_for_the_name_of_a_companions_component(install):
    install("rival_sets", BAPPS)
    (failure,) = build_plugin_manager().failures
    assert "judgments 'bapps' needs a vendor prefix, such as 'rival_sets/bapps'" in failure.reason


def test_a_companion_for_a_different_minor_version_is_skipped_before_import(install):
    install(
        "sets",
        "from perceptinit.plugin import NameOfTheFuture",
        distribution="perceptinit-perceptual-sets",
        requires="perceptinit<0.9,>=0.8",
    )
    plugins = build_plugin_manager()
    assert plugins.failures[0].reason == (
        f"perceptinit-perceptual-sets 1.2 requires perceptinit <0.9,>=0.8, but this is perceptinit {__version__}. "
        "Install matching versions of both"
    )
    with pytest.raises(MissingPackageError, match="was not loaded: perceptinit-perceptual-sets"):
        plugins.registry.get("judgments", "bapps")


def test_list_prints_the_companions_that_are_not_installed(cli):
    done = cli("list", "judgments")
    assert "not installed: perceptinit-perceptual-sets (judgments bapps, kadid10k" in done.stderr
    assert "collect" not in done.stderr
    assert "not installed" not in done.stdout
