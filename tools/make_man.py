"""Write the man pages of all commands, made of their own help.

    make_man.py FOLDER

Pages are named as git's are: hellowatch(1), hellowatch-analyze(1). The same sources give the
same pages: they carry the version, and no date.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from sniffer.cli.main import PROGRAM, cli
from sniffer.cli.options import installed_version

PREFORMATTED = "\b"
"""Click's mark of a paragraph whose lines are to stay as they are."""


def main() -> None:
    """Write every page into the folder named on the command line."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for context in contexts(click.Context(cli, info_name=PROGRAM, **cli.context_settings)):
        name = context.command_path.replace(" ", "-")
        (folder / f"{name}.1").write_text(page(context), encoding="utf-8")


def contexts(context: click.Context) -> Iterator[click.Context]:
    """Yield a command and all below it."""
    yield context
    command = context.command
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None:
                yield from contexts(click.Context(inner, parent=context, info_name=name))


def page(context: click.Context) -> str:
    """Return a command's page, as roff."""
    command = context.command
    name = context.command_path.replace(" ", "-")
    first, _, rest = (command.help or "").partition("\n\n")
    usage = " ".join(command.collect_usage_pieces(context))
    lines = [
        f'.TH "{name.upper()}" 1 "" "HelloWatch {installed_version()}" "HelloWatch"',
        ".SH NAME",
        f"{escaped(name)} \\- {escaped(' '.join(first.split()).rstrip('.'))}",
        ".SH SYNOPSIS",
        f".B {escaped(context.command_path)}",
        escaped(usage),
        ".SH DESCRIPTION",
        *paragraphs(f"{first}\n\n{rest}"),
        ".SH OPTIONS",
    ]
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and record[1]:
            lines += [".TP", f".B {escaped(record[0])}", escaped(" ".join(record[1].split()))]
    if command.epilog:
        lines += [".SH NOTES", *paragraphs(command.epilog)]
    lines += [".SH SEE ALSO", *neighbours(context)]
    return "\n".join(lines) + "\n"


def paragraphs(text: str) -> Iterator[str]:
    """Yield help text as roff; a paragraph marked as such keeps its lines."""
    for paragraph in text.strip().split("\n\n"):
        if not paragraph.strip():
            continue
        mark, *kept = paragraph.strip("\n").split("\n")
        yield ".PP"
        if mark.strip() == PREFORMATTED:
            yield ".nf"
            yield from (escaped(line) for line in kept)
            yield ".fi"
        else:
            yield escaped(" ".join(paragraph.split()))


def neighbours(context: click.Context) -> list[str]:
    """Return the pages above and below a command."""
    near = [] if context.parent is None else [context.parent.command_path]
    if isinstance(context.command, click.Group):
        names = context.command.list_commands(context)
        near += [f"{context.command_path} {name}" for name in names]
    return [f".BR {escaped(path.replace(' ', '-'))} (1)" for path in near]


def escaped(text: str) -> str:
    """Return text that roff prints as it is."""
    plain = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{plain}" if plain.startswith((".", "'")) else plain


if __name__ == "__main__":
    main()
