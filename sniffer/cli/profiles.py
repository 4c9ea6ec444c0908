"""``hellowatch profiles``: what providers accept, how old that is, and what differs."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from sniffer.cli.options import (
    Decorated,
    Lists,
    config_options,
    file_names,
    profile_files,
    profile_folder,
)
from sniffer.cli.output import open_outputs
from sniffer.errors import ConfigError

if TYPE_CHECKING:
    from datetime import date

    from sniffer.judge.profile import CodeList, Profile

STALE_DAYS = 60
"""A profile that nobody looked up for longer is marked."""

EPILOG = """\b
Exit codes:
  0  done      2  wrong usage, or a profile that cannot be used: file, key and why

\b
Examples:
  hellowatch profiles
  hellowatch profiles show exchange-online
  hellowatch profiles diff exchange-online exchange-online-legacy
  hellowatch profiles import our-relay.toml
"""


@click.group("profiles", cls=Lists, epilog=EPILOG)
def command() -> None:
    """Tell what providers accept, by whose word and how old that is; without a word: list."""


def _format(*forms: str) -> Callable[[Decorated], Decorated]:
    return click.option(
        "--format",
        "form",
        metavar="|".join(forms),
        type=click.Choice(forms),
        default=forms[0],
        help=f"Of standard output; default: {forms[0]}.",
    )


@command.command("list")
@_format("table", "json")
@config_options
def list_profiles(form: str, config: str | None) -> None:
    """List the profiles in use, with the days since somebody last looked them up."""
    rows: list[dict[str, Any]] = [
        {
            "name": profile.name,
            "title": profile.title,
            "checked": profile.checked.isoformat(),
            "age_days": _age(profile),
            "is_old": _age(profile) > STALE_DAYS,
            "from": path,
        }
        for profile, path in _in_use(config)
    ]
    if form == "json":
        _print_json(rows)
        return
    wide = max(len(str(row["name"])) for row in rows)
    lines = [
        f"{row['name']:{wide}}  {_checked(row['checked'], row['age_days'])}  {row['title']}"
        + (f"  ({row['from']})" if row["from"] else "")
        for row in rows
    ]
    _print(lines)


@command.command("show")
@click.argument("profile", metavar="NAME|FILE", shell_complete=file_names)
@_format("table", "json", "toml")
@config_options
def show(profile: str, form: str, config: str | None) -> None:
    """Show one profile: who says what is accepted, from when and until when."""
    found, path = _find(profile, config)
    if form == "toml":
        from sniffer.judge.profile import shipped_text

        text = shipped_text(found.name) if path is None else _read(path)
        _print(text.rstrip("\n").split("\n"))
    elif form == "json":
        import msgspec

        _print_json(msgspec.to_builtins(found))
    else:
        _print(_told(found))


@command.command("diff")
@click.argument("one", shell_complete=file_names)
@click.argument("other", shell_complete=file_names)
@_format("table", "json")
@config_options
def diff(one: str, other: str, form: str, config: str | None) -> None:
    """Tell which versions, suites, windows and places differ between two: NAMEs or FILEs."""
    from sniffer.judge.compare import differences

    found = list(differences(_find(one, config)[0], _find(other, config)[0]))
    if form == "json":
        _print_json([difference._asdict() for difference in found])
        return
    lines = []
    for service, what, here, there in found:
        lines.append(f"{service or 'all services'}: {what}")
        lines += [f"  {sign} {said}" for sign, said in (("-", here), ("+", there)) if said]
    _print(lines)


@command.command("import")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, shell_complete=file_names)
@config_options
def import_files(files: tuple[str, ...], config: str | None) -> None:
    """Check profiles, run their samples, and have run and analyze use them from now on."""
    from pathlib import Path

    from sniffer.judge.profile import read_profile
    from sniffer.judge.samples import failures

    known = {profile.name: profile for profile, _ in _in_use(config)}
    taken: dict[str, tuple[Profile, str]] = {}
    for file in files:
        profile = read_profile(Path(file))
        if profile.name in taken:
            raise ConfigError(file, "name", f"{taken[profile.name][1]} has the same name")
        taken[profile.name] = profile, file
    beside = known | {name: profile for name, (profile, _) in taken.items()}
    for profile, file in taken.values():
        for key, why in failures(profile, beside):
            raise ConfigError(file, key, why)
    folder = profile_folder()
    try:
        os.makedirs(folder, 0o700, exist_ok=True)
        for name, (_, file) in taken.items():
            path = os.path.join(folder, f"{name}.toml")
            # Whoever reads it meanwhile gets the old one or the new one.
            shutil.copyfile(file, f"{path}.new")
            os.replace(f"{path}.new", path)
            what = "replaces the one of this name" if name in known else "is new"
            click.echo(f"{path}: {what}", err=True)
    except OSError as error:
        raise ConfigError(folder, "", error.strerror or str(error)) from error


def _in_use(config: str | None) -> "list[tuple[Profile, str | None]]":
    """Return the profiles in use with their files; None: it ships."""
    from pathlib import Path

    from sniffer.config_file import Sources
    from sniffer.judge.profile import load_profiles, read_profile

    judge = Sources(config, {}).load().settings.judge
    files = [Path(file) for file in profile_files(judge)]
    paths = {read_profile(path).name: str(path) for path in files}
    return [(profile, paths.get(name)) for name, profile in load_profiles(files).items()]


def _find(wanted: str, config: str | None) -> "tuple[Profile, str | None]":
    from sniffer.judge.profile import find_profile

    in_use = {profile.name: (profile, path) for profile, path in _in_use(config)}
    if wanted in in_use:
        return in_use[wanted]
    return find_profile(wanted, {name: one for name, (one, _) in in_use.items()}, ""), wanted


def _told(profile: "Profile") -> Iterator[str]:
    """Yield a profile in words."""
    from parsers.tls.names import group, signature_scheme, suite
    from sniffer.config import SERVICES

    yield f"{profile.name}: {profile.title}"
    yield f"{_checked(profile.checked.isoformat(), _age(profile))}; {profile.source}"
    if profile.names is not None:
        yield f"names: {' '.join(profile.names.hosts)}"
    if networks := [network for ranges in profile.ranges for network in ranges.networks]:
        yield f"networks: {' '.join(networks)}"
    for service in SERVICES.values():
        accepts = profile.accepts(service)
        if accepts is None:
            continue
        yield ""
        yield f"{service}: {accepts.minimum_version} or newer; {accepts.source}"
        for name, codes, spell in (
            ("up to TLS 1.1", accepts.suites.tls10, suite),
            ("with TLS 1.2", accepts.suites.tls12, suite),
            ("with TLS 1.3", accepts.suites.tls13, suite),
            ("groups", accepts.groups, group),
            ("signature algorithms", accepts.signature_algorithms, signature_scheme),
        ):
            if codes is not None:
                yield from (f"  {name}, {line}" for line in _codes(codes, spell))
        if accepts.window is not None:
            window = accepts.window
            days = {
                "announced": window.announced,
                "from": window.start_revised or window.start,
                "until": window.end,
            }
            told = ", ".join(f"{word} {day}" for word, day in days.items() if day is not None)
            yield f"  old TLS ends: {told}; {window.source}"
        for notice in profile.notices(service):
            yield f"  {notice.date}: {notice.text}"


def _codes(codes: "CodeList", spell: Any) -> Iterator[str]:  # noqa: ANN401 (names a code point)
    for word, listed in (
        ("taken", codes.accepted),
        ("reported refused", codes.reported_refused),
        ("not documented", codes.undocumented),
    ):
        if listed:
            yield f"{word}: {' '.join(map(spell, listed))}"
    yield "all others: " + ("refused" if codes.exhaustive else "nothing is known")


def _age(profile: "Profile") -> int:
    """Return the days since somebody last looked a profile up, by the clock on the wall."""
    return (_today() - profile.checked).days


def _today() -> "date":
    from datetime import UTC, datetime

    return datetime.now(UTC).date()


def _checked(day: str, age: int) -> str:
    from sniffer.export.words import counted

    mark = ", old: look it up again" if age > STALE_DAYS else ""
    return f"checked {day} ({counted(age, 'day')} ago{mark})"


def _read(path: str) -> str:
    from sniffer.config_file import read_text

    return read_text(path)


def _print_json(told: dict[str, Any] | list[dict[str, Any]]) -> None:
    from sniffer.export.formats import summary_json

    with ExitStack() as stack:
        ((_, out),) = open_outputs(stack, "json", (), [])
        out.write(summary_json(told))
        out.flush()


def _print(lines: "Iterator[str] | list[str]") -> None:
    from sniffer.log import one_line

    with ExitStack() as stack:
        ((_, out),) = open_outputs(stack, "table", (), [])
        for line in lines:
            out.write(one_line(line).encode() + b"\n")
        out.flush()
