"""Real clients at real Dovecots, a mirror port, the daemon there, and Prometheus behind it.

One Dovecot takes TLS 1.0 and newer, the other TLS 1.2 and newer.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from captures import frames_in
from daemon import Daemon, daemon
from namespaces import Namespace, eventually
from office import analysed, dumped, office, sorted_by_client, without_times
from program import ROOT, environment

from sniffer.capture import bpf
from sniffer.capture.filter import build
from sniffer.config import DEFAULT_PORTS

sys.path.append(str(ROOT / "tools"))

from make_program_pcaps import (
    PERMISSIVE,
    TLS_1_2_ONLY,
    certificates,
    dovecot,
    running,
    wait_for,
)

TAKES_OLD, TAKES_NEW = "10.9.0.1", "10.9.0.2"
OPENSSL, PYTHON, TLSLITE = "10.9.0.11", "10.9.0.12", "10.9.0.13"
CLIENTS = (OPENSSL, PYTHON, TLSLITE)
FILTER = build(DEFAULT_PORTS).program
REFUSED = "refused"
PROGRAMS = (
    "/usr/sbin/dovecot",
    "/usr/lib/dovecot/imap-login",
    "/usr/lib/dovecot/pop3-login",
    "openssl",
    "prometheus",
    "tcpdump",
)
LAST_ALERT_BYTES = 64
"""More than a record takes that holds an encrypted alert."""
REFUSALS = ("alert", "closed")
MAIL = b"-" * 8_000_000
BYE = {993: "a1 LOGOUT\r\n", 995: "QUIT\r\n"}

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, PROGRAMS)) and not os.environ.get("CI"),
    reason="Dovecot, OpenSSL or Prometheus is not installed",
)

Visit = tuple[str, str, int, str]
"""Client, server, port and the most it offers."""


def s_client(option: str) -> list[str]:
    words = f"openssl s_client -quiet -{option} -connect {{server}}:{{port}}"
    return [*words.split(), "-servername", "mail.example.org", "-cipher", "DEFAULT:@SECLEVEL=0"]


def client_py(words: str) -> list[str]:
    return [sys.executable, str(ROOT / "tools" / "programs" / "client.py"), *words.split()]


OPTIONS = {"tls1": "TLS 1.0", "tls1_1": "TLS 1.1", "tls1_2": "TLS 1.2", "tls1_3": "TLS 1.3"}
VISITS: list[tuple[str, list[str], int, str]] = [
    *((OPENSSL, s_client(option), port, most) for option, most in OPTIONS.items() for port in BYE),
    (PYTHON, client_py("imap {server} {port} --most 1.0 --starttls"), 143, "TLS 1.0"),
    (PYTHON, client_py("pop3 {server} {port} --most 1.2 --starttls"), 110, "TLS 1.2"),
    (PYTHON, client_py("imap {server} {port}"), 993, "TLS 1.3"),
    (TLSLITE, client_py("tlslite {server} {port}"), 993, "SSL 3.0"),
]
"""Client, command, port, and the most it offers; each goes to both servers."""


def taken(server: str, most: str) -> bool:
    return most in ("TLS 1.2", "TLS 1.3") or (server == TAKES_OLD and most != "SSL 3.0")


def go(ns: Namespace, client: str, command: list[str], server: str, port: int) -> bool:
    """Run a client from its address; tell whether it was content."""
    ns.ip(f"route replace {server}/32 dev desk src {client}")
    words = [word.format(server=server, port=port) for word in command]
    ran = subprocess.run(
        ["ip", "netns", "exec", ns.name, *words],
        env=environment(),
        input=BYE.get(port, ""),
        capture_output=True,
        text=True,
        timeout=30,
    )
    return ran.returncode == 0


@contextmanager
def prometheus(ns: Namespace, folder: Path, target: str) -> Iterator[str]:
    """Run Prometheus where the daemon runs; yield its address."""
    configuration = {
        "global": {"scrape_interval": "250ms", "scrape_timeout": "250ms"},
        "scrape_configs": [{"job_name": "hellowatch", "static_configs": [{"targets": [target]}]}],
    }
    (folder / "prometheus.yml").write_text(json.dumps(configuration))
    command = ["prometheus", f"--config.file={folder / 'prometheus.yml'}"]
    command += [f"--storage.tsdb.path={folder / 'tsdb'}", "--web.listen-address=127.0.0.1:9090"]
    with running(ns, *command):
        eventually(lambda: is_ready(ns, "http://127.0.0.1:9090/-/ready"), 60)
        yield "http://127.0.0.1:9090"


def is_ready(ns: Namespace, page: str) -> bool:
    try:
        with ns.inside(), urllib.request.urlopen(page, timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def ask(ns: Namespace, address: str, query: str, *labels: str) -> Counter:
    """Return what a PromQL query answers, by the values of these labels."""
    where = f"{address}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    with ns.inside(), urllib.request.urlopen(where, timeout=5) as answer:
        result = json.load(answer)["data"]["result"]
    counts: Counter = Counter()
    for one in result:
        # How a Dovecot refuses is its own affair.
        values = [one["metric"][label] for label in labels]
        refused = [REFUSED if value in REFUSALS else value for value in values]
        counts[tuple(refused)] += int(one["value"][1])
    return counts


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that Dovecot's login processes, who are nobody in particular, may enter."""
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        yield Path(made)


