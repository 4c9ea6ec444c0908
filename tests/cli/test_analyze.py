"""``hellowatch analyze`` from outside: what goes in, what comes out, where, and which code."""

import csv
import fcntl
import gzip
import io
import json
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import threading
import time
from pathlib import Path
from typing import Any

import craft
import discovering
import pytest
from jsonschema import Draft202012Validator
from packing import File, archive, zst
from program import OFFICE, PROGRAM, ROOT, SECONDS, environment, hellowatch, running

from sniffer.cli.options import FORMATS

SCHEMA = Draft202012Validator(
    json.loads((ROOT / "sniffer" / "export" / "event.schema.json").read_bytes())
)
WHOLE = OFFICE.read_bytes()
CUT = WHOLE[:30_000]

Event = dict[str, Any]


def events(octets: bytes) -> list[Event]:
    """Read NDJSON, each line checked against the schema."""
    told = [json.loads(line) for line in octets.decode().splitlines()]
    for event in told:
        SCHEMA.validate(event)
    return told


def frames(told: list[Event]) -> list[int]:
    """Return the frame of each event."""
    return [event["hellowatch"]["frame"] for event in told]


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return standard output of the office capture in each format."""
    folder = tmp_path_factory.mktemp("office")
    told = {}
    for form in FORMATS:
        run = hellowatch("analyze", "--format", form, OFFICE, cwd=folder)
        assert (run.returncode, run.stderr) == (0, b"")
        told[form] = run.stdout
    return told


# ------------------------------------------------------------------------------- the formats


def test_ndjson_is_an_event_a_line_in_order_of_frames(office: dict[str, bytes]) -> None:
    told = events(office["ndjson"])
    wanted = (ROOT / "pcaps" / "office.expected.ndjson").read_text().splitlines()
    assert frames(told) == frames([json.loads(line) for line in wanted])
    assert frames(told) == sorted(frames(told))
    assert len({event["hellowatch"]["id"] for event in told}) == len(told)
    assert {event["log"]["file"]["path"] for event in told} == {str(OFFICE)}


def test_csv_has_a_row_for_each_event(office: dict[str, bytes]) -> None:
    rows = list(csv.DictReader(io.StringIO(office["csv"].decode(), newline="")))
    told = events(office["ndjson"])
    assert [row["hellowatch.id"] for row in rows] == [e["hellowatch"]["id"] for e in told]
    assert [row["source.ip"] for row in rows] == [e["source"]["ip"] for e in told]
    assert [row["hellowatch.verdict"] for row in rows] == [e["hellowatch"]["verdict"] for e in told]


def test_json_is_the_summary_with_every_key(office: dict[str, bytes]) -> None:
    told = json.loads(office["json"])
    assert told.keys() >= {"inputs", "coverage", "profile", "totals", "devices"}
    assert told["inputs"] == [
        {"path": str(OFFICE), "format": "pcapng", "status": "ok", "frames": 1094, "problem": None}
    ]
    assert told["coverage"].keys() >= {"frames", "bytes", "flows", "one_sided_flows", "fit", "why"}
    assert isinstance(told["coverage"]["fit"], bool)
    for device in told["devices"]:
        assert device.keys() >= {
            *("id", "ip", "mac", "vendor", "names", "place", "owner", "class", "status"),
            *("first_seen", "last_seen", "onset", "clients_at_least", "stacks", "will_break"),
            *("breaks", "notices", "why", "next_step"),
        }
        assert isinstance(device["vendor"], str)
        assert (device["class"] is None) == (not device["class_evidence"])
        assert device["owner"] is None
        assert device["why"].endswith(".")
        assert device["breaks"] is None or device["breaks"].keys() == {
            *("when", "from", "until", "source"),
        }
        for stack in device["stacks"]:
            assert stack.keys() >= {
                *("ja4", "max_offered", "verdict", "services", "destinations", "outcomes"),
                *("first_seen", "last_seen", "evidence"),
            }
            assert stack["evidence"]["first"].keys() == {"path", "frame"}
            for destination in stack["destinations"]:
                assert destination.keys() == {"ip", "port", "name", "class", "hellos"}


def test_sums_of_the_summary_are_those_of_the_events(office: dict[str, bytes]) -> None:
    summary = json.loads(office["json"])
    told = events(office["ndjson"])
    totals = summary["totals"]
    assert totals["hellos"] == len(told)
    for kind, value in {
        "by_max_offered": lambda e: e["hellowatch"].get("max_offered", "unknown"),
        "by_verdict": lambda e: e["hellowatch"]["verdict"],
        "by_outcome": lambda e: e["hellowatch"]["outcome"],
        "by_service": lambda e: e["network"]["protocol"],
    }.items():
        assert sum(totals[kind].values()) == len(told)
        for name, count in totals[kind].items():
            assert count == sum(value(event) == name for event in told), (kind, name)
    for device in summary["devices"]:
        own = [event for event in told if event["source"]["ip"] == device["ip"]]
        assert sum(sum(stack["outcomes"].values()) for stack in device["stacks"]) == len(own)
        destinations = [d["hellos"] for stack in device["stacks"] for d in stack["destinations"]]
        assert sum(destinations) == len(own)
    assert sum(device["hellos"] for device in summary["devices"]) == len(told)


def test_summary_is_sorted(office: dict[str, bytes]) -> None:
    devices = json.loads(office["json"])["devices"]
    addresses = [tuple(int(part) for part in d["ip"].split(".")) for d in devices if "." in d["ip"]]
    assert addresses == sorted(addresses)
    for device in devices:
        seen = [stack["first_seen"] for stack in device["stacks"]]
        assert seen == sorted(seen)


def test_table_names_every_device_and_what_could_be_seen(office: dict[str, bytes]) -> None:
    told = office["table"].decode()
    for device in json.loads(office["json"])["devices"]:
        assert re.search(rf"^{re.escape(device['ip'])}\b", told, re.MULTILINE)
    assert "Old TLS (1.0)" in told
    assert "What we could see" in told
    assert "\x1b" not in told
    assert all(line == line.rstrip() for line in told.splitlines())


def test_same_input_gives_the_same_bytes(office: dict[str, bytes], tmp_path: Path) -> None:
    for form, told in office.items():
        env = {"PYTHONHASHSEED": "7"}
        run = hellowatch("analyze", "--format", form, OFFICE, cwd=tmp_path, env=env)
        assert run.stdout == told


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_data_do_not_depend_on_the_locale(
    encoding: str, office: dict[str, bytes], tmp_path: Path
) -> None:
    env = {"PYTHONIOENCODING": encoding, "LC_ALL": "C"}
    for form in ("json", "table"):
        run = hellowatch("analyze", "--format", form, OFFICE, cwd=tmp_path, env=env)
        assert run.stdout == office[form]


def test_times_of_a_table_are_those_of_the_zone(tmp_path: Path) -> None:
    told = {
        zone: hellowatch("analyze", "--format=table", f"--tz={zone}", OFFICE, cwd=tmp_path, env=env)
        for zone, env in {
            "utc": {},
            "Asia/Tokyo": {},
            "local": {"TZ": "America/New_York"},
        }.items()
    }
    assert {run.returncode for run in told.values()} == {0}
    names = {zone: re.search(r"to \S+ \S+ (\w+)\)", r.stdout.decode()) for zone, r in told.items()}
    assert {zone: found and found[1] for zone, found in names.items()} == {
        "utc": "UTC",
        "Asia/Tokyo": "JST",
        "local": "EST",
    }


# --------------------------------------------------------------------------------- the inputs


def test_packed_piped_and_renamed_captures_say_the_same(
    office: dict[str, bytes], tmp_path: Path
) -> None:
    (tmp_path / "office.pcapng.gz").write_bytes(gzip.compress(WHOLE, mtime=0))
    (tmp_path / "no-suffix").write_bytes(WHOLE)
    wanted = [event["hellowatch"] for event in events(office["ndjson"])]
    for arguments, stdin in (
        (["-"], WHOLE),
        (["-"], gzip.compress(WHOLE, mtime=0)),
        (["office.pcapng.gz"], None),
        (["-r", "no-suffix"], None),
        (["./no-suffix"], None),
    ):
        run = hellowatch("analyze", *arguments, cwd=tmp_path, stdin=stdin)
        assert (run.returncode, run.stderr) == (0, b"")
        # The id does not depend on the path, so an overlap can be told later.
        assert [event["hellowatch"] for event in events(run.stdout)] == wanted


def test_several_files_are_told_one_after_the_other(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(WHOLE)
    (tmp_path / "b").write_bytes(WHOLE)
    run = hellowatch("analyze", "b", "-r", "a", "-o", "all.json", "--format=ndjson", cwd=tmp_path)
    paths = [event["log"]["file"]["path"] for event in events(run.stdout)]
    assert paths == ["a"] * 63 + ["b"] * 63
    told = json.loads((tmp_path / "all.json").read_bytes())
    assert [entry["path"] for entry in told["inputs"]] == ["a", "b"]
    assert told["totals"]["hellos"] == 126
    assert told["coverage"]["frames"] == 2 * 1094


def test_directory_is_read_by_path_and_deep(tmp_path: Path) -> None:
    for path in ("d/z.pcapng", "d/a/y.pcapng", "d/b/c/x.pcapng", "d/b.pcapng"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(WHOLE)
    (tmp_path / "d" / "link").symlink_to(tmp_path / "d")
    (tmp_path / "d" / "other").symlink_to(OFFICE)
    os.mkfifo(tmp_path / "d" / "fifo")
    run = hellowatch("analyze", "--format", "json", "d", cwd=tmp_path)
    assert (run.returncode, run.stderr) == (0, b"")
    assert [entry["path"] for entry in json.loads(run.stdout)["inputs"]] == [
        "d/a/y.pcapng",
        "d/b.pcapng",
        "d/b/c/x.pcapng",
        "d/z.pcapng",
    ]


def test_directory_with_more_than_captures_is_four(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "README").write_text("captures of Monday and Tuesday, both floors\n")
    (tmp_path / "d" / "a.pcapng").write_bytes(WHOLE)
    run = hellowatch("analyze", "--format", "json", "d", cwd=tmp_path)
    assert run.returncode == 4
    assert b"d/README: is neither a pcap nor a pcapng file" in run.stderr
    assert [i["status"] for i in json.loads(run.stdout)["inputs"]] == ["failed", "ok"]


def test_archive_is_an_input_for_each_capture_in_it(
    office: dict[str, bytes], tmp_path: Path
) -> None:
    talk = craft.Conversation(client="10.0.0.51").open().client(craft.client_hello()).frames()
    small = craft.pcap(talk)
    files = [File("README.txt", b"both floors, Monday and Tuesday"), File("mon/office", WHOLE)]
    place = len(small) - 16 - len(talk[-1][1])
    files += [File("tue.pcap.zst", zst(small)), File("cut", small[:-1])]
    (tmp_path / "week.zip").write_bytes(archive(*files))
    run = hellowatch("analyze", "-o", "all.json", "--format=ndjson", "week.zip", cwd=tmp_path)
    assert run.returncode == 4
    told = json.loads((tmp_path / "all.json").read_bytes())
    assert [(i["path"], i["format"], i["status"], i["problem"]) for i in told["inputs"]] == [
        ("week.zip:README.txt", None, "failed", "is neither a pcap nor a pcapng file"),
        ("week.zip:mon/office", "zip:pcapng", "ok", None),
        ("week.zip:tue.pcap.zst", "zip:zst:pcap", "ok", None),
        (
            "week.zip:cut",
            "zip:pcap",
            "partial",
            f"the file is cut short: a record does not end at offset {place}",
        ),
    ]
    found = events(run.stdout)
    assert told["totals"]["hellos"] == len(found) == 64
    assert [event["hellowatch"] for event in found[:63]] == [
        event["hellowatch"] for event in events(office["ndjson"])
    ]
    assert found[-1]["log"]["file"]["path"] == "week.zip:tue.pcap.zst"
    run = hellowatch("run", "--replay", "week.zip", "--duration", "0", cwd=tmp_path)
    assert run.returncode == 3
    assert b"week.zip:README.txt: is neither a pcap nor a pcapng file" in run.stderr


def test_losses_of_the_capturer_are_told_and_make_it_unfit(tmp_path: Path) -> None:
    talk = craft.Conversation().open().client(craft.client_hello()).server(craft.alert())
    lossy = craft.Section().interface().packets(talk.frames())
    (tmp_path / "lossy.pcapng").write_bytes(bytes(lossy.statistics(craft.START_NS, 900, 80)))
    (tmp_path / "lossy.snoop").write_bytes(craft.snoop(talk.frames(), drops=2))
    arguments = ["--format", "json", "lossy.pcapng", "lossy.snoop"]
    told = json.loads(hellowatch("analyze", *arguments, cwd=tmp_path).stdout)
    frames = len(talk.frames())
    assert told["coverage"]["dropped_frames"] == 80 + 2 * frames
    assert told["coverage"]["fit"] is False
    assert "of the frames were dropped" in told["coverage"]["why"]
    with running("--replay", "lossy.pcapng", cwd=tmp_path) as run:
        run.wait_until_replayed()
        _, page = run.get("/metrics")
    name = 'hellowatch_frames_{}_total{{interface="lossy.pcapng"}}'
    assert f"{name.format('dropped')} 80.0" in page
    assert f"{name.format('received')} {80.0 + frames}" in page


def test_path_that_is_no_text_is_told_harmlessly(tmp_path: Path) -> None:
    name = b"caf\xe9\x1b[31m.pcapng"
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(WHOLE)
    for form in ("ndjson", "csv", "json", "table"):
        run = hellowatch("analyze", "--format", form, name, cwd=tmp_path)
        assert (run.returncode, run.stderr) == (0, b"")
        assert b"\x1b" not in run.stdout
        run.stdout.decode()
        assert form == "table" or b"caf\\xe9" in run.stdout.replace(b"\\\\", b"\\")


# -------------------------------------------------------------------------------- the outputs


def test_outputs_take_their_format_by_prefix_or_name(
    office: dict[str, bytes], tmp_path: Path
) -> None:
    outputs = {
        "csv:one": "csv",
        "json:two.csv": "json",
        "three.csv": "csv",
        "four.json": "json",
        "five.txt": "table",
        "six.ndjson": "ndjson",
        "seven": "ndjson",
        "table:eight": "table",
        "odd:nine.json": "json",
        "zeek:ten": "zeek",
        "d/ssl.log": "zeek",
        "eve:eleven.csv": "eve",
        "d/eve.json": "eve",
    }
    options = [part for text in outputs for part in ("-o", text)]
    (tmp_path / "d").mkdir()
    run = hellowatch("analyze", *options, OFFICE, cwd=tmp_path)
    assert (run.returncode, run.stdout, run.stderr) == (0, b"", b"")
    for text, form in outputs.items():
        prefix, _, path = text.rpartition(":")
        written = (tmp_path / (text if prefix == "odd" else path)).read_bytes()
        assert written == office[form], text


def test_format_and_output_together_give_both(office: dict[str, bytes], tmp_path: Path) -> None:
    run = hellowatch("analyze", "--format", "table", "-o", "x.csv", OFFICE, cwd=tmp_path)
    assert run.stdout == office["table"]
    assert (tmp_path / "x.csv").read_bytes() == office["csv"]
    run = hellowatch("analyze", "-o", "json:-", "-o", "x.csv", OFFICE, cwd=tmp_path)
    assert run.stdout == office["json"]


def test_pipe_gets_ndjson_and_terminal_gets_the_table(
    office: dict[str, bytes], tmp_path: Path
) -> None:
    assert hellowatch("analyze", OFFICE, cwd=tmp_path).stdout == office["ndjson"]
    told, _, code = on_terminal("analyze", str(OFFICE), cwd=tmp_path)
    assert code == 0
    assert "What we could see" in told


@pytest.mark.parametrize("output", ["a.pcapng", "d/b.pcapng", "link", "csv:d/../a.pcapng", "hard"])
def test_input_is_never_overwritten(output: str, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    for path in ("a.pcapng", "d/b.pcapng"):
        (tmp_path / path).write_bytes(WHOLE)
    (tmp_path / "link").symlink_to("a.pcapng")
    (tmp_path / "hard").hardlink_to(tmp_path / "a.pcapng")
    run = hellowatch("analyze", "-o", output, "a.pcapng", "d", cwd=tmp_path)
    assert (run.returncode, run.stdout) == (2, b"")
    assert b"is an input; it would be overwritten" in run.stderr
    for path in ("a.pcapng", "d/b.pcapng"):
        assert (tmp_path / path).read_bytes() == WHOLE


def test_output_among_the_inputs_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a.pcapng").write_bytes(WHOLE)
    run = hellowatch("analyze", "-o", "d/b.json", "d", cwd=tmp_path)
    assert (run.returncode, run.stderr) == (0, b"")
    inputs = json.loads((tmp_path / "d" / "b.json").read_bytes())["inputs"]
    assert [entry["path"] for entry in inputs] == ["d/a.pcapng"]


def test_frames_of_handshakes_are_written_beside_the_rest(
    office: dict[str, bytes], tmp_path: Path
) -> None:
    options = ["-w", "frames", "-o", "x.csv", "--format", "json"]
    run = hellowatch("analyze", *options, OFFICE, cwd=tmp_path)
    assert (run.returncode, run.stdout, run.stderr) == (0, office["json"], b"")
    assert (tmp_path / "x.csv").read_bytes() == office["csv"]
    again = hellowatch("analyze", "frames", cwd=tmp_path)
    assert [event["hellowatch"]["id"] for event in events(again.stdout)] == [
        event["hellowatch"]["id"] for event in events(office["ndjson"])
    ]


def test_frames_go_into_a_pipe_as_tcpdumps_do(tmp_path: Path) -> None:
    run = hellowatch("analyze", "-w", "-", "-c", "3", OFFICE, cwd=tmp_path)
    assert (run.returncode, run.stderr) == (0, b"")
    read = subprocess.run(
        ["tcpdump", "-nr", "-", "tcp[tcpflags] & tcp-syn != 0"],
        input=run.stdout,
        capture_output=True,
        check=True,
    )
    assert read.stdout.count(b"Flags [S]") == 3
    _, told, code = on_terminal("analyze", "-w", "-", str(OFFICE), cwd=tmp_path)
    assert code == 2
    assert "-w -: standard output is a terminal" in told


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["-w", "a.pcapng"], "-w: a.pcapng: is an input; it would be overwritten"),
        (["-w", "link"], "-w: link: is an input; it would be overwritten"),
        (["-w", "x", "-o", "csv:x"], "-w: x: is written to already"),
        (["-w", "-", "--format", "csv"], "-w: -: is written to already"),
        (["-w", "none/x"], "-w: none/x: cannot be written (No such file or directory)"),
    ],
)
def test_frames_overwrite_nothing(options: list[str], why: str, tmp_path: Path) -> None:
    (tmp_path / "a.pcapng").write_bytes(WHOLE)
    (tmp_path / "link").symlink_to("a.pcapng")
    run = hellowatch("analyze", *options, "a.pcapng", cwd=tmp_path)
    assert (run.returncode, run.stdout) == (2, b"")
    assert run.stderr.decode() == f"hellowatch: {why}\n"
    assert (tmp_path / "a.pcapng").read_bytes() == WHOLE


def test_full_disk_leaves_a_capture_of_whole_frames(tmp_path: Path) -> None:
    # As the kernel tells a disk that is full, by a bound that needs no disk.
    command = ["prlimit", "--fsize=20000", *PROGRAM, "analyze", "-w", "frames", str(OFFICE)]
    run = subprocess.run(
        [*command, "-o", "/dev/null"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    assert (run.returncode, run.stderr) == (3, b"hellowatch: frames: File too large\n")
    again = hellowatch("analyze", "frames", cwd=tmp_path)
    assert (again.returncode, again.stderr) == (0, b"")
    assert events(again.stdout)


def test_count_ends_after_as_many_events(office: dict[str, bytes], tmp_path: Path) -> None:
    lines = office["ndjson"].splitlines(keepends=True)
    for count in (1, 10, 62, 63, 64):
        options = ["-c", str(count), "--format", "ndjson", "-o", "s.json"]
        run = hellowatch("analyze", *options, OFFICE, cwd=tmp_path)
        assert run.returncode == 0
        assert run.stdout == b"".join(lines[:count])
        told = json.loads((tmp_path / "s.json").read_bytes())
        assert told["totals"]["hellos"] == min(count, 63)
    run = hellowatch("analyze", "-c", "70", OFFICE, OFFICE, OFFICE, cwd=tmp_path)
    assert len(events(run.stdout)) == 70


# -------------------------------------------------------------------------------- what is told


def test_warnings_go_to_stderr_as_asked(tmp_path: Path) -> None:
    (tmp_path / "cut.pcapng").write_bytes(CUT)
    plain = hellowatch("analyze", "cut.pcapng", cwd=tmp_path)
    line = rb"\S+Z WARNING cut\.pcapng: the file is cut short: .* at offset \d+\n"
    assert re.fullmatch(line, plain.stderr)
    quiet = hellowatch("analyze", "-q", "cut.pcapng", cwd=tmp_path)
    assert (quiet.returncode, quiet.stderr) == (4, b"")
    assert quiet.stdout == plain.stdout
    told = hellowatch("analyze", "-v", "cut.pcapng", cwd=tmp_path)
    assert b"INFO A capture was read path=cut.pcapng frames=" in told.stderr
    assert told.stdout == plain.stdout
    arguments = ["-vv", "--log-format", "json", "--store", "sqlite:///x.db", "cut.pcapng", "none"]
    as_json = hellowatch("analyze", *arguments, cwd=tmp_path)
    lines = [json.loads(line) for line in as_json.stderr.splitlines()]
    assert [line["log.level"] for line in lines] == ["info", "warning", "error"]


def on_terminal(
    *arguments: str, cwd: Path, stdin: bytes | None = None, **env: str
) -> tuple[str, str, int]:
    """Run with stdout and stderr each on a terminal of its own; return both and the code."""
    ends = [pty.openpty() for _ in range(2)]
    for _, end in ends:
        fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
    process = subprocess.Popen(
        [*PROGRAM, *arguments],
        cwd=cwd,
        env=environment(TERM="xterm-256color", **env),
        stdin=subprocess.DEVNULL,
        stdout=ends[0][1],
        stderr=ends[1][1],
    )
    told: list[bytes] = [b"", b""]

    def read(at: int) -> None:
        while True:
            try:
                octets = os.read(ends[at][0], 65536)
            except OSError:  # how a terminal tells that its last writer is gone
                return
            told[at] += octets

    for _, end in ends:
        os.close(end)
    readers = [threading.Thread(target=read, args=(at,)) for at in range(2)]
    for reader in readers:
        reader.start()
    code = process.wait(SECONDS)
    for reader in readers:
        reader.join(SECONDS)
    for end, _ in ends:
        os.close(end)
    out, err = (octets.decode().replace("\r\n", "\n") for octets in told)
    assert "Traceback" not in err
    return out, err, code


COLOUR = re.compile(r"\x1b\[(?:\d+;)*3\dm")


@pytest.mark.parametrize(
    ("options", "env", "is_colored"),
    [
        ([], {}, False),
        ([], {"FORCE_COLOR": "1"}, True),
        (["--color", "always"], {}, True),
        (["--color", "always"], {"NO_COLOR": "1"}, True),
        (["--color", "never"], {"FORCE_COLOR": "1"}, False),
        ([], {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_colors_in_a_pipe(
    options: list[str], env: dict[str, str], is_colored: bool, tmp_path: Path
) -> None:
    run = hellowatch("analyze", "--format", "table", *options, OFFICE, cwd=tmp_path, env=env)
    assert bool(COLOUR.search(run.stdout.decode())) is is_colored


@pytest.mark.parametrize(
    ("options", "env", "is_colored"),
    [
        ([], {}, True),
        ([], {"NO_COLOR": "1"}, False),
        (["--color", "never"], {}, False),
        ([], {"TERM": "dumb"}, False),
    ],
)
def test_colors_on_a_terminal(
    options: list[str], env: dict[str, str], is_colored: bool, tmp_path: Path
) -> None:
    run = [*PROGRAM, "analyze", *options, str(OFFICE)]
    ends = pty.openpty()
    process = subprocess.Popen(
        run,
        cwd=tmp_path,
        env=environment(**({"TERM": "xterm"} | env)),
        stdout=ends[1],
        stderr=subprocess.PIPE,
    )
    os.close(ends[1])
    told = b""
    while True:
        try:
            told += os.read(ends[0], 65536)
        except OSError:
            break
    os.close(ends[0])
    process.communicate(timeout=SECONDS)
    assert process.returncode == 0
    assert bool(COLOUR.search(told.decode())) is is_colored


def test_progress_is_shown_on_a_terminal_only(tmp_path: Path) -> None:
    (tmp_path / "cut.pcapng").write_bytes(CUT)
    _, told, code = on_terminal("analyze", "-o", "x", str(OFFICE), "cut.pcapng", cwd=tmp_path)
    assert code == 4
    assert "office.pcapng" in told
    assert re.search(r"[0-9.]+/197.8 kB", told)
    assert "WARNING cut.pcapng" in told
    for quiet in (["-q", "-o", "x"], ["--format", "ndjson"]):
        _, told, code = on_terminal("analyze", *quiet, str(OFFICE), cwd=tmp_path)
        assert (code, told) == (0, "")
    assert hellowatch("analyze", "-o", "x", OFFICE, cwd=tmp_path).stderr == b""


# --------------------------------------------------------------------------------- exit codes


def blocks(wire: bytes) -> list[int]:
    """Return where each block of the office capture starts."""
    starts = [0]
    while starts[-1] + 8 <= len(wire):
        starts.append(starts[-1] + struct.unpack_from("<I", wire, starts[-1] + 4)[0])
    return starts


@pytest.mark.parametrize("length", [30_000, 100_001, len(WHOLE) - 1])
def test_damaged_file_gives_all_before_the_damage(
    length: int, office: dict[str, bytes], tmp_path: Path
) -> None:
    (tmp_path / "cut.pcapng").write_bytes(WHOLE[:length])
    options = ["--format", "ndjson", "-o", "sum.json"]
    run = hellowatch("analyze", *options, "cut.pcapng", cwd=tmp_path)
    assert run.returncode == 4
    offset = max(start for start in blocks(WHOLE) if start <= length)
    assert run.stderr.count(b"\n") == 1
    assert run.stderr.endswith(f"does not end at offset {offset}\n".encode())
    (entry,) = json.loads((tmp_path / "sum.json").read_bytes())["inputs"]
    assert entry["status"] == "partial"
    assert entry["problem"].endswith(f"at offset {offset}")
    before = [e for e in events(office["ndjson"]) if e["hellowatch"]["frame"] <= entry["frames"]]
    assert frames(events(run.stdout)) == frames(before)


def test_damage_in_the_middle_names_its_offset(tmp_path: Path) -> None:
    at = blocks(WHOLE)[500]
    wire = WHOLE[: at + 4] + b"\xff\xff\xff\xff" + WHOLE[at + 8 :]
    (tmp_path / "bad.pcapng").write_bytes(wire)
    run = hellowatch("analyze", "bad.pcapng", cwd=tmp_path)
    assert run.returncode == 4
    assert run.stderr.count(b"\n") == 1
    assert run.stderr.endswith(f"at offset {at}\n".encode())
    assert events(run.stdout)


CODES = [
    (["whole"], 0),
    (["whole", "--fail-on", "legacy"], 1),
    (["whole", "--fail-on", "incompatible"], 1),
    (["whole", "--fail-on", "at-risk", "--fail-on", "legacy"], 1),
    (["modern", "--fail-on", "legacy", "--fail-on", "incompatible", "--fail-on", "at-risk"], 0),
    (["modern", "cut", "--fail-on", "at-risk"], 4),
    (["cut"], 4),
    (["cut", "--fail-on", "legacy"], 1),
    (["whole", "none"], 4),
    (["none", "whole"], 4),
    (["whole", "none", "--fail-on", "legacy"], 1),
    (["none"], 3),
    (["none", "text", "--fail-on", "legacy"], 3),
    (["none", "--ports", "x"], 2),
    (["whole", "cut", "none", "--fail-on", "legacy", "--tz", "x"], 2),
]


@pytest.mark.parametrize(("arguments", "code"), CODES, ids=lambda x: str(x)[:70])
def test_exit_code_is_the_gravest(arguments: list[str], code: int, tmp_path: Path) -> None:
    (tmp_path / "whole").write_bytes(WHOLE)
    (tmp_path / "cut").write_bytes(CUT)
    (tmp_path / "text").write_text("no capture, but some words that are long enough\n")
    talk = craft.Conversation().open().client(craft.tls13_client_hello())
    (tmp_path / "modern").write_bytes(craft.pcap(talk.frames()))
    run = hellowatch("analyze", *arguments, "--format", "csv", cwd=tmp_path)
    assert run.returncode == code, run.stderr
    assert bool(run.stdout) is (code != 2)


def begun(*arguments: str, cwd: Path, octets: bytes) -> "subprocess.Popen[bytes]":
    """Start analyze on a pipe that stays open, and wait until all of ``octets`` was taken."""
    process = subprocess.Popen(
        [*PROGRAM, "analyze", *arguments],
        cwd=cwd,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(octets)
    process.stdin.flush()
    until = time.monotonic() + SECONDS
    while waiting_in_pipe(process.stdin.fileno()):
        assert time.monotonic() < until
        time.sleep(0.01)
    time.sleep(0.1)  # what was taken is being counted
    return process


def waiting_in_pipe(descriptor: int) -> int:
    """Return how many octets nobody has read yet."""
    return int(struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4)))[0])


@pytest.mark.parametrize("form", ["ndjson", "table", "json", "csv"])
def test_interrupt_prints_what_was_found(form: str, tmp_path: Path) -> None:
    process = begun("--format", form, "none", "-", "later", cwd=tmp_path, octets=CUT)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 130
    assert b"Traceback" not in err
    whole = hellowatch("analyze", "--format", form, "-", cwd=tmp_path, stdin=CUT)
    if form in ("ndjson", "csv"):
        assert out == whole.stdout
    elif form == "json":
        told, wanted = json.loads(out), json.loads(whole.stdout)
        assert (told["totals"], told["devices"]) == (wanted["totals"], wanted["devices"])
        assert [entry["status"] for entry in told["inputs"]] == ["failed", "partial"]
    else:
        assert b"What we could see" in out


def test_interrupt_ends_the_wait_for_a_pipe_that_nobody_opens(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    process = subprocess.Popen(
        [*PROGRAM, "analyze", "--format", "table", str(OFFICE), "fifo"],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, err) == (130, b"")
    assert b"Old TLS (1.0)" in out


def test_interrupt_at_any_moment_leaves_whole_events_in_order(tmp_path: Path) -> None:
    """Not an event is lost, doubled or cut among those before the last one that came out."""
    office = [str(OFFICE)] * 150
    whole = frames(events(hellowatch("analyze", OFFICE, cwd=tmp_path).stdout)) * len(office)
    for delay in (0.45, 0.7, 0.9):
        with open(tmp_path / "out", "wb") as out:
            process = subprocess.Popen(
                [*PROGRAM, "analyze", *office],
                cwd=tmp_path,
                env=environment(),
                stdout=out,
                stderr=subprocess.PIPE,
            )
            until = time.monotonic() + SECONDS
            while not (tmp_path / "out").stat().st_size and time.monotonic() < until:
                time.sleep(0.01)
            time.sleep(delay - 0.4)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=SECONDS)
        assert (process.returncode, err) == (130, b"")
        told = frames(events((tmp_path / "out").read_bytes()))
        assert told
        assert told == whole[: len(told)]


def test_reader_who_goes_away_ends_it_quietly(tmp_path: Path) -> None:
    office = [str(OFFICE)] * 40
    for form in ("ndjson", "csv"):
        process = subprocess.Popen(
            [*PROGRAM, "analyze", "--format", form, *office],
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.wait(SECONDS) == -signal.SIGPIPE


# ---------------------------------------------------------------------------- ports, profiles


def test_ports_choose_what_is_followed(office: dict[str, bytes], tmp_path: Path) -> None:
    told = events(office["ndjson"])
    talks = [
        craft.Conversation(client_port=port, server_port=port).open().client(craft.client_hello())
        for port in (993, 10143, 443)
    ]
    (tmp_path / "ports.pcap").write_bytes(craft.pcap([f for t in talks for f in t.frames()]))

    def services(ports: str | None, path: str | Path) -> list[tuple[int, str]]:
        options = [] if ports is None else ["--ports", ports]
        run = hellowatch("analyze", *options, path, cwd=tmp_path)
        assert run.returncode == 0
        return [
            (event["destination"]["port"], event["network"]["protocol"])
            for event in events(run.stdout)
        ]

    by_port = [(event["destination"]["port"], event["network"]["protocol"]) for event in told]
    assert services("995", OFFICE) == [pair for pair in by_port if pair[0] == 995]
    assert services("995, 465", OFFICE) == [pair for pair in by_port if pair[0] in (995, 465)]
    assert services(None, "ports.pcap") == [(993, "imaps")]
    assert services("10143/imap", "ports.pcap") == [(10143, "imap")]
    assert services("993,443", "ports.pcap") == [(993, "imaps"), (443, "tls")]
    assert services("any", "ports.pcap") == [(993, "imaps"), (10143, "tls"), (443, "tls")]


def test_profile_judges_whatever_the_destination(tmp_path: Path) -> None:
    talk = craft.Conversation(server="192.0.2.9").open().client(craft.client_hello())
    (tmp_path / "a.pcap").write_bytes(craft.pcap(talk.frames()))
    (event,) = events(hellowatch("analyze", "a.pcap", cwd=tmp_path).stdout)
    assert "profile" not in event["hellowatch"]
    own = (ROOT / "sniffer" / "judge" / "profiles" / "gmail.toml").read_text()
    (tmp_path / "own.toml").write_text(own.replace('name = "gmail"', 'name = "own"'))
    for profile, name in (("exchange-online", "exchange-online"), ("own.toml", "own")):
        run = hellowatch("analyze", "--profile", profile, "a.pcap", cwd=tmp_path)
        (event,) = events(run.stdout)
        assert event["hellowatch"]["profile"] == name


# ------------------------------------------------------------- hostile text (reliability B11)

HOSTILE = {
    "nul": b"nul\x00nul.example",
    "escape": b"\x1b[31mred\x1b[0m\x1b]0;title\x07",
    "html": b"<script>alert(1)</script><img src=x onerror=alert(1)>",
    "formula": b"=cmd|' /C calc'!A0",
    "plus": b"+1+cmd",
    "minus": b"-2+3",
    "at": b"@SUM(1)",
    "tab": b"\t=1",
    "carriage return": b"\r=1\r\nFORGED,ROW",
    "right to left": "safe\u202egpj.exe\u200f".encode(),
    "bad utf-8": b"\xff\xfe\xc3(\xed\xa0\x80",
    "quotes": b"\"'`${x}{{x}}",
    "markup": b"[red]x[/red] :smile:",
    "forged line": b'x\n{"forged": true}',
    "64 KiB": b"A" * 60_000,
    "64 KiB of escapes": b"\x1b" * 60_000,
}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a capture of old clients whose names and protocols attack whoever prints them."""
    folder = tmp_path_factory.mktemp("hostile")
    captured = []
    for number, octets in enumerate(HOSTILE.values()):
        message = craft.client_hello_message(craft.TLS_1_0, sni=octets, alpn=[octets[:255], b"\0"])
        talk = craft.Conversation(f"10.0.7.{number}", client_mac=f"3c:2a:f4:00:07:{number:02x}")
        talk.open().client(craft.records(message, 16_000))
        talk.server(craft.alert(2, 70)).fin("server")
        captured.append(talk.frames())
    path = folder / '=1+"x"\n# EOF\n\x1b[31m\u202e.pcap'
    path.write_bytes(craft.pcap(craft.merged(*captured)))
    return path


