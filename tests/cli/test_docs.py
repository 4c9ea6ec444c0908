"""docs/commands.md and the commands say the same."""

import re
import shlex
from pathlib import Path

import pytest
from program import ROOT, hellowatch

from sniffer.cli.analyze import command as analyze
from sniffer.cli.run import command as run

PAGE = (ROOT / "docs" / "commands.md").read_text()
SHARED, ANALYZE, RUN = re.split(r"^## hellowatch \w+$", PAGE, flags=re.MULTILINE)
EXAMPLES = re.findall(r"^    (hellowatch .*)$", PAGE, flags=re.MULTILINE)


def documented(*sections: str) -> set[str]:
    """Return the options that head a row of a section's tables."""
    found = set()
    for section in sections:
        for row in re.findall(r"^\| (`-.*?) \| ", section, flags=re.MULTILINE):
            found |= set(re.findall(r"`(--?[a-zA-Z][a-z.-]*)", row))
    return found


@pytest.mark.parametrize(("command", "section"), [(analyze, ANALYZE), (run, RUN)])
def test_every_option_is_documented_and_the_reverse(command, section: str) -> None:
    offered = {
        name
        for param in command.params
        if getattr(param, "hidden", False) is False and param.param_type_name == "option"
        for name in param.opts
    }
    assert offered == documented(SHARED, section)


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_run(example: str, tmp_path: Path) -> None:
    arguments = shlex.split(example)[1:]
    (tmp_path / "pcaps").symlink_to(ROOT / "pcaps")
    if arguments[0] == "run":
        arguments += ["--web.listen-address", "127.0.0.1:0"]
    ran = hellowatch(*arguments, cwd=tmp_path)
    assert ran.returncode == (1 if "--fail-on" in arguments else 0), ran.stderr
    assert ran.stdout


def test_exit_codes_are_those_of_the_program() -> None:
    from sniffer import errors

    codes = {value for name, value in vars(errors).items() if name.startswith("EXIT_")}
    assert {int(code) for code in re.findall(r"^\| (\d+) \| ", SHARED, re.MULTILINE)} == codes
