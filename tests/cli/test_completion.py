"""Completion in a shell, and the man pages: both made of the commands themselves."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from program import PROGRAM, ROOT, SECONDS, environment, hellowatch
from terminal import terminal

from sniffer.cli.completion import SHELLS
from sniffer.cli.main import COMMANDS
from sniffer.cli.options import FORMATS


@pytest.fixture
def shell(tmp_path: Path):
    """Return what bash offers behind a line, ``hellowatch`` being found and its script read."""
    program = tmp_path / "bin" / "hellowatch"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.join(PROGRAM)} "$@"\n')
    program.chmod(0o755)
    (tmp_path / "office.pcap").touch()

    def offered(line: str) -> list[str]:
        words = shlex.split(line) + ([""] if line.endswith(" ") else [])
        script = f"""
            set -u
            eval "$(hellowatch completion bash)"
            COMP_WORDS=({shlex.join(words)})
            COMP_CWORD={len(words) - 1}
            _hellowatch_completion hellowatch
            printf '%s\\n' "${{COMPREPLY[@]}}"
            complete -p hellowatch
        """
        ran = subprocess.run(
            ["bash", "--norc", "-c", script],
            cwd=tmp_path,
            env=environment(PATH=f"{program.parent}:/usr/bin:/bin"),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=True,
        )
        # Without a terminal bash says that nothing can be bound to a key.
        assert not [line for line in ran.stderr.splitlines() if "compopt" not in line]
        *told, registered = ran.stdout.splitlines()
        assert registered == "complete -o nosort -F _hellowatch_completion hellowatch"
        return told

    return offered


@pytest.mark.parametrize(
    ("line", "offers"),
    [
        ("hellowatch an", ["analyze"]),
        ("hellowatch ", [*COMMANDS]),
        ("hellowatch analyze --format ", list(FORMATS)),
        ("hellowatch analyze --fail-on leg", ["legacy"]),
        ("hellowatch run --dur", ["--duration"]),
        ("hellowatch run -i lo", ["lo"]),
        ("hellowatch config ", ["check", "show"]),
    ],
)
def test_bash_completes(shell, line: str, offers: list[str]) -> None:
    assert shell(line) == offers


def test_bash_at_a_terminal_completes_files(shell, tmp_path: Path) -> None:
    # The name itself is left to bash, which knows how to quote it.
    assert shell("hellowatch analyze -w off") == [""]
    env = environment(PATH=f"{tmp_path}/bin:/usr/bin:/bin", PS1="> ", TERM="dumb")
    with terminal(["bash", "--norc", "--noprofile", "-i"], tmp_path, env) as screen:
        screen.press('eval "$(hellowatch completion bash)"\nhellowatch analyze off\t')
        screen.wait_for("analyze office.pcap")


@pytest.mark.parametrize("name", SHELLS)
def test_every_shell_gets_a_script_of_its_own(name: str, tmp_path: Path) -> None:
    run = hellowatch("completion", name, cwd=tmp_path)
    assert (run.returncode, run.stderr) == (0, b"")
    assert f"_HELLOWATCH_COMPLETE={name}_complete".encode() in run.stdout


def test_unknown_shell_is_told_which_there_are(tmp_path: Path) -> None:
    run = hellowatch("completion", "tcsh", cwd=tmp_path)
    assert run.returncode == 2
    assert b"'bash', 'zsh', 'fish'" in run.stderr


@pytest.fixture(scope="module")
def man(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the man pages."""
    folder = tmp_path_factory.mktemp("man")
    subprocess.run(
        [sys.executable, ROOT / "tools" / "make_man.py", folder],
        env=environment(),
        timeout=SECONDS,
        check=True,
    )
    return folder


def printed(page: Path) -> str:
    """Return a page as man shows it; groff may have nothing to say about it."""
    ran = subprocess.run(
        ["groff", "-man", "-ww", "-Tascii", "-P-cbou", page],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stderr == ""
    return ran.stdout


def test_every_command_has_a_page(man: Path) -> None:
    pages = {page.stem for page in man.iterdir()}
    assert {"hellowatch", *(f"hellowatch-{name}" for name in COMMANDS)} <= pages
    assert {"hellowatch-config-check", "hellowatch-config-show"} <= pages


def test_pages_are_sound_and_say_what_the_help_says(man: Path, tmp_path: Path) -> None:
    for page in man.iterdir():
        text = printed(page)
        command = page.stem.split("-")[1:]
        told = hellowatch(*command, "--help", cwd=tmp_path).stdout.decode()
        options = set(re.findall(r"(?<![\w-])--?[a-zA-Z][a-z.-]*", told.partition("Options:")[2]))
        assert options <= set(re.findall(r"--?[a-zA-Z][a-z.-]*", text)), page.name
        for head in ("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "SEE ALSO"):
            assert f"\n{head}\n" in text


def test_page_of_analyze_reads_as_a_man_page(man: Path) -> None:
    text = printed(man / "hellowatch-analyze.1")
    assert "hellowatch-analyze - Analyse capture files" in " ".join(text.split())
    assert "  hellowatch analyze --ports any --fail-on legacy archive/\n" in text
    assert "hellowatch(1)" in text
