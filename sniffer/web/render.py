"""Pages out of templates. Whatever was on the wire is text in them, never markup."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from parsers.tls.names import VERSIONS
from sniffer.event import Status, Verdict
from sniffer.export import words
from sniffer.web.services import Services

PAGES = (("/captures", "Captures"),)
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


def page(request: Request, template: str, status: int = 200, **context: object) -> Response:
    """Return a page made of a template."""
    told = {
        "digest": digest(),
        "here": request.url.path,
        "pages": PAGES,
        "version": Services.of(request).version,
        "words": words,
        **context,
    }
    return HTMLResponse(_environment().get_template(template).render(told), status)


def row(device: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a list shows of a device, as the summary tells it."""
    status = Status(device["status"])
    tops = [_CODES[stack["max_offered"]] for stack in device["stacks"] if stack["max_offered"]]
    established = sum(stack["outcomes"].get("established", 0) for stack in device["stacks"])
    known = [*device["names"][:MOST_KNOWN], device["vendor"], device.get("owner")]
    return {
        "id": device["id"],
        "ip": device["ip"],
        "known": [text for text in known if text],
        "status": words.status_words(
            status,
            min(tops, default=None),
            device["refused_by"],
            established,
            _days(device["first_seen"], device["last_seen"]),
        ),
        "kind": KINDS.get(status, ""),
        "breaks": words.break_words(device["will_break"], device["breaks"]),
        "why": device["why"],
        "hellos": device["hellos"],
        "last_seen": device["last_seen"],
    }


@cache
def digest() -> str:
    """Return what changes when a style or script does."""
    found = hashlib.sha256()
    for file in sorted(files("sniffer.web").joinpath("static").iterdir(), key=lambda f: f.name):
        found.update(file.read_bytes())
    return found.hexdigest()[:12]


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("sniffer.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"moment": _moment, "octets": words.octets, "verdict": _verdict}
    return made


def _moment(text: str) -> str:
    return datetime.fromisoformat(text).astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def _verdict(stack: Mapping[str, Any]) -> str:
    return words.verdict_words(Verdict(stack["verdict"]), _CODES.get(stack["max_offered"]))


def _days(first: str, last: str) -> int:
    return (datetime.fromisoformat(last) - datetime.fromisoformat(first)).days + 1
