"""What ``run`` tells on standard error while it goes on.

As plain lines; with ``--log-format json`` as lines of the log. ``-q`` silences it.
"""

import logging
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

from sniffer.log import one_line

if TYPE_CHECKING:
    from sniffer.event import Handshake, Judgement
    from sniffer.inventory.coverage import Coverage

logger = logging.getLogger(__name__)

MOST_NAMED = 50_000
"""Devices remembered as named already; beyond it no further one is named."""
SAID_AFTER_SECONDS = (60, 600, 3600, 6 * 3600, 86_400)
"""When it is said that nothing old was seen yet; then every day."""


class Screen:
    """Tells of addresses, of devices, and of nothing seen. ``clock`` gives seconds."""

    def __init__(
        self, is_quiet: bool, is_json: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Be quiet, or speak JSON, or speak plainly."""
        self._is_quiet = is_quiet
        self._is_json = is_json
        self._clock = clock
        self._named: set[bytes] = set()
        self._started = clock()
        self._said = 0
        if not is_quiet:
            logger.setLevel(logging.INFO)

    def announce(self, what: str, url: str) -> None:
        """Tell a sentence and the address it ends with."""
        if self._is_json:
            logger.info(what, {"url": url})
        else:
            self._say(f"{what} {url}")

    def begun(self, interfaces: Sequence[str], url: str) -> None:
        """Tell what is watched, and what to expect of it."""
        from sniffer.export.words import WATCH_LONGER

        self.announce(f"watching {', '.join(map(one_line, interfaces))}; metrics at", url)
        if not self._is_json:
            self._say(f"nothing seen yet. {WATCH_LONGER}")

    def name(self, handshake: "Handshake", judgement: "Judgement") -> None:
        """Tell of a device with old TLS, each once."""
        from sniffer.event import Verdict

        if judgement.verdict is not Verdict.LEGACY or handshake.flow.source in self._named:
            return
        if len(self._named) < MOST_NAMED:
            self._named.add(handshake.flow.source)
            self._name(handshake, judgement)

    def pass_time(self, coverage: "Callable[[], tuple[Coverage, float]]") -> None:
        """Tell now and then, while nothing old was seen, how much was.

        ``coverage`` returns what was seen and how many seconds it was watched.
        """
        if self._named or self._is_quiet:
            return
        due = SAID_AFTER_SECONDS[min(self._said, len(SAID_AFTER_SECONDS) - 1)]
        due += 86_400 * max(0, self._said + 1 - len(SAID_AFTER_SECONDS))
        if self._clock() - self._started < due:
            return
        self._said += 1
        self.say_nothing_yet(*coverage())

    def say_nothing_yet(self, coverage: "Coverage", seconds: float) -> None:
        """Tell how much was seen with nothing old in it; nothing where something was."""
        from sniffer.export.words import nothing_yet

        if self._named:
            return
        told = f"no old TLS seen yet. {nothing_yet(coverage, seconds)}"
        if self._is_json:
            logger.info("No old TLS seen yet", {"what": told})
        else:
            self._say(told)

    def _name(self, handshake: "Handshake", judgement: "Judgement") -> None:
        from parsers.tls.names import version
        from sniffer.event import address
        from sniffer.log import printable

        flow, hello = handshake.flow, handshake.hello
        name = hello.server_name
        server = address(flow.destination) if name is None else printable(name)
        fields = {
            "device": address(flow.source),
            "offers": "unknown" if hello.max_offered is None else version(hello.max_offered),
            "server": server,
            "port": flow.destination_port,
            "outcome": handshake.outcome.value,
        }
        # A warning, by the log: it limits how many come in a minute, and counts the rest.
        logger.warning("New device with old TLS", fields)

    def _say(self, text: str) -> None:
        if not self._is_quiet:
            click.echo(f"hellowatch: {text}", err=True)
