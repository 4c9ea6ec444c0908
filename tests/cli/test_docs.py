"""docs/ and the commands say the same."""

import re
import shlex
from pathlib import Path

import click
import pytest
from program import ROOT, hellowatch

from sniffer.cli import output
from sniffer.cli.main import COMMANDS, cli
from sniffer.cli.options import FORMATS

PAGE = (ROOT / "docs" / "commands.md").read_text()
FORMATS_PAGE = (ROOT / "docs" / "formats.md").read_text()
HEADS = re.findall(r"^## (.*)$", PAGE, flags=re.MULTILINE)
SECTIONS = dict(zip(HEADS, re.split(r"^## .*$", PAGE, flags=re.MULTILINE)[1:], strict=True))
SHARED = [head for head in HEADS if head.startswith("Options of ")]
EXAMPLES = re.findall(r"^    (hellowatch .*)$", PAGE, flags=re.MULTILINE)


def loaded(name: str) -> click.Command:
    """Return a command of the program."""
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    return command


def documented(section: str) -> set[str]:
    """Return the options that head a row of a section's tables."""
    rows = re.findall(r"^\| (`-.*?) \| ", SECTIONS[section], flags=re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`(--?[a-zA-Z][a-z.-]*)", row)}


def test_every_command_has_its_section_and_the_reverse() -> None:
    told = [head.removeprefix("hellowatch ") for head in HEADS if head.startswith("hellowatch ")]
    assert sorted(told) == sorted(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_documented_and_the_reverse(name: str) -> None:
    command = loaded(name)
    words = (command, *(command.commands.values() if isinstance(command, click.Group) else ()))
    offered = {
        option
        for word in words
        for param in word.params
        if isinstance(param, click.Option) and not param.hidden
        for option in param.opts
    }
    told = documented(f"hellowatch {name}")
    for section in SHARED:
        if name in re.findall(r"\w+", section):
            assert not told & documented(section)
            told |= documented(section)
    assert offered == told


# What serves until it is told to end is started elsewhere, by tests/serving.py.
@pytest.mark.parametrize("example", [one for one in EXAMPLES if one != "hellowatch serve"])
def test_examples_run(example: str, tmp_path: Path) -> None:
    arguments = shlex.split(example)[1:]
    (tmp_path / "pcaps").symlink_to(ROOT / "pcaps")
    if arguments[0] in ("devices", "handshakes"):
        store = "sqlite:///office.db"
        hellowatch("analyze", "-o", "x", "--store", store, "pcaps/office.pcapng", cwd=tmp_path)
        arguments += ["--store", store]
    if arguments[0] == "run":
        arguments += ["--web.listen-address", "127.0.0.1:0"]
    ran = hellowatch(*arguments, cwd=tmp_path)
    assert ran.returncode == (1 if "--fail-on" in arguments else 0), ran.stderr
    assert ran.stdout or {"-o", "-w"} & set(arguments)


def test_exit_codes_are_those_of_the_program() -> None:
    from sniffer import errors

    codes = {value for name, value in vars(errors).items() if name.startswith("EXIT_")}
    told = re.findall(r"^\| (\d+) \| ", SECTIONS["Exit codes"], re.MULTILINE)
    assert {int(code) for code in told} == codes


def test_every_format_has_its_row_and_the_names_that_ask_for_it() -> None:
    rows = re.findall(r"^\| `(\w+)` \| [^|]* \| ([^|]*) \|", FORMATS_PAGE, re.MULTILINE)
    assert [form for form, _ in rows] == list(FORMATS)
    told = {name: form for form, names in rows for name in re.findall(r"`([\w.]+)`", names)}
    asked = {f".{ending}": form for ending, form in output.ENDINGS.items() if form in FORMATS}
    assert told == asked | output.NAMES


SPINE_AND_WIRE = {
    *(f"B{number}" for number in range(1, 15)),
    *(f"F{number}" for number in range(1, 6)),
    *(f"L{number}" for number in range(1, 7)),
    *("M1", "M2", "M3", "P3"),
}


def test_every_promise_names_tests_that_are_there() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| ")][1:]
    promised = {row.split(" | ")[0].removeprefix("| "): row for row in rows}
    assert promised.keys() >= SPINE_AND_WIRE
    for row in rows:
        named = re.findall(r"`([a-z]+/test_\w+\.py)(?:::(test_\w+))?`", row)
        assert named, row
        for file, test in named:
            source = (ROOT / "tests" / file).read_text()
            assert not test or f"\ndef {test}(" in source, f"{file}::{test}"