def inert(octets: bytes, ends: str = "\n") -> str:
    """Check that nothing in an output steers a terminal; return it as text."""
    text = octets.decode("utf-8")
    steering = {c for c in text if not c.isprintable()} - set(ends)
    assert not steering, steering
    return text


@pytest.fixture(scope="module")
def hostile_ehlo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a capture of clients that call themselves so before an upgrade."""
    captured = []
    for number, octets in enumerate(HOSTILE.values()):
        name = octets.replace(b"\r", b"").replace(b"\n", b"")[:1000]
        talk = craft.Conversation(f"10.0.8.{number}", server_port=587).open()
        talk.server(b"220 mx\r\n").client(b"EHLO " + name + b"\r\n").server(b"250 STARTTLS\r\n")
        talk.client(b"STARTTLS\r\n").server(b"220 go\r\n")
        talk.client(craft.client_hello(craft.TLS_1_0)).server(craft.alert(2, 70))
        captured.append(talk.fin("client").fin("server").frames())
    path = tmp_path_factory.mktemp("ehlo") / "ehlo.pcap"
    path.write_bytes(craft.pcap(craft.merged(*captured)))
    return path


@pytest.mark.parametrize("form", FORMATS)
def test_hostile_names_before_an_upgrade_are_inert(
    hostile_ehlo: Path, form: str, tmp_path: Path
) -> None:
    run = hellowatch("analyze", "--format", form, hostile_ehlo, cwd=tmp_path)
    assert (run.returncode, run.stderr) == (0, b"")
    text = inert(run.stdout, "\r\n" if form == "csv" else "\t\n" if form == "zeek" else "\n")
    if form == "json":
        devices = json.loads(text)["devices"]
        names = [name for device in devices for name in device["names"]]
        assert len(devices) == len(HOSTILE)
        assert "nul\\x00nul.example" in names
        assert all(len(name) <= 255 and name.isascii() for name in names)


@pytest.fixture(scope="module")
def hostile_names(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Devices that call themselves so wherever they can."""
    captured = []
    for number, octets in enumerate(HOSTILE.values()):
        client, mac = f"10.0.8.{number}", f"02:00:00:00:08:{number:02x}"
        label = octets[:63]
        name = craft.vector(1, label) + b"\5local\0"
        host = discovering.record(name, discovering.A, craft.address(client))
        lease = discovering.dhcp(
            5,
            discovering.option(12, octets[:255]),
            is_reply=True,
            given=client,
            client=mac,
        )
        frames = [
            discovering.mdns(host, source=client, source_mac=mac),
            discovering.dhcp_frame(lease, "10.0.0.1"),
            discovering.lldp_frame(
                discovering.lldp(discovering.tlv(5, octets[:511]), client=mac), mac
            ),
            discovering.datagram(
                client,
                "10.0.8.255",
                (137, 137),
                discovering.netbios_registration(octets[:15], client),
                source_mac=mac,
            ),
        ]
        talk = craft.Conversation(client, client_mac=mac).open()
        talk.client(craft.client_hello(craft.TLS_1_0)).server(craft.alert(2, 70))
        captured += [[(craft.START_NS, frame) for frame in frames], talk.frames()]
    path = tmp_path_factory.mktemp("names") / "names.pcap"
    path.write_bytes(craft.pcap(craft.merged(*captured)))
    return path


