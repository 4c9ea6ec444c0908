"""Templates of pages and reports: what they share. Whatever was on the wire is text in them.

Jinja2 is loaded by who makes a page, and by nobody else.
"""

import shlex
from collections.abc import Mapping
from datetime import UTC, date, datetime
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import (
    ChoiceLoader,
    Environment,
    PackageLoader,
    StrictUndefined,
    select_autoescape,
)

from parsers.tls.names import VERSIONS
from sniffer.event import Status, Verdict
from sniffer.export import words

KINDS = {
    Status.REFUSED: "bad",
    Status.LEGACY: "bad",
    Status.INCOMPATIBLE: "bad",
    Status.AT_RISK: "warn",
    Status.IMPROVING: "warn",
    Status.EXCEPTED: "warn",
    Status.RELAYED: "good",
    Status.FIXED: "good",
    Status.OK: "good",
}
"""How a status is coloured; the others are calm."""
MOST_KNOWN = 2
"""Names of a device shown in a list."""

_CODES = {name: code for code, name in VERSIONS.items()}

Json = Mapping[str, Any]


@cache
def environment(*packages: str) -> Environment:
    """Return what finds the templates of these packages, and those that all share."""
    made = Environment(
        loader=ChoiceLoader([PackageLoader(name) for name in (*packages, "sniffer.export")]),
        autoescape=select_autoescape(disabled_extensions=("md",), default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["words"] = words
    made.filters |= {
        "moment": moment,
        "day": day,
        "octets": words.octets,
        "status": status,
        "kind": lambda device: KINDS.get(Status(device["status"]), ""),
        "breaks": lambda device: words.break_words(device["will_break"], device["breaks"]),
        "known": known,
        "verdict": verdict,
        "quoted": shlex.quote,
        "number": lambda number: f"{number:,}",
        "turn": turn,
        "inert": inert,
    }
    return made


@cache
def style() -> str:
    """Return the style sheet of pages and reports."""
    return files("sniffer.export").joinpath("templates", "style.css").read_text("utf-8")


def turn(told: Json, device: Json) -> str:
    """Return one turn of a device's history in words, or how it fares with one service."""
    from sniffer.export.stored import turn_words

    return turn_words(device["stacks"], Status(told["status"]), told["refused_by"])


def status(device: Json) -> str:
    """Return a device's status in words, as the summary tells the device."""
    tops = [_CODES[stack["max_offered"]] for stack in device["stacks"] if stack["max_offered"]]
    established = sum(stack["outcomes"].get("established", 0) for stack in device["stacks"])
    first, last = (datetime.fromisoformat(device[key]) for key in ("first_seen", "last_seen"))
    return words.status_words(
        Status(device["status"]),
        min(tops, default=None),
        device["refused_by"],
        established,
        (last - first).days + 1,
    )


def known(device: Json) -> list[str]:
    """Return what a device is known as, beside its address."""
    told = [*device["names"][:MOST_KNOWN], device["vendor"], device["class"], device["place"]]
    return [text for text in told if text]


def verdict(stack: Json) -> str:
    """Return a stack's verdict in words."""
    return words.verdict_words(Verdict(stack["verdict"]), _CODES.get(stack["max_offered"]))


def moment(text: str) -> str:
    """Return a time to the minute, in UTC."""
    return datetime.fromisoformat(text).astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def day(text: str) -> str:
    """Return a day as people write it, so that none takes it for a month."""
    told = date.fromisoformat(text[:10])
    return f"{told.day} {told:%B %Y}"


def inert(text: object) -> str:
    """Return a text in which nothing means anything to Markdown."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>()#+-.!|~&" else c for c in str(text))
