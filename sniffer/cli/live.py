"""``hellowatch run -i``: the daemon on interfaces.

What is imported here at first is what the launcher needs; the rest is loaded by its
children, after the fork.
"""

import logging
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING

from sniffer.capture.ring import open_socket
from sniffer.cli.options import exit_code, installed_version
from sniffer.cli.output import Outputs
from sniffer.cli.reload import Current, InUse, decode, work_with
from sniffer.cli.wanted import Wanted
from sniffer.daemon.launcher import Launcher

if TYPE_CHECKING:
    from sniffer.daemon.control import Control
    from sniffer.daemon.reader import Reader
    from sniffer.daemon.server import Server
    from sniffer.inventory.coverage import Coverage
    from sniffer.inventory.store.recorder import Seen


def watch(wanted: Wanted) -> int:
    """Capture until told to end, or for so long; return the exit code.

    Raises CaptureError, ConfigError, ChildError, and BrokenPipeError.
    """
    with ExitStack() as stack:
        outputs: list[Outputs] = []

        def serve(control: "Control", interfaces: Sequence[str]) -> int:
            return _serve(wanted, current.in_use, outputs[0], control, interfaces)

        def begun(address: str) -> None:
            wanted.screen.begun(names, f"{address}/metrics")

        current = Current(wanted.sources, wanted.configuration, wanted.frames is not None)
        settings = wanted.configuration.settings
        names = list(dict.fromkeys(settings.watch.interfaces))
        launcher = Launcher(
            names,
            open_socket,
            work_with(current.in_use, wanted.frames is not None),
            serve,
            begun,
            settings.daemon.spare_sockets,
            current.reconfigure,
            settings.daemon.reload_sockets,
        )
        # Once, by whoever may still open them: every server goes on in the same files.
        outputs.append(Outputs(stack, wanted.form, wanted.outputs, [], wanted.frames, False))
        outputs[0].flush()  # or each process would write what is still in a buffer
        return launcher.run(wanted.seconds)


def _serve(
    wanted: Wanted,
    in_use: InUse,
    outputs: Outputs,
    control: "Control",
    interfaces: Sequence[str],
) -> int:
    """Do the server's part, in its own process."""
    import parsers
    from sniffer.analysis import Input, log_evidence_lost
    from sniffer.cli.keeping import keep_live
    from sniffer.daemon.reader import Reader
    from sniffer.daemon.server import Server
    from sniffer.export.metrics import Build
    from sniffer.export.summary import summary
    from sniffer.pipeline import Limit

    build = Build(version=installed_version(), revision="unknown", compiled=parsers.compiled())
    server = Server(in_use.settings, in_use.profiles, build, in_use.forced)

    def pass_time(reader: Reader) -> None:
        wanted.screen.pass_time(lambda: seen(reader))
        if recorder is not None:
            recorder.wake()

    def report(reader: Reader) -> None:
        _report(reader)
        wanted.screen.say_nothing_yet(*seen(reader))

    def seen(reader: Reader) -> "tuple[Coverage, float]":
        return reader.coverage(), max(account.up_seconds for account in reader.accounts)

    def reload(octets: bytes) -> None:
        found = decode(octets)
        logging.getLogger().setLevel(found.settings.log.level.upper())
        server.use(found.settings, found.profiles, found.forced)

    def ready() -> None:
        server.is_ready = True

    reader = Reader(
        control,
        interfaces,
        server.judge,
        server.aggregate,
        server.lock,
        (outputs.write, wanted.screen.name),
        flush=outputs.flush,
        report=report,
        ready=ready,
        passing=pass_time,
        reload=reload,
        limit=None if wanted.events is None else Limit(wanted.events),
    )
    for place, interface in enumerate(interfaces):
        server.watch(interface, partial(reader.gauges, place))
    recorder = keep_live(server, in_use.profiles, in_use.settings)
    if recorder is not None:
        recorder.follow(partial(_seen, interfaces, reader, server))
        recorder.start(wakes_by_itself=False)
    control.send("ready", server.start())
    reader.run()
    if recorder is not None:
        recorder.close()
    with server.lock:
        snapshot = server.aggregate.snapshot()
    inputs = [
        Input(path=interface, format="live", status="ok", frames=account.coverage().frames).told()
        for interface, account in zip(interfaces, reader.accounts, strict=True)
    ]
    told = summary(inputs, snapshot, reader.coverage(), server.aggregate.profiles, server.roster)
    for interface, account in zip(interfaces, reader.accounts, strict=True):
        log_evidence_lost(interface, account.coverage().evidence_lost)
    outputs.finish(told, wanted.zone, wanted.color)
    server.close()
    return exit_code(["ok"], told["totals"], wanted.fail_on)


def _seen(interfaces: Sequence[str], reader: "Reader", server: "Server") -> "dict[str, Seen]":
    """Return what each interface saw; to be called with the lock held."""
    from sniffer.inventory.store.recorder import Seen

    return {
        interface: Seen(account.coverage(), account.up_seconds, server.aggregate.now_ns)
        for interface, account in zip(interfaces, reader.accounts, strict=True)
    }


def _report(reader: "Reader") -> None:
    for interface, account in zip(reader.interfaces, reader.accounts, strict=True):
        tell_losses(interface, account.coverage(), account.unreported)


def tell_losses(interface: str, seen: "Coverage", unreported: int = 0) -> None:
    """Say what was seen and lost, in tcpdump's words."""
    from sniffer.log import one_line

    line = (
        f"hellowatch: {one_line(interface)}: {seen.frames} packets captured, "
        f"{seen.frames + seen.frames_dropped} packets received by filter, "
        f"{seen.frames_dropped} packets dropped by kernel; "
        f"{seen.hellos} hellos, {unreported} unreported\n"
    )
    with suppress(OSError):
        os.write(sys.stderr.fileno(), line.encode())