@pytest.mark.parametrize("form", FORMATS)
def test_hostile_names_heard_aside_are_inert(
    hostile_names: Path, form: str, tmp_path: Path
) -> None:
    run = hellowatch("analyze", "--format", form, hostile_names, cwd=tmp_path)
    assert (run.returncode, run.stderr) == (0, b"")
    text = inert(run.stdout, "\r\n" if form == "csv" else "\t\n" if form == "zeek" else "\n")
    if form == "json":
        devices = json.loads(text)["devices"]
        assert len(devices) == len(HOSTILE)
        sources = {one["source"] for device in devices for one in device["names_from"]}
        assert sources == {"dhcp", "lldp", "mdns", "netbios"}
        names = [name for device in devices for name in device["names"]]
        assert "nul\\x00nul.example" in names
        assert all(len(name) <= 255 and name.isascii() for name in names)


@pytest.mark.parametrize("form", ["table", "json", "ndjson", "csv"])
def test_hostile_names_out_of_the_store_are_inert(
    hostile_names: Path, form: str, tmp_path: Path
) -> None:
    store = ("--store", f"sqlite:///{tmp_path / 'names.db'}")
    assert hellowatch("analyze", *store, "-q", hostile_names, cwd=tmp_path).returncode == 0
    run = hellowatch("devices", "list", "--format", form, *store, cwd=tmp_path)
    assert (run.returncode, run.stderr) == (0, b"")
    text = inert(run.stdout, "\r\n" if form == "csv" else "\n")
    assert form == "table" or "nul\\x00nul.example" in text.replace("\\\\", "\\")


