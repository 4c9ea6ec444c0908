"""The configuration file and what overrides it, read into the Structs of ``config``.

The command line comes before the environment, that before the file, that before the
default. All mistakes are told at once, each with where it stands, its key, and what is
allowed. A file is applied whole or not at all.
"""

import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Literal, NamedTuple, get_args, get_origin

import msgspec
from msgspec import ValidationError, inspect

from sniffer.config import Settings, mistakes
from sniffer.errors import ConfigError, ConfigErrors

DEFAULT_PATH = "/etc/hellowatch/config.toml"
PREFIX = "HELLOWATCH_"
ENVIRONMENT = "environment"
DEFAULT = "default"
LONGEST_FILE = 1 << 20
"""Octets; what is longer was not written by hand."""

TABLES = [field for field in msgspec.structs.fields(Settings) if get_origin(field.type) is tuple]
"""What the file has as arrays of tables: [[relay]]."""
GROUPS = [field for field in msgspec.structs.fields(Settings) if field not in TABLES]
SECTIONS = [section.name for section in GROUPS]
FILES = {"judge.profiles", "identify.manuf", "web.config_file", "serve.folder"}
"""Settings that name files; in a file they count from its folder."""

NEEDS_RESTART = {
    "watch.interfaces",
    "store.url",
    "store.queue",
    "store.commit_seconds",
    "store.events",
    "store.site",
    "store.hours_days",
    "store.days_days",
    "store.cap_bytes",
    "capture.source",
    "web.listen_address",
    "web.scrapes",
    "daemon.spare_sockets",
    "daemon.reload_sockets",
    "log.format",
    "serve",
}
"""Settings, and sections of them, that nobody at work can change."""
NEEDS_NEW_WORKER = {
    "watch.ports",
    "capture",
    "track",
    "identify.passive",
    "identify.dns",
    "daemon.waiting_bytes",
}
"""Settings, and sections of them, that capturing begins with."""

Options = Mapping[str, tuple[str, Any]]
"""By key: the option of the command line that sets it, and its value."""

Layer = dict[str, tuple[Any, str]]
"""By key: a value, and where it was set."""


class Setting(NamedTuple):
    """One thing that can be set."""

    key: str
    """SECTION.NAME; of an array of tables its name alone."""
    type: Any
    default: Any

    @property
    def allowed(self) -> str:
        """What may stand there, in words."""
        if get_origin(self.type) is Literal:
            return f"one of {', '.join(get_args(self.type))}"
        if "." not in self.key:
            return f"an array of tables: write [[{self.key}]]"
        return _allowed(inspect.type_info(self.type))


def settings_known() -> dict[str, Setting]:
    """Return everything in sections that can be set, by its key."""
    return {
        f"{section.name}.{field.name}": Setting(
            f"{section.name}.{field.name}", field.type, field.default
        )
        for section in GROUPS
        for field in msgspec.structs.fields(section.type)
    }


def tables_known() -> dict[str, Setting]:
    """Return the arrays of tables, by their name."""
    return {table.name: Setting(table.name, table.type, table.default) for table in TABLES}


class Configuration(NamedTuple):
    """The settings in force, and where each was set."""

    settings: Settings
    origins: dict[str, str]
    """By key: ``FILE:LINE``, a variable, an option, or ``default``."""
    path: str | None
    """The file that was read."""

    def error(self, key: str, why: str) -> ConfigError:
        """Return what is to be said of a value that cannot be used."""
        return _error(key, self.origins[key], why)


class Sources(NamedTuple):
    """Where settings are looked for; ``load`` may be called again when they changed."""

    path: str | None
    """The file the user named; None: the usual one, if it is there."""
    options: Options
    environ: Mapping[str, str] = os.environ

    def load(self) -> Configuration:
        """Read all of them. Raises ConfigError, or ConfigErrors for several."""
        known = settings_known() | tables_known()
        errors: list[ConfigError] = []
        path = self.path
        if path is None and os.path.exists(DEFAULT_PATH):
            path = DEFAULT_PATH
        chosen: Layer = {key: (setting.default, DEFAULT) for key, setting in known.items()}
        if path is not None:
            chosen |= _from_file(path, known, errors)
        chosen |= _from_environment(self.environ, known, errors)
        for key, (option, value) in self.options.items():
            chosen[key] = value, option
        configuration = _configuration(chosen, path)
        for key, why in mistakes(configuration.settings):
            errors.append(configuration.error(key, why))
        _raise(errors)
        return configuration


