"""``hellowatch doctor -i``: the daemon for a minute, with a survey in its worker.

The launcher, the cage and the link are those of ``run``: no privileged process looks at a
frame. Only the filter is another one: it hands on everything, since what is no mail tells
whether this is a mirror.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import click

from sniffer.capture.interfaces import ANY
from sniffer.capture.ring import open_socket
from sniffer.config import Settings
from sniffer.daemon.launcher import Launcher, Tally
from sniffer.log import one_line

if TYPE_CHECKING:
    from sniffer.daemon.control import Control
    from sniffer.doctor.finding import Evidence
    from sniffer.judge.profile import Profile

Tell = Callable[["Evidence"], int]
"""Says what is found in the evidence, and returns the exit code."""


def look(
    interface: str,
    settings: Settings,
    profiles: Mapping[str, "Profile"],
    seconds: float,
    quiet: bool,
    tell: Tell,
) -> int:
    """Look at an interface for so long, or until Ctrl-C; return the exit code.

    Raises CaptureError and ChildError.
    """
    if interface == ANY:
        raise click.UsageError("-i any: the doctor looks at one interface at a time")

    def work(name: str, descriptor: int, control: "Control", tally: Tally, is_heir: bool) -> int:
        from sniffer.daemon.worker import work_with

        return work_with(settings, surveyed=True)(name, descriptor, control, tally, is_heir)

    def begun(_address: str) -> None:
        if not quiet:
            click.echo(f"hellowatch: looking at {one_line(interface)} ...", err=True)

    serve = partial(_serve, settings, profiles, tell)
    spares = settings.daemon.spare_sockets
    launcher = Launcher([interface], open_socket, work, serve, begun, spares)
    return launcher.run(seconds)


def _serve(
    settings: Settings,
    profiles: Mapping[str, "Profile"],
    tell: Tell,
    control: "Control",
    names: Sequence[str],
) -> int:
    """Gather what the worker reports, and say what is wrong; in the server's process."""
    from contextlib import nullcontext

    from sniffer.capture.interfaces import error_counters, interface, offloads
    from sniffer.daemon.reader import Reader
    from sniffer.doctor.finding import Evidence, Port
    from sniffer.inventory.aggregate import Aggregate
    from sniffer.judge.verdict import Judge

    (name,) = names
    ports = settings.ports
    aggregate = Aggregate(settings.inventory, ports, profiles)
    before = error_counters(name)
    reader = Reader(
        control,
        names,
        Judge(ports, profiles, None, settings.relay),
        aggregate,
        nullcontext(),
        (),
        flush=lambda: None,
        report=lambda _reader: None,
        ready=lambda: None,
        passing=lambda _reader: None,
    )
    control.send("ready", name)
    reader.run()
    (account,) = reader.accounts
    there = interface(name)
    after = error_counters(name)
    port = Port(
        interface=there,
        offloads=offloads(name),
        lost={key: more for key in after if (more := after[key] - before[key]) > 0},
        is_up=bool(there.is_up) and there.has_carrier is not False,
    )
    return tell(
        Evidence(
            coverage=account.coverage(),
            facts=account.facts(),
            snapshot=aggregate.snapshot(),
            ports=ports,
            profiles=profiles,
            port=port,
        )
    )