def test_hostile_text_is_inert_in_json_lines(hostile: Path, tmp_path: Path) -> None:
    run = hellowatch("analyze", hostile, cwd=tmp_path)
    assert (run.returncode, run.stderr) == (0, b"")
    inert(run.stdout)
    told = events(run.stdout)
    assert len(told) == len(HOSTILE)
    names = [event["tls"]["client"]["server_name"] for event in told]
    assert all(len(name) <= 255 and name.isascii() for name in names)
    assert "nul\\x00nul.example" in names
    assert "A" * 255 in names
    assert all(len(item) <= 255 for e in told for item in e["hellowatch"]["alpn"])


def test_hostile_text_is_inert_in_csv(hostile: Path, tmp_path: Path) -> None:
    run = hellowatch("analyze", "--format", "csv", hostile, cwd=tmp_path)
    assert (run.returncode, run.stderr) == (0, b"")
    rows = list(csv.reader(io.StringIO(inert(run.stdout, "\r\n"), newline="")))
    assert len(rows) == 1 + len(HOSTILE)
    assert {len(row) for row in rows} == {len(rows[0])}
    cells = {cell for row in rows[1:] for cell in row}
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))][:1]
    assert "'=cmd|' /C calc'!A0" in cells


def test_hostile_text_is_inert_in_zeeks_log(hostile: Path, tmp_path: Path) -> None:
    run = hellowatch("analyze", "--format", "zeek", hostile, cwd=tmp_path)
    assert (run.returncode, run.stderr) == (0, b"")
    rows = [line.split("\t") for line in inert(run.stdout, "\t\n").splitlines()]
    told = [row for row in rows if not row[0].startswith("#")]
    assert len(told) == len(HOSTILE)
    assert {len(row) for row in told} == {len(rows[5]) - 1}


