#!/usr/bin/env python3
"""Speed beside other programs: ratios of one run, taken in alternation, never seconds alone.

    compare.py [--octets N] [--rounds N] [--slow] [WORKLOAD ...]

Makes captures with a known truth, of N octets and of half as many, and lets everything that
is installed read them. CPU is user and system time of the whole process; ``margin`` is what
the second half costs, so that no start counts. Whoever counts hellos is held to the truth.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import NamedTuple

from workloads import WORKLOADS, write

PORTS = "tcp port 993 or tcp port 995"
FILTER = f"{PORTS} or (vlan and ({PORTS}))"
DPKT = """
import dpkt, sys
for _, wire in dpkt.pcap.Reader(open(sys.argv[1], "rb")):
    packet = dpkt.ethernet.Ethernet(wire).data
    if isinstance(packet, dpkt.ip.IP) and isinstance(packet.data, dpkt.tcp.TCP):
        {993, 995} & {packet.data.sport, packet.data.dport}
"""
STARTER = """
import os, sys
_, status, used = os.wait4(os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ), 0)
with open(sys.argv[1], "w") as taken:
    taken.write(f"[{used.ru_utime + used.ru_stime}, {used.ru_maxrss}]")
sys.exit(os.waitstatus_to_exitcode(status))
"""
TSHARK = ("tshark", "-o", "tcp.reassemble_out_of_order:TRUE", "-Y", "tls.handshake.type == 1")
SLOW = ("dpkt", "tshark")


class Run(NamedTuple):
    """What one run took."""

    cpu: float
    peak_kib: int
    output: bytes


Counted = Callable[[bytes], Counter[str] | None]


class Contender(NamedTuple):
    """A program that reads captures; ``count`` tells the hellos it found, if it says."""

    command: list[str]
    count: Counted = lambda _output: None


def of_summary(output: bytes) -> Counter[str]:
    """Return the hellos by max offered that a summary tells."""
    return Counter(json.loads(output)["totals"]["by_max_offered"])


def of_events(output: bytes) -> Counter[str]:
    """Return the hellos by max offered that events tell, none twice."""
    events = {
        told["hellowatch"]["id"]: told["hellowatch"]["max_offered"]
        for told in map(json.loads, output.splitlines())
    }
    return Counter(events.values())


def contenders(folder: Path, slow: bool) -> dict[str, Contender]:
    """Return who is installed."""
    ours = [str(Path(sys.executable).parent / "hellowatch"), "analyze", "--quiet", "--format"]
    found = {
        "summary": Contender([*ours, "json"], of_summary),
        "events": Contender([*ours, "ndjson"], of_events),
    }
    if compiler := shutil.which("cc"):
        touch = folder / "touch"
        source = Path(__file__).with_name("touch.c")
        subprocess.run([compiler, "-O2", "-o", touch, source], check=True)
        found["headers in C"] = Contender([str(touch)])
    peers = {
        "tcpdump": ["tcpdump", "-w", "/dev/null", FILTER, "-r"],
        "mercury": ["mercury", "--reassembly", "--select=tls", "-r"],
        "ndpiReader": ["ndpiReader", "-q", "-i"],
        "dpkt": [sys.executable, "-c", DPKT],
        "tshark": [*TSHARK, "-r"],
    }
    for name, command in peers.items():
        if shutil.which(command[0]) and (slow or name not in SLOW):
            found[name] = Contender(command)
    return found


def run(command: list[str], capture: Path) -> Run:
    """Let a program read a capture, started by a small one: memory counts from before exec."""
    with tempfile.NamedTemporaryFile() as out, tempfile.NamedTemporaryFile() as taken:
        starter = [sys.executable, "-I", "-S", "-c", STARTER, taken.name, *command, str(capture)]
        subprocess.run(starter, stdout=out, stderr=subprocess.DEVNULL, check=True)
        cpu, peak_kib = json.load(taken)
        return Run(cpu, peak_kib, Path(out.name).read_bytes())


def compare(workload: str, octets: int, rounds: int, slow: bool, folder: Path) -> None:
    """Print how the contenders compare on one workload."""
    half, whole = folder / "half.pcap", folder / "whole.pcap"
    write(half, workload, octets // 2)
    truth = write(whole, workload, octets)
    margins: dict[str, list[float]] = {}
    totals: dict[str, list[float]] = {}
    peaks: Counter[str] = Counter()
    who = contenders(folder, slow)
    for _ in range(rounds):
        for name, contender in who.items():
            first, second = run(contender.command, half), run(contender.command, whole)
            counted = contender.count(second.output)
            if counted is not None and +counted != +truth:
                raise SystemExit(f"{workload}: {name} counts {counted}, there are {truth}")
            margins.setdefault(name, []).append(max(0.001, second.cpu - first.cpu))
            totals.setdefault(name, []).append(second.cpu)
            peaks[name] = max(peaks[name], second.peak_kib)
    base = "tcpdump" if "tcpdump" in who else "summary"
    print(f"{workload}: {octets:,} octets, {truth.total():,} hellos, each found once")
    print(f"  {'':14}{'CPU s':>8}{'margin s':>10}{'spread':>15}{'x ' + base:>12}{'MiB':>7}")
    for name, margin in margins.items():
        ratio = median(margin) / median(margins[base])
        spread = f"{min(margin):.3f}-{max(margin):.3f}"
        print(
            f"  {name:14}{median(totals[name]):8.3f}{median(margin):10.3f}{spread:>15}"
            f"{ratio:12.2f}{peaks[name] // 1024:7}"
        )


def main() -> None:
    """Compare on the workloads that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=", ".join(WORKLOADS))
    parser.add_argument("--octets", type=int, default=200_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--slow", action="store_true", help="tshark and dpkt too")
    options = parser.parse_args()
    if unknown := set(options.workloads) - set(WORKLOADS):
        parser.error(f"no such workload: {', '.join(sorted(unknown))}")
    for workload in options.workloads or WORKLOADS:
        with tempfile.TemporaryDirectory() as folder:
            compare(workload, options.octets, options.rounds, options.slow, Path(folder))


if __name__ == "__main__":
    main()
