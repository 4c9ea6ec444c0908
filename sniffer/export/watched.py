"""The next handshake of a device, told from a store that someone else writes.

Of a device that needs action it is the event. Of one that is ok no event is kept, and none is
made for this: it is told from the counts that have grown, as far as they go.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from parsers.tls.names import version as version_name
from sniffer.event import Outcome, Verdict, address
from sniffer.export.words import OUTCOME, verdict_words
from sniffer.inventory.aggregate import StackSnapshot
from sniffer.inventory.store.reader import Reader, Stored
from sniffer.log import one_line, printable

Json = dict[str, Any]


class Mark:
    """What was known of a device when somebody began to watch it."""

    def __init__(self, now_ns: int | None, devices: list[Stored]) -> None:
        """Take in what the store says; nothing where the device was never seen."""
        self._now_ns = now_ns
        self._stacks = {one.id: _counts(one) for one in devices}

    def news(self, reader: Reader, device: Stored) -> Iterator[Json]:
        """Yield what the device said since, as events with what is known of them."""
        since_ns = None if self._now_ns is None else self._now_ns + 1
        if device.is_telling:
            found = [msgspec.json.decode(one.told) for one in reader.events(device.id, since_ns)]
            if found:
                yield from found
                return
        before = self._stacks.get(device.id, {})
        for stack in device.snapshot.stacks:
            known = before.get(_name(stack), {})
            yield from _grown(device, stack, known)


def is_old(event: Mapping[str, Any]) -> bool | None:
    """Tell whether an event's offer is or may be refused; None: it does not show."""
    match event["hellowatch"]["verdict"]:
        case Verdict.UNKNOWN:
            return None
        case Verdict.OK | Verdict.FALLBACK:
            return False
    return True


def event_line(event: Mapping[str, Any]) -> str:
    """Return an event as a line for people."""
    own = event["hellowatch"]
    to = event.get("destination", {})
    name = event.get("tls", {}).get("client", {}).get("server_name") or to.get("ip", "a server")
    port = f":{to['port']}" if "port" in to else ""
    offered = own.get("max_offered", "an unknown version")
    told = [
        f"{event['source']['ip']} to {name}{port} ({event['network']['protocol']})",
        f"offers {offered}",
        verdict_words(Verdict(own["verdict"])) if own["verdict"] != "legacy" else "Old TLS",
        OUTCOME[Outcome(own["outcome"])],
    ]
    when = f"{event['@timestamp']}  " if "@timestamp" in event else ""
    return one_line(when + "; ".join(told))


def _counts(device: Stored) -> dict[str, dict[str, int]]:
    return {_name(stack): _counters(stack) for stack in device.snapshot.stacks}


def _counters(stack: StackSnapshot) -> dict[str, int]:
    """Return everything that is counted of a stack, by words that tell it apart."""
    counts = {f"outcome {word}": hellos for word, hellos in stack.outcomes.items()}
    for to in stack.destinations:
        name = "" if to.name is None else printable(to.name)
        counts[f"place {address(to.address)} {to.port} {name}"] = to.hellos
    for use in stack.uses:
        counts[f"use {use.service} {use.destination}"] = use.hellos
    return counts


def _grown(device: Stored, stack: StackSnapshot, known: Mapping[str, int]) -> Iterator[Json]:
    """Yield one event for each use that was made of a stack since."""
    counts = _counters(stack)
    more = [words.split(" ") for words, hellos in counts.items() if hellos > known.get(words, 0)]
    outcomes = [words[1] for words in more if words[0] == "outcome"]
    places = [words[1:] for words in more if words[0] == "place"]
    for use in stack.uses:
        if ["use", use.service, use.destination] not in more:
            continue
        event: Json = {
            "source": {"ip": device.ip},
            "network": {"protocol": use.service},
            "hellowatch": {
                "verdict": use.verdict.value,
                "outcome": outcomes[0] if len(outcomes) == 1 else Outcome.UNKNOWN.value,
            },
        }
        if len(places) == 1:
            ip, port, name = places[0]
            event["destination"] = {"ip": ip, "port": int(port)}
            if name:
                event["tls"] = {"client": {"server_name": name}}
        if stack.shape is not None:
            if stack.shape.max_offered is not None:
                event["hellowatch"]["max_offered"] = version_name(stack.shape.max_offered)
            if stack.shape.ja4 is not None:
                event["hellowatch"]["ja4"] = stack.shape.ja4
        yield event


def _name(stack: StackSnapshot) -> str:
    return "" if stack.shape is None else stack.shape.id