def _configuration(chosen: Layer, path: str | None) -> Configuration:
    tables: dict[str, dict[str, Any]] = {}
    for key, (value, _) in chosen.items():
        section, _, name = key.partition(".")
        tables.setdefault(section, {})[name] = value
    made = {section.name: section.type(**tables[section.name]) for section in GROUPS}
    made |= {table.name: chosen[table.name][0] for table in TABLES}
    return Configuration(
        Settings(**made), {key: origin for key, (_, origin) in chosen.items()}, path
    )


def _raise(errors: list[ConfigError]) -> None:
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise ConfigErrors(errors)


def _error(key: str, origin: str, why: str) -> ConfigError:
    if origin.startswith(PREFIX):
        return ConfigError(ENVIRONMENT, origin, why)
    if origin.startswith("-"):
        return ConfigError(origin, "", why)
    return ConfigError(origin, key, why)


def toml_value(value: object) -> str:
    """Return a setting's value as the file has it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return msgspec.json.encode(value).decode()
    if isinstance(value, tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    return repr(value)


def changes(one: Settings, other: Settings) -> list[str]:
    """Return the keys of what differs."""
    changed = [
        f"{section.name}.{field.name}"
        for section in GROUPS
        for field in msgspec.structs.fields(section.type)
        if getattr(getattr(one, section.name), field.name)
        != getattr(getattr(other, section.name), field.name)
    ]
    return changed + [t.name for t in TABLES if getattr(one, t.name) != getattr(other, t.name)]


def needs_restart(key: str) -> bool:
    """Tell whether a change of this setting is used by the next start alone."""
    return bool({key, key.partition(".")[0]} & NEEDS_RESTART)


def needs_new_worker(key: str) -> bool:
    """Tell whether a change of this setting needs another capturing process."""
    names = {key, key.partition(".")[0]}
    return not needs_restart(key) and bool(names & NEEDS_NEW_WORKER)


# -- the file ------------------------------------------------------------------------------


def read_text(path: str, most: int = LONGEST_FILE) -> str:
    """Return what a file of ours holds. Raises ConfigError, and never waits for a pipe."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ConfigError(path, "", "is no regular file")
            octets = file.read(most + 1)
        if len(octets) > most:
            raise ConfigError(path, "", f"is longer than {most >> 20} MiB")
        return octets.decode()
    except OSError as error:
        raise ConfigError(path, "", error.strerror or str(error)) from error
    except (UnicodeDecodeError, ValueError) as error:
        raise ConfigError(path, "", f"is no text: {error}") from error


def _from_file(path: str, known: Mapping[str, Setting], errors: list[ConfigError]) -> Layer:
    import tomllib

    try:
        text = read_text(path)
        table = tomllib.loads(text)
    except ConfigError as error:
        errors.append(error)
        return {}
    except (ValueError, RecursionError) as error:
        # Not only TOMLDecodeError: a number may be too long, lists too deep.
        errors.append(ConfigError(path, "", f"no TOML: {error}"))
        return {}

    layer: Layer = {}
    lines = dict(_lines(text))
    for key, value in _keys(table):
        place = f"{path}:{lines[key]}" if key in lines else path
        try:
            setting = _find(key, known)
            made = _convert(value, setting, strict=True)
        except ValueError as error:
            errors.append(ConfigError(place, key, str(error)))
            continue
        if key in FILES:
            folder = os.path.dirname(path)
            made = (
                tuple(os.path.join(folder, name) for name in made)
                if isinstance(made, tuple)
                else made and os.path.join(folder, made)
            )
        layer[key] = made, place
    return layer


