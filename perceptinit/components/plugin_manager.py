"""Find and load plug-ins, and fill the registry. A broken plug-in does not affect the others."""

import importlib
import importlib.metadata
import importlib.util
import inspect
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pluggy

from perceptinit import hookspecs
from perceptinit._version import __version__
from perceptinit.components.output import guard_process
from perceptinit.errors import PerceptInitError, UsageError, message_of, printable
from perceptinit.registry import KINDS, Component, Entry, Registry, companion_of, hook_name, unknown

CORE = "perceptinit"  # also the entry-point group
PREFIX = "perceptinit_"  # of the names of all hooks
WITHOUT = "PERCEPTINIT_WITHOUT"  # environment variable: names of plug-ins that are not loaded
SLOW_SECONDS = 10.0  # after which an import is reported


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """A loaded plug-in."""

    name: str
    distribution: str
    version: str
    module: str
    import_seconds: float = 0.0
    num_components: int = 0


@dataclass(frozen=True, slots=True)
class PluginFailure:
    """A plug-in or component that was not loaded, with the reason."""

    name: str
    distribution: str
    reason: str


@dataclass
class Plugins:
    """The plug-in manager, the registry, loaded plug-ins and failures."""

    manager: pluggy.PluginManager
    registry: Registry = field(default_factory=Registry)
    loaded: list[PluginInfo] = field(default_factory=list)
    failures: list[PluginFailure] = field(default_factory=list)

    def load(self, info: PluginInfo, import_module: Callable[[], ModuleType]) -> None:
        """Import a plug-in and register its components, or record a failure.

        The output of the import is discarded, and its lines on standard error are escaped.
        """
        start = time.perf_counter()
        timer = threading.Timer(
            SLOW_SECONDS,
            print,
            [f"plug-in '{info.name}' is still importing. Skip it: perceptinit --without-plugin {info.name}"],
            {"file": sys.stderr},
        )
        timer.daemon = True
        timer.start()
        stream = sys.stderr
        escaped: Any = SimpleNamespace(  # loggers may keep this stream after the import
            write=lambda text: stream.write(printable(text)),
            **{name: getattr(stream, name) for name in ("flush", "isatty", "fileno", "encoding")},
        )
        fail = partial(self.fail, info.name, info.distribution)
        with redirect_stderr(escaped), guard_process(info.name, fail):
            self.register(import_module(), replace(info, import_seconds=time.perf_counter() - start))
        timer.cancel()

    def register(self, module: ModuleType, info: PluginInfo) -> None:
        """Register an imported plug-in. After an error, nothing is registered."""
        self._check_hooks(module)
        self.manager.register(module, name=f"{info.name} ({module.__name__})")
        try:
            entries = [entry for kind in KINDS for entry in self._entries(kind, module, info)]
        except BaseException:
            self.manager.unregister(module)
            raise
        self.registry.entries.extend(entries)
        self.loaded.append(replace(info, num_components=len(entries)))

    def call(self, hook: str, plugin: object, **arguments: object) -> list[Any]:
        """Return the results of a hook for one plug-in; empty if it does not implement the hook.

        Plug-ins are called one at a time, so that each result has a known owner and errors stay separate.
        """
        if hook not in {caller.name for caller in self.manager.get_hookcallers(plugin) or ()}:
            return []
        others = [other for other in self.manager.get_plugins() if other is not plugin]
        return self.manager.subset_hook_caller(hook, others)(**arguments)

    def fail(self, name: str, distribution: str, error: BaseException) -> None:
        """Record why a plug-in was not loaded."""
        is_expected = isinstance(error, PerceptInitError)
        reason = (
            message_of(error) if is_expected else printable(f"{type(error).__name__}: {message_of(error)}")
        )
        self.failures.append(PluginFailure(name, distribution, reason))
        self.registry.left_out[distribution] = reason

    def _check_hooks(self, module: ModuleType) -> None:
        """Raise UsageError for a hook function without @hookimpl, or for an unknown hook."""
        known = [name for name in vars(hookspecs) if name.startswith(PREFIX)]
        for name, value in vars(module).items():
            options = self.manager.parse_hookimpl_opts(module, name)
            hook = options["specname"] or name if options else name
            if options and hook not in known:
                raise UsageError(unknown("no hook called", hook, known))
            if not options and inspect.isfunction(value) and name.startswith(PREFIX):
                raise UsageError(f"{name} has no decorator @hookimpl. Import it from perceptinit.plugin")

    def _entries(self, kind: str, module: ModuleType, info: PluginInfo) -> Iterable[Entry]:
        hook = hook_name(kind)
        for component in chain.from_iterable(self.call(hook, module)):
            if not isinstance(component, Component):
                raise TypeError(
                    f"{hook} must return Component objects (perceptinit.plugin), got {component!r}"
                )
            origin = {"distribution": info.distribution, "version": info.version}
            entry = Entry(kind=kind, component=component, plugin=info.name, **origin)
            companion = companion_of(kind, entry.name)
            if "/" in entry.name or entry.distribution == (companion.distribution if companion else CORE):
                yield entry
                continue
            reason = f"{entry.title} needs a vendor prefix, such as '{entry.plugin}/{entry.name}'"
            owners = [e for e in self.registry.of_kind(kind) if e.name == entry.name]
            reason += f": {Registry.collision([*owners, entry])}" if owners else ""
            self.fail(info.name, info.distribution, UsageError(reason))


