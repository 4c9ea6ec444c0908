"""The pages that people read. Each is complete without JavaScript."""

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from sniffer.export import words
from sniffer.export.markup import style
from sniffer.export.readiness import Counts, Readiness, readiness
from sniffer.inventory.coverage import Coverage
from sniffer.web import api, inventory
from sniffer.web.captures import OVER, SUMMARY, Capture, State
from sniffer.web.problems import Problem
from sniffer.web.render import page, script
from sniffer.web.services import Services

MOST_URGENT = 10
"""Devices on the first page."""
PAGE_ROWS = 100
"""Devices on one page of the list."""
MOST_ROWS = 500
"""Devices shown of a capture; the JSON has all of them."""
LARGEST_SUMMARY = 16 << 20
"""Octets of a summary that are made a page of."""
FOR_EVER = {"Cache-Control": "max-age=31536000, immutable"}
KINDS = {True: "good", False: "bad", None: "warn"}


def routes() -> list[Route]:
    """Return the paths of the pages."""
    return [
        Route("/", show_overview, methods=["GET"]),
        Route("/devices", show_devices, methods=["GET"]),
        Route("/devices/{id}", show_device, methods=["GET"]),
        Route("/coverage", show_coverage, methods=["GET"]),
        Route("/captures", show_captures, methods=["GET"]),
        Route("/captures", post_captures, methods=["POST"]),
        Route("/captures/{id}", show_capture, methods=["GET"]),
        Route("/captures/{id}/keep", keep_capture, methods=["POST"]),
        Route("/captures/{id}/delete", delete_capture, methods=["POST"]),
        Route("/static/style.css", get_style, methods=["GET"]),
        Route("/static/live.js", get_script, methods=["GET"]),
    ]


async def show_overview(request: Request) -> Response:
    """Show the answer, and what is most urgent."""
    picture = await Services.of(request).pictures.latest()
    return page(
        request,
        "overview.html",
        title="Overview",
        picture=picture,
        answer=_answer(picture.readiness),
        first=picture.devices[:MOST_URGENT],
        more=len(picture.devices) > MOST_URGENT,
        nothing=_nothing(picture.coverage),
    )


async def show_devices(request: Request) -> Response:
    """Show the devices that were searched for, the most urgent first."""
    picture = await Services.of(request).pictures.latest()
    q, status = (request.query_params.get(name, "") for name in ("q", "status"))
    found = [one for one in picture.devices if _fits(one, q.casefold(), status)]
    last = max(1, -(-len(found) // PAGE_ROWS))
    asked = request.query_params.get("page", "1")
    number = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 9 else 1
    number = min(max(1, number), last)
    return page(
        request,
        "devices.html",
        title="Devices",
        picture=picture,
        statuses=sorted(picture.statuses.items()),
        q=q,
        chosen=status,
        found=len(found),
        shown=found[(number - 1) * PAGE_ROWS : number * PAGE_ROWS],
        page=number,
        last=last,
    )


def show_device(request: Request) -> Response:
    """Show one device: what it is, how it fares, its evidence and its history."""
    told = inventory.device_told(request)
    return page(request, "device.html", title=told["ip"], device=told, coverage=told["coverage"])


async def show_coverage(request: Request) -> Response:
    """Show how far the picture can be trusted."""
    picture = await Services.of(request).pictures.latest()
    return page(request, "coverage.html", title=words.COVERAGE, picture=picture)


async def show_captures(request: Request) -> Response:
    """Show the captures, and where others are dropped."""
    services = Services.of(request)
    return page(
        request,
        "captures.html",
        title="Captures",
        captures=[api.told(services, one) for one in services.captures.all()],
        limit=words.octets(services.settings.serve.upload_bytes),
    )


async def post_captures(request: Request) -> Response:
    """Take the captures of the form, and show the one, or all."""
    taken = await api.captures_of_form(request)
    where = f"/captures/{taken[0].id}" if len(taken) == 1 else "/captures"
    return RedirectResponse(where, 303)


async def show_capture(request: Request) -> Response:
    """Show what was found in a capture, or how far it has come."""
    services, capture = Services.of(request), api.capture_of(request)
    summary = await asyncio.to_thread(_summary, services, capture)
    found = {} if summary is None else _found(summary)
    return page(
        request,
        "capture.html",
        title=capture.name,
        capture=api.told(services, capture),
        under_way=capture.state not in OVER,
        summary=summary,
        **found,
    )


async def keep_capture(request: Request) -> Response:
    """Keep a capture, and show it again."""
    await api.keep_capture(request)
    return RedirectResponse(f"/captures/{request.path_params['id']}", 303)


async def delete_capture(request: Request) -> Response:
    """Delete a capture, and show the others."""
    await api.delete_capture(request)
    return RedirectResponse("/captures", 303)


async def get_style(_request: Request) -> Response:
    """Return the style sheet. Its address changes when it does."""
    return Response(style(), headers=FOR_EVER, media_type="text/css")


async def get_script(_request: Request) -> Response:
    """Return the script. Its address changes when it does."""
    return Response(script(), headers=FOR_EVER, media_type="text/javascript")


def _summary(services: Services, capture: Capture) -> dict[str, Any] | None:
    path = services.captures.path(capture, SUMMARY)
    if capture.state not in (State.DONE, State.PARTIAL):
        return None
    if path.stat().st_size > LARGEST_SUMMARY:
        raise Problem(413, "so many devices make no page; read them as JSON: its summary")
    told: dict[str, Any] = msgspec.json.decode(path.read_bytes())
    return told


def _found(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the page of a capture says of its summary."""
    devices = sorted(summary["devices"], key=words.urgency)
    coverage = summary["coverage"]
    more = len(devices) - MOST_ROWS
    return {
        "answer": _answer(readiness(Counts.of(devices), coverage)),
        "devices": devices[:MOST_ROWS],
        "more": words.counted(more, "device") if more > 0 else "",
        "nothing": _nothing(coverage),
    }


def _nothing(coverage: Mapping[str, Any]) -> str:
    """Say what was seen, where no device was."""
    counts = {key: coverage[key] for key in ("frames", "flows", "hellos")}
    return words.nothing_yet(Coverage(**counts), coverage["watched_seconds"])


def _fits(device: Mapping[str, Any], text: str, status: str) -> bool:
    """Tell whether a device is among those that were searched for; ``text`` in small letters."""
    if status and device["status"] != status:
        return False
    known = (device[key] for key in ("ip", "mac", "vendor", "class", "place", "owner", "site"))
    told = (*device["names"], *known)
    return not text or any(text in one.casefold() for one in told if one)


def _answer(told: Readiness) -> dict[str, str]:
    return {
        "kind": KINDS[told.is_ready],
        "word": f"Safe to switch off old TLS? {told.word}.",
        "because": told.because,
    }