def test_hostile_text_is_inert_in_eve(hostile: Path, tmp_path: Path) -> None:
    run = hellowatch("analyze", "--format", "eve", hostile, cwd=tmp_path)
    assert (run.returncode, run.stderr) == (0, b"")
    told = [json.loads(line) for line in inert(run.stdout).splitlines()]
    assert len(told) == len(HOSTILE)
    assert {event["event_type"] for event in told} == {"tls"}


def test_hostile_text_is_inert_in_the_summary(hostile: Path, tmp_path: Path) -> None:
    run = hellowatch("analyze", "--format", "json", hostile, cwd=tmp_path)
    assert (run.returncode, run.stderr) == (0, b"")
    told = json.loads(inert(run.stdout))
    assert told["totals"]["by_verdict"] == {"legacy": len(HOSTILE)}
    assert len(told["devices"]) == len(HOSTILE)


@pytest.mark.parametrize("columns", ["60", "120", "400"])
def test_hostile_text_is_inert_in_the_table(hostile: Path, columns: str, tmp_path: Path) -> None:
    env = {"COLUMNS": columns}
    run = hellowatch("analyze", "--format", "table", hostile, cwd=tmp_path, env=env)
    assert (run.returncode, run.stderr) == (0, b"")
    told = inert(run.stdout)
    for number in range(len(HOSTILE)):
        assert f"10.0.7.{number}" in told
    assert ":smile:" in told.replace("\n", "") or columns != "400"