def build_plugin_manager(local: Sequence[str | Path] = ()) -> Plugins:
    """Load the built-in components, then installed plug-ins, then local plug-in files.

    `PERCEPTINIT_PLUGINS=a,b` loads only these installed plug-ins. An empty value loads none. The plug-ins
    that `perceptinit --without-plugin` names are not loaded.
    `PERCEPTINIT_TRACE=1` prints each hook call and its result to standard error.

    Args:
        local: Paths of `.py` files, such as the `plugins` of a recipe.

    Raises:
        UsageError: If a local file does not exist or cannot be loaded, or an excluded plug-in is unknown.
    """
    manager = pluggy.PluginManager(CORE)
    manager.add_hookspecs(hookspecs)
    if os.environ.get("PERCEPTINIT_TRACE"):
        manager.trace.root.setwriter(lambda text: sys.stderr.write(text))
        manager.enable_tracing()
    plugins = Plugins(manager)
    for folder in KINDS.values():
        module = importlib.import_module(f"perceptinit.{folder}")
        plugins.register(module, PluginInfo(CORE, CORE, __version__, module.__name__))
    wanted = os.environ.get("PERCEPTINIT_PLUGINS")
    names = None if wanted is None else {name.strip() for name in wanted.split(",")}
    found = importlib.metadata.entry_points(group=CORE)
    without = [*filter(None, os.environ.get(WITHOUT, "").split(","))]
    for name in set(without) - found.names:
        raise UsageError(unknown("--without-plugin: no plug-in called", name, found.names))
    for entry_point in sorted(found, key=lambda e: e.name):
        if (names is None or entry_point.name in names) and entry_point.name not in without:
            _load_entry_point(plugins, entry_point)
    for path in local:
        _load_file(plugins, Path(path))
    return plugins


def _load_entry_point(plugins: Plugins, entry_point: importlib.metadata.EntryPoint) -> None:
    found = entry_point.dist
    name, version = (found.name, found.version) if found else ("", "")

    def import_module() -> ModuleType:
        if found:
            _check_version(found)
        return entry_point.load()

    plugins.load(PluginInfo(entry_point.name, name, version, entry_point.value), import_module)


def _check_version(distribution: importlib.metadata.Distribution) -> None:
    """Raise UsageError if a distribution requires a different version of perceptinit."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    for text in distribution.requires or ():
        requirement = Requirement(text)
        if (
            canonicalize_name(requirement.name) == CORE
            and (requirement.marker is None or requirement.marker.evaluate({"extra": ""}))
            and not requirement.specifier.contains(__version__, prereleases=True)
        ):
            raise UsageError(
                f"{distribution.name} {distribution.version} requires perceptinit {requirement.specifier}, "
                f"but this is perceptinit {__version__}. Install matching versions of both"
            )


def _load_file(plugins: Plugins, path: Path) -> None:
    if not path.is_file():
        raise UsageError(f"plug-in {path}: no such file")
    name = f"perceptinit_local_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"plug-in {path}: not a Python file")
    loader = spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # so that targets "module:Class" of its components can be imported

    def import_module() -> ModuleType:
        loader.exec_module(module)
        return module

    known = len(plugins.failures)
    plugins.load(PluginInfo(path.stem, str(path), "", str(path)), import_module)
    if len(plugins.failures) > known:
        raise UsageError(f"plug-in {path}: {plugins.failures[-1].reason}")
