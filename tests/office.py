"""An office behind a mirror port: clients, servers, and a sensor that sees what passes."""

import json
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from namespaces import Namespace, namespace
from program import hellowatch

Event = dict[str, Any]


@contextmanager
def office(
    clients: Iterable[str],
    servers: Iterable[str],
    ways: Iterable[str] = ("ingress", "egress"),
    times: int = 1,
) -> Iterator[tuple[Namespace, Namespace, Namespace]]:
    """Yield the namespaces of clients, servers, and of a sensor with the port ``mirror``.

    What passes the servers' port, either way or in ``ways`` alone, is mirrored to it, each
    frame so many ``times``.
    """
    with namespace() as desks, namespace() as rack, namespace() as sensor:
        rack.ip(f"link add port type veth peer name desk netns {desks.name}")
        rack.ip(f"link add span type veth peer name mirror netns {sensor.name}")
        for ns, interface, addresses in (
            (desks, "desk", clients),
            (rack, "port", servers),
            (rack, "span", ()),
            (sensor, "mirror", ()),
        ):
            ns.ip(f"link set {interface} addrgenmode none")
            for address in addresses:
                ns.ip(f"address add {address}/24 dev {interface}")
            ns.ip(f"link set {interface} up")
        rack.run("tc", "qdisc", "add", "dev", "port", "clsact")
        for way in ways:
            rule = f"tc filter add dev port {way} protocol all prio 1 u32 match u32 0 0"
            rack.run(*f"{rule} {times * 'action mirred egress mirror dev span '}".split())
        yield desks, rack, sensor


@contextmanager
def dumped(ns: Namespace, interface: str, path: Path) -> Iterator[None]:
    """Have tcpdump write the TCP that passes an interface."""
    words = ["tcpdump", "-Z", "root", "-i", interface, "-U", "--immediate-mode", "--nano"]
    process = subprocess.Popen(
        ["ip", "netns", "exec", ns.name, *words, "-B", "16384", "-w", str(path), "tcp"],
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        process.stderr.readline()
        time.sleep(0.2)  # it says so a moment before it does
        yield
        time.sleep(0.3)
    finally:
        process.terminate()
        process.communicate()


def analysed(path: Path) -> list[Event]:
    """Return the events of a capture, without what live ones cannot have."""
    ran = hellowatch("analyze", "--format", "ndjson", path.name, cwd=path.parent)
    events = [json.loads(line) for line in ran.stdout.splitlines()]
    for event in events:
        del event["log"]
        del event["hellowatch"]["frame"]
    return events


def sorted_by_client(events: list[Event]) -> list[Event]:
    """Return events in an order that their times have no part in, without their frames."""
    for event in events:
        event["hellowatch"].pop("frame", None)
    return sorted(events, key=lambda event: (event["source"]["ip"], event["source"]["port"]))


def without_times(events: list[Event]) -> list[Event]:
    """Return events without what is made of times."""
    for event in events:
        # The kernel looks at the clock for each listener; the id is made of the time.
        del event["@timestamp"], event["hellowatch"]["id"]
        event["hellowatch"].get("session", {}).pop("seconds", None)
    return events
