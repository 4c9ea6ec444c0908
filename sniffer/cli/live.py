"""``hellowatch run -i``: the daemon on interfaces.

What is imported here at first is what the launcher needs; the rest is loaded by its
children, after the fork.
"""

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING

from sniffer.capture.ring import open_socket
from sniffer.cli.options import exit_code, installed_version
from sniffer.cli.output import Outputs
from sniffer.cli.wanted import Wanted
from sniffer.config import DaemonSettings, InventorySettings, TrackSettings
from sniffer.daemon.launcher import Launcher, Tally

if TYPE_CHECKING:
    from sniffer.daemon.control import Control
    from sniffer.daemon.reader import Reader


def watch(interfaces: Sequence[str], wanted: Wanted, begun: Callable[[str], None]) -> int:
    """Capture until told to end, or for so long; return the exit code.

    ``begun`` is called with the address of the metrics page when all are at work. Raises
    CaptureError, ConfigError, ChildError, and BrokenPipeError.
    """
    with ExitStack() as stack:
        outputs: list[Outputs] = []

        def work(interface: str, descriptor: int, control: "Control", tally: Tally) -> int:
            from sniffer.daemon.worker import work_with

            work = work_with(wanted.capture, TrackSettings(), settings, wanted.ports)
            return work(interface, descriptor, control, tally)

        def serve(control: "Control", interfaces: Sequence[str]) -> int:
            return _serve(wanted, outputs[0], control, interfaces)

        settings = DaemonSettings()
        names = list(dict.fromkeys(interfaces))
        launcher = Launcher(names, open_socket, work, serve, begun, settings.spare_sockets)
        # Once, by whoever may still open them: every server goes on in the same files.
        outputs.append(Outputs(stack, wanted.form, wanted.outputs, []))
        outputs[0].flush()  # or each process would write what is still in a buffer
        return launcher.run(wanted.seconds)


def _serve(wanted: Wanted, outputs: Outputs, control: "Control", interfaces: Sequence[str]) -> int:
    """Do the server's part, in its own process."""
    import parsers
    from sniffer.analysis import Input
    from sniffer.daemon.reader import Reader
    from sniffer.daemon.server import Server
    from sniffer.export.metrics import Build
    from sniffer.export.summary import summary
    from sniffer.judge.profile import find_profile, load_profiles
    from sniffer.pipeline import Limit

    profiles = load_profiles()
    forced = None if wanted.profile is None else find_profile(wanted.profile, profiles)
    build = Build(version=installed_version(), revision="unknown", compiled=parsers.compiled())
    server = Server(wanted.metrics, InventorySettings(), wanted.ports, profiles, build, forced)

    def ready() -> None:
        server.is_ready = True

    reader = Reader(
        control,
        interfaces,
        server.judge,
        server.aggregate,
        server.lock,
        (outputs.write,),
        flush=outputs.flush,
        report=_report,
        ready=ready,
        limit=None if wanted.events is None else Limit(wanted.events),
    )
    for place, interface in enumerate(interfaces):
        server.watch(interface, partial(reader.gauges, place))
    control.send("ready", server.start())
    reader.run()
    with server.lock:
        snapshot = server.aggregate.snapshot()
    inputs = [
        Input(path=interface, format="live", status="ok", frames=account.coverage().frames).told()
        for interface, account in zip(interfaces, reader.accounts, strict=True)
    ]
    told = summary(inputs, snapshot, reader.coverage(), profiles)
    outputs.finish(told, wanted.zone, wanted.color)
    server.close()
    return exit_code(["ok"], told["totals"], wanted.fail_on)


def _report(reader: "Reader") -> None:
    """Say what was seen and lost, in tcpdump's words."""
    from sniffer.log import one_line

    for interface, account in zip(reader.interfaces, reader.accounts, strict=True):
        seen = account.coverage()
        line = (
            f"hellowatch: {one_line(interface)}: {seen.frames} packets captured, "
            f"{seen.frames + seen.frames_dropped} packets received by filter, "
            f"{seen.frames_dropped} packets dropped by kernel; "
            f"{seen.hellos} hellos, {account.unreported} unreported\n"
        )
        with suppress(OSError):
            os.write(sys.stderr.fileno(), line.encode())
