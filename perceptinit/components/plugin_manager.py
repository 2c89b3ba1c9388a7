"""Find plug-ins, load them one by one, and fill the registry; a broken plug-in only disables itself."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import inspect
import os
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from perceptinit import hookspecs
from perceptinit.errors import PerceptInitError, UsageError
from perceptinit.registry import KINDS, Component, Entry, Registry, hook_name, unknown

CORE = "perceptinit"
GROUP = "perceptinit"
PREFIX = "perceptinit_"  # of every hook


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """A loaded plug-in: its name, the distribution it came from, what it took to import, what it offers."""

    name: str
    distribution: str
    version: str
    module: str
    import_seconds: float
    num_components: int = 0


@dataclass(frozen=True, slots=True)
class PluginFailure:
    """A plug-in, or one component of it, that is left out, and why."""

    name: str
    distribution: str
    reason: str


@dataclass
class Plugins:
    """Everything that was found: hook callers, the registry, what loaded and what did not."""

    manager: pluggy.PluginManager
    registry: Registry = field(default_factory=Registry)
    loaded: list[PluginInfo] = field(default_factory=list)
    failures: list[PluginFailure] = field(default_factory=list)

    def register(self, module: ModuleType, info: PluginInfo) -> None:
        """Add one plug-in module and all components it offers, or one failure."""
        try:
            self._check_marks(module)
            self.manager.register(module, name=f"{info.name} ({module.__name__})")
            self._check_names(module)
            entries = [entry for kind in KINDS for entry in self._entries(kind, module, info)]
        except Exception as error:  # a plug-in may raise anything
            if self.manager.is_registered(module):
                self.manager.unregister(module)
            self.fail(info.name, info.distribution, error)
            return
        self.registry.entries.extend(entries)
        self.loaded.append(replace(info, num_components=len(entries)))

    def call(self, hook: str, plugin: object, **arguments: object) -> list[Any]:
        """Return what one plug-in answers to a hook, nothing where it has no such hook.

        One by one, so that the owner of each answer is known, and each can fail alone.
        """
        if hook not in {caller.name for caller in self.manager.get_hookcallers(plugin) or ()}:
            return []
        others = [other for other in self.manager.get_plugins() if other is not plugin]
        return self.manager.subset_hook_caller(hook, others)(**arguments)

    def _check_marks(self, module: ModuleType) -> None:
        """Raise UsageError for a function that is named like a hook and is none: it would be overlooked."""
        functions = (name for name, value in vars(module).items() if inspect.isfunction(value))
        for name in functions:
            if name.startswith(PREFIX) and self.manager.parse_hookimpl_opts(module, name) is None:
                raise UsageError(
                    f"{name} offers nothing: write @hookimpl over it (from perceptinit.plugin import hookimpl)"
                )

    def _check_names(self, module: ModuleType) -> None:
        """Raise UsageError for a hook that does not exist: nobody would ever call it."""
        try:
            self.manager.check_pending()
        except pluggy.PluginValidationError as error:
            hooks = self.manager.get_hookcallers(module) or ()
            strange = next(hook.name for hook in hooks if not hook.has_spec())
            known = [name for name in vars(hookspecs) if name.startswith(PREFIX)]
            raise UsageError(unknown("no hook called", strange, known)) from error

    def _entries(self, kind: str, module: ModuleType, info: PluginInfo) -> Iterable[Entry]:
        hook = hook_name(kind)
        for component in chain.from_iterable(self.call(hook, module)):
            if not isinstance(component, Component):
                raise TypeError(
                    f"{hook} must return Component objects (perceptinit.plugin), got {component!r}"
                )
            if info.name != CORE and "/" not in component.name:
                self.failures.append(
                    PluginFailure(
                        info.name,
                        info.distribution,
                        f"{kind} '{component.name}' needs a vendor prefix, such as "
                        f"'{info.name}/{component.name}'"
                        + self._shadow(kind, component.name, info),
                    )
                )
                continue
            yield Entry(
                kind=kind,
                component=component,
                plugin=info.name,
                distribution=info.distribution,
                version=info.version,
            )

    def _shadow(self, kind: str, name: str, info: PluginInfo) -> str:
        owner = next((e.plugin for e in self.registry.of_kind(kind) if e.name == name), None)
        if owner is None:
            return ""
        return f": {kind} '{name}' is offered by both '{owner}' and '{info.name}'; uninstall or rename one"

    def fail(self, name: str, distribution: str, error: BaseException) -> None:
        """Note why a plug-in is left out."""
        reason = str(error)
        if not isinstance(error, PerceptInitError):
            reason = f"{type(error).__name__}: {error}"
        self.failures.append(PluginFailure(name, distribution, reason))


def build_plugin_manager(local: Sequence[str | Path] = ()) -> Plugins:
    """Load the built-ins, then installed plug-ins, then one-file local plug-ins.

    local: paths of `.py` files, such as a recipe's `plugins`.

    `PERCEPTINIT_PLUGINS=a,b` loads only the installed plug-ins named (empty: none).
    `PERCEPTINIT_TRACE=1` prints each hook call and its answer to stderr.

    Raises UsageError when a local file does not exist or does not import: the recipe asked for it.
    """
    manager = pluggy.PluginManager(CORE)
    manager.add_hookspecs(hookspecs)
    if os.environ.get("PERCEPTINIT_TRACE"):
        manager.trace.root.setwriter(lambda text: sys.stderr.write(text))
        manager.enable_tracing()
    plugins = Plugins(manager)
    _load_builtins(plugins)
    for entry_point in _installed():
        _load_entry_point(plugins, entry_point)
    for path in local:
        _load_file(plugins, Path(path))
    return plugins


def _load_builtins(plugins: Plugins) -> None:
    from perceptinit import __version__

    for folder in KINDS.values():
        start = time.perf_counter()
        module = importlib.import_module(f"perceptinit.{folder}")
        seconds = time.perf_counter() - start
        plugins.register(module, PluginInfo(CORE, CORE, __version__, module.__name__, seconds))


def _installed() -> list[importlib.metadata.EntryPoint]:
    wanted = os.environ.get("PERCEPTINIT_PLUGINS")
    names = None if wanted is None else {name.strip() for name in wanted.split(",")}
    found = importlib.metadata.entry_points(group=GROUP)
    return sorted((e for e in found if names is None or e.name in names), key=lambda e: e.name)


def _load_entry_point(plugins: Plugins, entry_point: importlib.metadata.EntryPoint) -> None:
    distribution = entry_point.dist.name if entry_point.dist else ""
    version = entry_point.dist.version if entry_point.dist else ""
    start = time.perf_counter()
    try:
        module = entry_point.load()
    except Exception as error:  # a plug-in may raise anything at import
        plugins.fail(entry_point.name, distribution, error)
        return
    seconds = time.perf_counter() - start
    info = PluginInfo(entry_point.name, distribution, version, entry_point.value, seconds)
    plugins.register(module, info)


def _load_file(plugins: Plugins, path: Path) -> None:
    if not path.is_file():
        raise UsageError(f"plug-in {path}: no such file")
    name = f"perceptinit_local_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"plug-in {path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # "module:Class" targets of the file resolve through here
    start = time.perf_counter()
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise UsageError(
            f"plug-in {path} does not import: {type(error).__name__}: {error}"
        ) from error
    known = len(plugins.failures)
    info = PluginInfo(path.stem, str(path), "", str(path), time.perf_counter() - start)
    plugins.register(module, info)
    if len(plugins.failures) > known:
        raise UsageError(f"plug-in {path}: {plugins.failures[-1].reason}")
