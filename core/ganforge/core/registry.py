"""Finding plugins and what they offer. Built-ins and strangers come through the same door."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from ganforge.core import hookspecs, specs
from ganforge.core.errors import GanforgeError, unknown
from ganforge.core.specs import Spec

GROUP = "ganforge"
KINDS: dict[str, tuple[str, type[Spec[Any]]]] = {
    "architecture": ("ganforge_architectures", specs.Architecture),
    "loss": ("ganforge_losses", specs.Loss),
    "regularizer": ("ganforge_regularizers", specs.Regularizer),
    "recipe": ("ganforge_recipes", specs.Recipe),
    "dataset": ("ganforge_datasets", specs.Dataset),
    "observer": ("ganforge_observers", specs.Observer),
    "conditioning": ("ganforge_conditionings", specs.Conditioning),
    "metric": ("ganforge_metrics", specs.Metric),
    "extractor": ("ganforge_feature_extractors", specs.FeatureExtractor),
}
"""What plugins offer: each kind's hook, and the spec which that hook returns a list of."""


@dataclass(frozen=True)
class Plugin:
    """A plugin that was found, and why it is not in use (if it is not).

    `name` is the entry point's or the file's stem, `distribution` who ships it or the file's full path. Only both
    together are unique.
    """

    name: str
    distribution: str
    problem: str = ""

    @property
    def disabled(self) -> bool:
        """Switched off by the user, which is no failure."""
        return self.problem == _DISABLED

    @property
    def stranger(self) -> bool:
        """Installed, and not by us: what GANFORGE_DISABLE_PLUGINS can switch off."""
        return self.distribution.split()[0] != GROUP and not self.file

    @property
    def file(self) -> bool:
        """A single file that the user named."""
        return Path(self.distribution).is_absolute()

    def __str__(self) -> str:
        return f"plugin '{self.name}' (from {self.distribution})"


class Registry:
    """All specs by kind and name, each with the plugin that owns it."""

    def __init__(self, files: Sequence[Path] = (), fallback: Mapping[str, str] | None = None) -> None:
        """Load every plugin; one that fails is kept in `plugins` with its problem and the rest works.

        Args:
            files: single-file plugins the user named; a failure in one of these is an error.
            fallback: entry-point names and modules for a source tree that is not installed.

        Raises:
            GanforgeError: two specs with one name, a hook that does not exist, a named file that fails.
        """
        self.plugins: list[Plugin] = []
        self._manager = pluggy.PluginManager(GROUP)
        self._manager.add_hookspecs(hookspecs)
        self._specs: dict[str, dict[str, tuple[Spec[Any], Plugin]]] = {kind: {} for kind in KINDS}
        for entry, distribution in _entries(fallback or {}):
            self._load(entry, distribution)
        for path, file in {file.absolute(): file for file in files}.items():
            self._register(import_file(file), Plugin(file.stem, str(path)))
        self._check_hook_names()
        for kind in KINDS:
            self._collect(kind)

    def all(self, kind: str) -> dict[str, Any]:
        """Every spec of a kind, sorted by name."""
        return {name: spec for name, (spec, _) in sorted(self._specs[kind].items())}

    def find(self, kind: str, name: str, where: str = "") -> Any:
        """The spec with this name.

        Raises:
            GanforgeError: nobody registered it; the nearest names are given, and the plugins that failed to load.
        """
        if name in self._specs[kind]:
            return self._specs[kind][name][0]
        error = unknown(kind, name, self._specs[kind], where)
        broken = [p for p in self.plugins if p.problem and not p.disabled]
        hint = f" ({broken[0]} failed to load: {broken[0].problem})" if broken else ""
        raise GanforgeError(f"{error}{hint}")

    def owner(self, kind: str, name: str) -> Plugin:
        """The plugin that registered a spec."""
        return self._specs[kind][name][1]

    def add_commands(self, app: Any) -> None:
        """Let plugins add their commands to the command line; one that raises is noted and skipped.

        Raises:
            GanforgeError: a file that the user named raises.
        """
        for plugin, function in self._implementations("ganforge_commands"):
            try:
                function(app)
            except Exception as error:
                self._fail(plugin, error)

    def _load(self, entry: EntryPoint, distribution: str) -> None:
        plugin = Plugin(entry.name, distribution)
        if plugin.stranger and _disabled(entry.name):
            self.plugins.append(replace(plugin, problem=_DISABLED))
            return
        try:
            module = entry.load()
        except Exception as error:
            self.plugins.append(replace(plugin, problem=_reason(error)))
            return
        if (twin := self._manager.get_name(module)) is not None:
            self.plugins.append(replace(plugin, problem=f"{twin} is the same module"))
            return
        self._register(module, plugin)

    def _register(self, module: object, plugin: Plugin) -> None:
        try:
            self._manager.register(module, name=str(plugin))
        except (ValueError, pluggy.PluginValidationError) as error:
            raise GanforgeError(f"{plugin} cannot be registered: {error}") from error
        self.plugins.append(plugin)

    def _check_hook_names(self) -> None:
        try:
            self._manager.check_pending()
        except pluggy.PluginValidationError as error:
            name = self._manager.get_name(error.plugin)
            hooks = {hook: None for hook in dir(hookspecs) if hook.startswith("ganforge_")}
            callers = self._manager.get_hookcallers(error.plugin) or []
            wrong = next(caller.name for caller in callers if not caller.has_spec())
            raise unknown("hook", wrong, hooks, name or "") from None

    def _collect(self, kind: str) -> None:
        hook, wanted = KINDS[kind]
        for plugin, function in self._implementations(hook):
            try:
                offered = _offered(function(), hook, wanted)
            except Exception as error:
                self._fail(plugin, error)
                continue
            for spec in offered:
                self._add(kind, spec, plugin)

    def _add(self, kind: str, spec: Spec[Any], plugin: Plugin) -> None:
        if spec.name in self._specs[kind]:
            owners = [self._specs[kind][spec.name][1], plugin]
            raise GanforgeError(
                f"two plugins register the {kind} '{spec.name}': {owners[0]} and {owners[1]}; {_remedy(owners)}"
            )
        self._specs[kind][spec.name] = (spec, plugin)

    def _implementations(self, hook: str) -> Iterator[tuple[Plugin, Any]]:
        """One by one, because a plugin that fails meanwhile is asked no more."""
        for implementation in getattr(self._manager.hook, hook).get_hookimpls():
            for plugin in [p for p in self.plugins if str(p) == implementation.plugin_name and not p.problem]:
                yield plugin, implementation.function

    def _fail(self, plugin: Plugin, error: Exception) -> None:
        """Leave the whole plugin out: half of one would fail later, and with a worse reason.

        Raises:
            GanforgeError: it is a file, which the user asked for.
        """
        if plugin.file:
            raise GanforgeError(f"{plugin} failed: {_reason(error)}") from error
        self.plugins[self.plugins.index(plugin)] = replace(plugin, problem=_reason(error))
        for kind, owned in self._specs.items():
            self._specs[kind] = {name: (spec, owner) for name, (spec, owner) in owned.items() if owner != plugin}


