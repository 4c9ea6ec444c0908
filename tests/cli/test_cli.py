"""The command line as a whole: help, versions, what is not built yet, and every wrong use."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from program import OFFICE, ROOT, SECONDS, environment, hellowatch

import parsers
from sniffer.cli.main import COMMANDS, LATER

LOADED = """
import sys
before = set(sys.modules)
from sniffer.cli.main import main
sys.argv = ["hellowatch", *sys.argv[1:]]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print("LOADED", *sorted(set(sys.modules) - before))
"""


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["-h"], *([name, "--help"] for name in (*COMMANDS, *LATER))],
    ids=" ".join,
)
def test_help_loads_the_command_line_library_and_nothing_else(
    arguments: list[str], tmp_path: Path
) -> None:
    run = subprocess.run(
        [sys.executable, "-c", LOADED, *arguments],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
    told, _, loaded = run.stdout.partition("LOADED ")
    assert told.startswith("Usage: hellowatch")
    modules = set(loaded.split())
    foreign = {name.partition(".")[0] for name in modules} - set(sys.stdlib_module_names)
    assert foreign == {"click", "sniffer"}
    ours = {name for name in modules if name.startswith("sniffer.")}
    assert ours <= {
        "sniffer.cli",
        "sniffer.cli.inventory",
        "sniffer.cli.main",
        "sniffer.cli.options",
        "sniffer.cli.output",
        "sniffer.stop",
        "sniffer.errors",
        *(f"sniffer.cli.{name}" for name in COMMANDS),
    }
    assert not modules & {"asyncio", "http.server", "socket", "sqlite3", "logging"}


def test_every_command_of_the_contract_has_its_line_in_the_help(tmp_path: Path) -> None:
    told = hellowatch("--help", cwd=tmp_path).stdout.decode()
    lines = re.findall(r"^  ([a-z]+)  +(\S.*)$", told, re.MULTILINE)
    assert dict(lines) == COMMANDS | LATER
    assert {name for name, _ in lines} == {
        *("run", "analyze", "top", "devices", "handshakes", "watch", "report", "serve"),
        *("probe", "logs", "signins", "leases", "relay", "crosscheck", "profiles"),
        *("setup", "config", "interfaces", "doctor", "assets", "completion"),
    }


def test_version_says_whether_it_is_compiled(tmp_path: Path) -> None:
    run = hellowatch("--version", cwd=tmp_path)
    form = "compiled" if parsers.compiled() else "interpreted, many times slower"
    assert run.returncode == 0
    found = re.fullmatch(r"hellowatch (\S+) \((.*); Python 3\.\d+\.\d+\)\n", run.stdout.decode())
    assert found
    assert found[2] == form


LATER_USES = (
    *([name] for name in LATER),
    ["serve", "users", "add", "NAME", "--role", "viewer"],
    ["probe", "outlook.office365.com:993"],
    *(["relay", what, "--x", "y"] for what in ("stunnel", "haproxy", "postfix", "check", "test")),
    ["assets", "export", "dir"],
    ["run", "-i", "any", "-i", "eth1", "--web"],
    ["run", "--replay", str(OFFICE), "--web"],
    ["run", "-s", "65535"],
    ["run", "--serve.listen-address", "127.0.0.1:10994"],
    ["analyze", "-j", "2", str(OFFICE)],
    ["analyze", "--duration", "10m", str(OFFICE)],
    ["analyze", "--as-of", "2026-12-24", str(OFFICE)],
    ["analyze", "https://192.0.2.1/a.pcap"],
)


@pytest.mark.parametrize("arguments", LATER_USES, ids=lambda a: " ".join(a)[:60])
def test_what_is_promised_and_not_built_says_so(arguments: list[str], tmp_path: Path) -> None:
    run = hellowatch(*arguments, cwd=tmp_path)
    assert (run.returncode, run.stdout) == (2, b"")
    assert b"not built yet" in run.stderr.splitlines()[-1]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["analize"], "Did you mean analyze?"),
        (["device"], "Did you mean devices?"),
        (["analyze", "--prots", "993"], "--ports"),
        (["run", "--replai", "x"], "--replay"),
        (["run", "--web.listen-addres", "x"], "--web.listen-address"),
        (["xyzzy"], "No such command 'xyzzy'"),
        (["analyze", "-Z"], "No such option '-Z'"),
        (["analyze"], "no capture file is named"),
        (["run"], "--replay FILE"),
        (["analyze", "--format"], "requires an argument"),
        (["run", "--replay"], "requires an argument"),
        (["analyze", "--format", "xml", "x"], "none of table, json, ndjson, csv"),
        (["analyze", "--fail-on", "ok", "x"], "'legacy', 'incompatible', 'at-risk'"),
        (["analyze", "--log-format", "xml", "x"], "'text', 'json'"),
        (["analyze", "--color", "blue", "x"], "'auto', 'always', 'never'"),
        (["analyze", "-c", "0", "x"], "x>=1"),
        (["analyze", "-c", "many", "x"], "'many'"),
        (["run", "--duration", "soon", "--replay", "x"], "write 90, 90s, 10m, 2h or 1d"),
        (["run", "--duration", "nan", "--replay", "x"], "write 90, 90s, 10m, 2h or 1d"),
        (["run", "--duration", "9" * 40, "--replay", "x"], "longer than"),
        (["run", "left-over"], "left-over"),
        ([], "Usage: hellowatch"),
    ],
    ids=lambda a: " ".join(a)[:60] if isinstance(a, list) else None,
)
def test_wrong_use_is_two_and_says_what_was_meant(
    arguments: list[str], hint: str, tmp_path: Path
) -> None:
    run = hellowatch(*arguments, cwd=tmp_path)
    assert (run.returncode, run.stdout) == (2, b"")
    assert hint in run.stderr.decode()


WRONG_VALUES = [
    (["--ports", "99999"], "--ports: '99999' is no port: write 1 to 65535, or any"),
    (["--ports", ""], "--ports: '' is no port: write 1 to 65535, or any"),
    (["--ports", "993;995"], "--ports: '993;995' is no port: write 1 to 65535, or any"),
    (["--ports", "993/mail"], "--ports: 'mail' is no service: one of imaps, pop3s, smtps, imap"),
    (["--profile", "nobody"], "--profile: 'nobody' is neither a file nor one of exchange-online"),
    (["--profile", "none.toml"], "none.toml: No such file or directory"),
    (["--profile", "random"], "random: no TOML"),
    (["--profile", "half.toml"], "half.toml: "),
    (["--profile", "more.toml"], "more.toml: surprise"),
    (["--tz", "Mars/Olympus"], "--tz: 'Mars/Olympus' is no time zone known here: write UTC"),
    (["--tz", ""], "--tz: '' is no time zone known here: write UTC"),
    (["--tz", "../../etc/passwd"], "--tz: '../../etc/passwd' is no time zone known here"),
    (["--store", "mysql://x"], "--store: 'mysql://x' is no store: write sqlite:///PATH or"),
    (["--store", "sqlite:///"], "--store: 'sqlite:///' is no store"),
    (["-o", "none/out.json"], "-o: none/out.json: cannot be written (No such file or directory)"),
    (["-o", "folder"], "-o: folder: cannot be written (Is a directory)"),
    (["-o", ""], "-o: cannot be written (No such file or directory)"),
    (["-o", "a\nb/out"], "-o: a\\x0ab/out: cannot be written (No such file or directory)"),
    (["-o", "out", "-o", "json:./out"], "-o: ./out: is written to already"),
    (["--format", "csv", "-o", "json:-"], "-o: -: is written to already"),
    (["-o", str(OFFICE)], f"-o: {OFFICE}: is an input; it would be overwritten"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with everything that is no capture."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty").touch()
    (tmp_path / "random").write_bytes(bytes(range(255, 0, -1)) * 40)
    (tmp_path / "text.pcap").write_text("Dear Sir or Madam, \n" * 40)
    (tmp_path / "packed.lz4").write_bytes(b"\x04\x22\x4d\x18" + bytes(100))
    (tmp_path / "short").write_bytes(OFFICE.read_bytes()[:20])
    (tmp_path / "half.toml").write_text('name = "half"\n')
    exchange = ROOT / "sniffer" / "judge" / "profiles" / "exchange-online.toml"
    (tmp_path / "more.toml").write_text("surprise = 1\n" + exchange.read_text())
    return tmp_path


@pytest.mark.parametrize(("options", "line"), WRONG_VALUES, ids=lambda x: str(x)[:40])
@pytest.mark.parametrize("command", ["analyze", "run"])
def test_wrong_value_is_one_line_with_key_and_what_to_write(
    command: str, options: list[str], line: str, folder: Path
) -> None:
    capture = ["--replay", str(OFFICE)] if command == "run" else [str(OFFICE)]
    before = OFFICE.read_bytes()
    run = hellowatch(command, *options, *capture, cwd=folder)
    told = run.stderr.decode()
    assert (run.returncode, run.stdout) == (2, b""), told
    assert told.count("\n") == 1
    assert told.startswith(f"hellowatch: {line}")
    assert OFFICE.read_bytes() == before


NO_CAPTURES = [
    ("none.pcap", "none.pcap: cannot be opened (No such file or directory)"),
    ("empty", "empty: is empty"),
    ("random", "random: is neither a pcap nor a pcapng file"),
    ("text.pcap", "text.pcap: is neither a pcap nor a pcapng file"),
    ("packed.lz4", "packed.lz4: is packed with lz4; unpack it first: lz4 -dc packed.lz4 |"),
    ("short", "short: is cut short within its header at offset 20"),
    ("/dev/null", "/dev/null: is a device or socket, not a capture file"),
    ("/dev/zero", "/dev/zero: is a device or socket, not a capture file"),
    ("a\nb\x1b", "a\\x0ab\\x1b: cannot be opened (No such file or directory)"),
    (b"caf\xe9", "caf\\xe9: cannot be opened (No such file or directory)"),
    ("./-x", "./-x: cannot be opened (No such file or directory)"),
    ("x" * 300, "cannot be opened (File name too long)"),
]


@pytest.mark.parametrize(("path", "line"), NO_CAPTURES, ids=lambda x: str(x)[:40])
@pytest.mark.parametrize("command", ["analyze", "run"])
def test_no_capture_is_one_line_with_path_and_reason(
    command: str, path: str | bytes, line: str, folder: Path
) -> None:
    read: list[str | bytes] = ["--replay", path] if command == "run" else [path]
    run = hellowatch(command, *read, "--format", "ndjson", cwd=folder)
    told = run.stderr.decode()
    assert (run.returncode, run.stdout) == (3, b""), told
    assert told.count("\n") == 1
    assert line in told


def test_directory_without_a_file_says_so(folder: Path) -> None:
    run = hellowatch("analyze", "folder", cwd=folder)
    assert run.returncode == 3
    assert b"folder: is a directory without a file in it" in run.stderr
    run = hellowatch("run", "--replay", "folder", cwd=folder)
    assert run.returncode == 3
    assert b"folder: is a directory, not a capture file" in run.stderr


@pytest.mark.parametrize("octets", [b"", b"\x00" * 100, OFFICE.read_bytes()[:60]], ids=len)
def test_standard_input_that_is_no_capture_is_one_line(octets: bytes, tmp_path: Path) -> None:
    run = hellowatch("analyze", "-", cwd=tmp_path, stdin=octets)
    assert run.returncode == 3
    assert run.stderr.count(b"\n") == 1


def test_full_disk_is_one_line_that_names_the_output(tmp_path: Path) -> None:
    for options in ([], ["--format", "table"], ["--format", "json"], ["--format", "csv"]):
        with open("/dev/full", "wb") as full:
            run = subprocess.run(
                [sys.executable, "-m", "sniffer.cli.main", "analyze", *options, str(OFFICE)],
                cwd=tmp_path,
                env=environment(),
                stdout=full,
                stderr=subprocess.PIPE,
                timeout=SECONDS,
                check=False,
            )
        assert run.returncode == 3
        assert run.stderr == b"hellowatch: standard output: No space left on device\n"
    run = hellowatch("analyze", "-o", "csv:/dev/full", OFFICE, cwd=tmp_path)
    assert (run.returncode, run.stdout) == (3, b"")
    assert run.stderr == b"hellowatch: /dev/full: No space left on device\n"


@pytest.mark.parametrize(
    ("closed", "arguments", "code"),
    [
        (">&-", f"analyze {OFFICE}", 3),
        (">&-", f"analyze -o out.csv {OFFICE}", 0),
        (">&-", f"analyze --format table {OFFICE}", 3),
        ("2>&-", "analyze nothing", 3),
        ("2>&-", f"analyze {OFFICE}", 0),
        ("<&-", "analyze -", 3),
        ("<&- >&- 2>&-", f"analyze -o out.csv {OFFICE}", 0),
    ],
)
def test_closed_standard_streams_break_nothing(
    closed: str, arguments: str, code: int, tmp_path: Path
) -> None:
    run = subprocess.run(
        ["sh", "-c", f'exec "$0" -m sniffer.cli.main {arguments} {closed}', sys.executable],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    assert run.returncode == code, run.stderr
    assert b"Traceback" not in run.stderr
    if "out.csv" in arguments:
        assert (tmp_path / "out.csv").read_bytes().startswith(b"@timestamp,")


def test_help_into_a_closed_pipe_ends_quietly(tmp_path: Path) -> None:
    run = subprocess.run(
        [
            "bash",
            "-c",
            '"$0" -m sniffer.cli.main --help | true; exit ${PIPESTATUS[0]}',
            sys.executable,
        ],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    assert run.stderr == b""
    assert run.returncode in (0, 141)  # it may have been done before the reader went


def test_own_mistake_is_one_line_too(tmp_path: Path) -> None:
    broken = """
import sys
import sniffer.analysis
def expand(paths):
    raise LookupError("none \\x1b[31m")
sniffer.analysis.expand = expand
sys.argv = ["hellowatch", "analyze", "x"]
from sniffer.cli.main import main
main()
"""
    run = subprocess.run(
        [sys.executable, "-c", broken],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert run.returncode == 3
    assert run.stderr == (
        "hellowatch: a mistake of HelloWatch itself: LookupError: none \\x1b[31m "
        "(<string>:5); please report this line\n"
    )


def test_missing_package_is_told_with_its_cure(tmp_path: Path) -> None:
    broken = """
import sys
sys.modules["sqlalchemy"] = None
sys.argv = ["hellowatch", "devices", "list", "--store", "sqlite:///none.db"]
from sniffer.cli.main import main
main()
"""
    run = subprocess.run(
        [sys.executable, "-c", broken],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert run.returncode == 3
    assert run.stderr == (
        "hellowatch: the Python package sqlalchemy is missing, so this installation is not "
        "whole; install it again: pip install --force-reinstall hellowatch\n"
    )