def _keys(table: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield SECTION.NAME and value; what is in no section by its name alone."""
    for name, value in table.items():
        if isinstance(value, dict) and (value or name in SECTIONS):
            yield from ((f"{name}.{inner}", given) for inner, given in value.items())
        else:
            yield name, value


def _lines(text: str) -> Iterator[tuple[str, int]]:
    """Yield keys and the lines they stand on, as far as they are written plainly."""
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        if found := re.match(r"\s*\[{1,2}\s*([\w.-]+)\s*\]", line):
            section = found[1] + "."
            yield found[1], number
        elif found := re.match(r"\s*([\w-]+(?:\s*\.\s*[\w-]+)*)\s*=", line):
            yield section + re.sub(r"\s", "", found[1]), number


# -- the environment -----------------------------------------------------------------------


def _from_environment(
    environ: Mapping[str, str], known: Mapping[str, Setting], errors: list[ConfigError]
) -> Layer:
    layer: Layer = {}
    for variable, text in sorted(environ.items()):
        if not variable.startswith(PREFIX) or "__" not in variable:
            continue
        section, _, name = variable.removeprefix(PREFIX).lower().partition("__")
        try:
            setting = _find(f"{section}.{name}", known, _variable)
            is_list = isinstance(inspect.type_info(setting.type), inspect.VarTupleType)
            value: Any = [part.strip() for part in text.split(",") if part.strip()]
            made = _convert(value if is_list else text, setting, strict=False)
        except ValueError as error:
            errors.append(ConfigError(ENVIRONMENT, variable, str(error)))
            continue
        layer[setting.key] = made, variable
    return layer


def _variable(key: str) -> str:
    return PREFIX + key.replace(".", "__").upper()


# -- one value -----------------------------------------------------------------------------


def _find(key: str, known: Mapping[str, Setting], spell: Callable[[str], str] = str) -> Setting:
    """Return a setting by its key. Raises ValueError with the keys that are meant perhaps."""
    if key in known:
        return known[key]
    section, dot, name = key.partition(".")
    if key in SECTIONS:
        raise ValueError(f"is a section: write [{key}]")
    if section in SECTIONS:
        meant = get_close_matches(name, [one.partition(".")[2] for one in known])
        near = [one for one in known if one.partition(".")[2] in meant]
        near.sort(key=lambda one: not one.startswith(f"{section}."))
        allowed = ", ".join(one.partition(".")[2] for one in known if one.startswith(f"{section}."))
        what = f"there is no such key; [{section}] has {allowed}"
    else:
        near = [one for one in known if one.partition(".")[2] == (name or section)]
        meant = get_close_matches(section, SECTIONS)
        near += [f"{one}.{name}" for one in meant if f"{one}.{name}" in known]
        what = f"there is no such {'section' if dot else 'key'}; "
        what += f"the sections are {', '.join(SECTIONS)}"
    if near:
        what += f" (did you mean {spell(near[0])}?)"
    raise ValueError(what)


def _convert(value: Any, setting: Setting, *, strict: bool) -> Any:  # noqa: ANN401 (of any type)
    """Return a value of the setting's type. Raises ValueError with what is allowed."""
    try:
        return msgspec.convert(value, setting.type, strict=strict)
    except ValidationError as error:
        why, at, where = str(error).partition(" - at `$")
        if at and isinstance(value, list) and "." not in setting.key:
            raise ValueError(f"{why}, at {setting.key}{where.rstrip('`')}") from None
        raise ValueError(f"{_shown(value)} is not {setting.allowed}") from None


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value)


def _allowed(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.IntType):
        return f"an integer from {kind.ge} to {kind.le}"
    if isinstance(kind, inspect.FloatType):
        least = f"from {kind.ge:g}" if kind.ge is not None else f"above {kind.gt:g}"
        return f"a number {least}, at most {kind.le:g}"
    if isinstance(kind, inspect.BoolType):
        return "true or false"
    if isinstance(kind, inspect.VarTupleType):
        return "a list of texts"
    return "a text"