_DISABLED = "switched off by GANFORGE_DISABLE_PLUGINS"


def _offered(returned: Any, hook: str, wanted: type[Spec[Any]]) -> list[Spec[Any]]:
    """The specs that a hook returned.

    Raises:
        TypeError: it is no list, or something in it is not a spec of the hook's kind with a name.
    """
    rule = f"{hook} must return a list of {wanted.__name__} specs"
    if not isinstance(returned, Iterable):
        raise TypeError(f"{rule}, not {_what(returned)}")
    offered = list(returned)
    for spec in offered:
        if not isinstance(spec, wanted):
            raise TypeError(f"{rule}, but {_what(spec)} is in it")
        if not isinstance(spec.name, str):
            raise TypeError(f"{rule}, but the name of one is {spec.name!r}")
    return offered


def _what(thing: Any) -> str:
    return f"the class {thing.__name__}" if isinstance(thing, type) else f"an object of type {type(thing).__name__}"


def _remedy(owners: Sequence[Plugin]) -> str:
    """What ends a clash of names: only strangers can be switched off."""
    switches = [f"GANFORGE_DISABLE_PLUGINS={plugin.name}" for plugin in owners if plugin.stranger]
    return f"rename one, or switch one off with {' or '.join(switches)}" if switches else "rename one"


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _disabled(name: str) -> bool:
    wanted = os.environ.get("GANFORGE_DISABLE_PLUGINS", "")
    return wanted in ("1", "all") or name in [part.strip() for part in wanted.split(",")]


def _entries(fallback: Mapping[str, str]) -> list[tuple[EntryPoint, str]]:
    """Every entry point of the group once, with its distribution; the fallback stands in for what is not installed."""
    found: dict[tuple[str, str], tuple[EntryPoint, str]] = {}
    for entry in entry_points(group=GROUP):
        distribution = f"{entry.dist.name} {entry.dist.version}" if entry.dist else "an unknown distribution"
        found.setdefault((entry.name, entry.value), (entry, distribution))
    for name, module in fallback.items():
        found.setdefault((name, module), (EntryPoint(name, module, GROUP), "ganforge source tree"))
    return list(found.values())


def import_file(file: Path) -> ModuleType:
    """Import a single-file plugin.

    Raises:
        GanforgeError: no such file, or it raises on import.
    """
    if not file.is_file():
        raise GanforgeError(f"no plugin file {file}")
    spec = importlib.util.spec_from_file_location(f"ganforge_plugin_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise GanforgeError(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise GanforgeError(f"plugin file {file} failed to import: {_reason(error)}") from error
    return module


_default: Registry | None = None


def default_registry() -> Registry:
    """The registry of what is installed, loaded once; what Python calls use when they are given none."""
    global _default
    if _default is None:
        _default = Registry()
    return _default


def set_default_registry(registry: Registry) -> None:
    """Make `registry` the default (the command line does, with the user's single-file plugins)."""
    global _default
    _default = registry
