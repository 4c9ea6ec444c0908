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
from sniffer.web import api
from sniffer.web.captures import OVER, SUMMARY, Capture, State
from sniffer.web.problems import Problem
from sniffer.web.render import page, script
from sniffer.web.services import Services

MOST_ROWS = 500
"""Devices shown of a capture; the JSON has all of them."""
LARGEST_SUMMARY = 16 << 20
"""Octets of a summary that are made a page of."""
FOR_EVER = {"Cache-Control": "max-age=31536000, immutable"}
KINDS = {True: "good", False: "bad", None: "warn"}


def routes() -> list[Route]:
    """Return the paths of the pages."""
    return [
        Route("/", show_first, methods=["GET"]),
        Route("/captures", show_captures, methods=["GET"]),
        Route("/captures", post_captures, methods=["POST"]),
        Route("/captures/{id}", show_capture, methods=["GET"]),
        Route("/captures/{id}/keep", keep_capture, methods=["POST"]),
        Route("/captures/{id}/delete", delete_capture, methods=["POST"]),
        Route("/static/style.css", get_style, methods=["GET"]),
        Route("/static/live.js", get_script, methods=["GET"]),
    ]


async def show_first(_request: Request) -> Response:
    """Show the captures first."""
    return RedirectResponse("/captures")


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
        "nothing": words.nothing_yet(
            Coverage(frames=coverage["frames"], flows=coverage["flows"], hellos=coverage["hellos"]),
            coverage["watched_seconds"],
        ),
    }


def _answer(told: Readiness) -> dict[str, str]:
    return {
        "kind": KINDS[told.is_ready],
        "word": f"Safe to switch off old TLS? {told.word}.",
        "because": told.because,
    }