def test_prometheus_counts_each_real_client_by_version_and_outcome(folder):
    with ExitStack() as stack:
        desks, rack, sensor = stack.enter_context(office(CLIENTS, (TAKES_OLD, TAKES_NEW)))
        certificates(folder)
        for name, server, tls in (
            ("permissive", TAKES_OLD, PERMISSIVE),
            ("strict", TAKES_NEW, TLS_1_2_ONLY),
        ):
            stack.enter_context(dovecot(rack, folder, name, server, tls))
            for port in (993, 995, 143, 110):
                wait_for(rack, server, port)
        arguments = ("-i", "mirror", "--format", "ndjson", "-o", "summary.json")
        watching = stack.enter_context(daemon(sensor, *arguments, cwd=folder))
        target = watching.address.removeprefix("http://")
        address = stack.enter_context(prometheus(sensor, folder, target))

        visits: list[Visit] = []
        with dumped(sensor, "mirror", folder / "beside.pcap"):
            for server in (TAKES_OLD, TAKES_NEW):
                for client, command, port, most in VISITS:
                    content = go(desks, client, command, server, port)
                    assert content == taken(server, most), (client, server, port, most)
                    visits.append((client, server, port, most))
            eventually(lambda: len(watching.events) >= len(visits), 30)

        check_events(watching.events, visits)
        counted = Counter(
            (most, "established" if taken(server, most) else REFUSED)
            for _, server, _, most in visits
        )
        query = "sum by (version, outcome) (hellowatch_handshakes_total > 0)"
        eventually(lambda: ask(sensor, address, query, "version", "outcome") == counted, 20)
        legacy = Counter((client,) for client, _, _, most in visits if most < "TLS 1.2")
        query = "sum by (device) (hellowatch_device_legacy_hellos_total > 0)"
        assert ask(sensor, address, query, "device") == legacy
        check_account(watching, folder)

    live = sorted_by_client(watching.events)
    beside = sorted_by_client(analysed(folder / "beside.pcap"))
    check_sessions(live, beside)
    assert without_times(live) == without_times(beside)


def check_sessions(live: list[dict], beside: list[dict]) -> None:
    """Compare what sessions carried, and take it out of them.

    Each listener is given the frames of the two directions in an order of its own: one may see
    the last alert of a side before the other side's end, the other one after it.
    """
    for one, other in zip(live, beside, strict=True):
        for side in ("client_bytes", "server_bytes"):
            told = [
                event["hellowatch"].get("session", {}).pop(side, None) for event in (one, other)
            ]
            assert told[0] == told[1] or abs(told[0] - told[1]) <= LAST_ALERT_BYTES


def check_events(events: list[dict], visits: list[Visit]) -> None:
    """Compare each event with the visit it tells of."""
    told = Counter()
    for event in events:
        mine = event["hellowatch"]
        visit = (
            event["source"]["ip"],
            event["destination"]["ip"],
            event["destination"]["port"],
            mine["max_offered"],
        )
        told[visit] += 1
        if taken(visit[1], visit[3]):
            assert mine["outcome"] == "established", event
            assert event["tls"]["established"]
            assert f"TLS {event['tls']['version']}" == mine["max_offered"]
        else:
            assert mine["outcome"] in REFUSALS, event
            assert mine["refused_by"] == "server"
        assert (mine["verdict"] in ("legacy", "fallback")) == (mine["max_offered"] < "TLS 1.2")
        assert mine["hello_complete"]
    assert told == Counter(visits)


def check_account(watching: Daemon, folder: Path) -> None:
    """See that every frame the filter passes is accounted for, and nothing called lost."""
    passed = sum(bool(bpf.run(FILTER, wire)) for _, wire in frames_in(folder / "beside.pcap"))
    received = watching.metric("hellowatch_frames_received_total", interface="mirror")
    dropped = watching.metric("hellowatch_frames_dropped_total", interface="mirror")
    assert watching.end() == 0
    coverage = json.loads((folder / "summary.json").read_text())["coverage"]
    assert coverage["frames"] + dropped == received == passed
    assert dropped == 0
    assert coverage["unseen_bytes"] == 0
    assert (coverage["fit"], coverage["one_sided_flows"]) == (True, 0)


@pytest.mark.parametrize("ports", ["993", "any"])
def test_large_download_is_no_loss(ports, folder):
    with ExitStack() as stack:
        desks, rack, sensor = stack.enter_context(office((PYTHON,), (TAKES_OLD,)))
        certificates(folder)
        pem = str(folder / "server.pem")
        (folder / "mail").write_bytes(MAIL)
        server = ["openssl", "s_server", "-accept", f"{TAKES_OLD}:993", "-cert", pem, "-HTTP"]
        stack.enter_context(running(rack, "sh", "-c", f"cd {folder} && exec {' '.join(server)}"))
        wait_for(rack, TAKES_OLD, 993)
        arguments = ("-i", "mirror", "--ports", ports, "--format", "ndjson", "-o", "summary.json")
        watching = stack.enter_context(daemon(sensor, *arguments, cwd=folder))
        with dumped(sensor, "mirror", folder / "beside.pcap"):
            command = f"openssl s_client -quiet -connect {TAKES_OLD}:993 2>/dev/null | wc -c"
            asked = f"printf 'GET /mail HTTP/1.0\\r\\n\\r\\n' | {command}"
            assert int(desks.run("sh", "-c", asked)) >= len(MAIL)
            eventually(lambda: len(watching.events) == 1, 15)
        assert watching.end() == 0
        coverage = json.loads((folder / "summary.json").read_text())["coverage"]
        assert coverage["fit"]
        assert coverage["unseen_bytes"] == 0
        held_back = coverage["filtered_bytes"]
        assert len(MAIL) // 8 < held_back < 2 * len(MAIL) if ports == "993" else held_back == 0
        (live,), (beside,) = watching.events, analysed(folder / "beside.pcap")
        assert live["hellowatch"]["session"]["server_bytes"] > len(MAIL)
        check_sessions([live], [beside])
        assert without_times(sorted_by_client([live])) == without_times([beside])