def test_hostile_text_is_inert_in_metrics(hostile: Path, tmp_path: Path) -> None:
    with running("--replay", hostile, cwd=tmp_path) as program:
        program.wait_until_replayed()
        status, page = program.get("/metrics")
        assert status == 200
        code, _, err = program.end()
    inert(page.encode())
    inert(err.encode())
    assert code == 0
    found = re.findall(r"^hellowatch_device_legacy_hellos_total\{.*\} ([0-9.]+)$", page, re.M)
    assert sum(map(float, found)) == len(HOSTILE)


@pytest.mark.parametrize("form", ["text", "json"])
def test_hostile_text_is_inert_in_the_log(hostile: Path, form: str, tmp_path: Path) -> None:
    broken = tmp_path / hostile.name
    broken.write_bytes(hostile.read_bytes()[:-1])
    paths = [broken, tmp_path / "\x1b[31mnone\nFORGED"]
    run = hellowatch("analyze", "-vv", "--log-format", form, *paths, cwd=tmp_path)
    assert run.returncode == 4
    lines = inert(run.stderr).splitlines()
    assert len(lines) == 3
    if form == "json":
        assert all("message" in json.loads(line) for line in lines)


def test_flood_of_bad_files_is_limited_by_kind(tmp_path: Path) -> None:
    """Reliability row B14, seen from outside: what is the same is told ten times a minute."""
    path = tmp_path / "none"
    run = hellowatch("analyze", *[path] * 200, cwd=tmp_path)
    assert run.returncode == 3
    assert run.stderr.count(b"\n") <= 12
    assert b"held_back=190" in run.stderr
