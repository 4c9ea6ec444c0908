"""The API of the contract's section 6: captures uploaded, and what was found in them."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec
from sse_starlette.sse import EventSourceResponse
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Route

from sniffer.web.captures import EVENTS, OVER, SUMMARY, UPLOAD, Capture, State
from sniffer.web.problems import Problem
from sniffer.web.services import Services
from sniffer.web.upload import FORM_ROOM_BYTES, Form, Writer, check_size, too_large

PREFIX = "/api/v1"
NDJSON = "application/x-ndjson"
OFFSET = "Upload-Offset"
CHUNK_BYTES = 1 << 16
LONGEST_JSON = 1 << 16
NEWS_SECONDS = 0.1
"""Who follows a capture hears of it no more often."""


class Reservation(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """An upload that will come piece by piece."""

    name: str
    size: int
    site: str = ""


def routes() -> list[Route]:
    """Return the paths of the API."""
    one = f"{PREFIX}/captures/{{id}}"
    return [
        Route(f"{PREFIX}/captures", list_captures, methods=["GET"]),
        Route(f"{PREFIX}/captures", post_capture, methods=["POST"]),
        Route(one, get_capture, methods=["GET"]),
        Route(one, patch_capture, methods=["PATCH"]),
        Route(one, delete_capture, methods=["DELETE"]),
        Route(f"{one}/events", get_events, methods=["GET"]),
        Route(f"{one}/summary", get_summary, methods=["GET"]),
        Route(f"{one}/progress", get_progress, methods=["GET"]),
        Route(f"{one}/keep", keep_capture, methods=["POST"]),
        Route(f"{PREFIX}/captures/{{id:path}}", put_capture, methods=["PUT"]),
    ]


# -- uploads -------------------------------------------------------------------------------


async def put_capture(request: Request) -> Response:
    """Take a capture as the raw body of the request."""
    services = Services.of(request)
    size = _length(request)
    check_size(size, services.settings.serve.upload_bytes, services.captures.free_bytes())
    name = request.path_params["id"].rpartition("/")[2]
    capture = _new(services, name, request.query_params.get("site", ""), size)
    async with _begun(services, [capture]), _receiving(services, capture) as writer:
        async for octets in request.stream():
            await writer.write(octets)
    services.analyses.submit(capture)
    return _accepted([capture])


async def post_capture(request: Request) -> Response:
    """Take captures in a form's field ``file``, or promise room for one that comes in pieces."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        return await _reserve(request)
    if kind != "multipart/form-data":
        why = "send the capture as multipart/form-data in the field file, or by PUT as it is"
        raise Problem(415, why)
    return _accepted(await captures_of_form(request))


async def captures_of_form(request: Request) -> list[Capture]:
    """Return the captures in a form, on their way to the analysis. Raises Problem."""
    services = Services.of(request)
    most = services.settings.serve.upload_bytes
    check_size(_length(request), most + FORM_ROOM_BYTES, services.captures.free_bytes())
    form = Form(request)
    taken: list[Capture] = []
    async with _begun(services, taken):
        async for name, content in form.files():
            capture = _new(services, name, request.query_params.get("site", ""), None)
            taken.append(capture)
            async with _receiving(services, capture) as writer:
                async for octets in content:
                    await writer.write(octets)
        for capture in list(taken):
            if capture.received == 0 and len(taken) > 1:
                taken.remove(capture)
                services.captures.remove(capture)
        if not taken:
            raise Problem(400, "the form has no field file with a capture in it")
    for capture in taken:
        capture.site = capture.site or form.fields.get("site", "")
        services.analyses.submit(capture)
    return taken


async def _reserve(request: Request) -> Response:
    services = Services.of(request)
    body = b""
    async for octets in request.stream():
        body += octets
        if len(body) > LONGEST_JSON:
            raise too_large(LONGEST_JSON)
    try:
        asked = msgspec.json.decode(body, type=Reservation)
    except msgspec.MsgspecError as error:
        raise Problem(400, f"this asks for no upload: {error}") from error
    if asked.size < 1:
        raise Problem(400, "this asks for no upload: size is the number of octets to come")
    serve = services.settings.serve
    check_size(asked.size, serve.upload_bytes, services.captures.free_bytes())
    capture = _new(services, asked.name, asked.site, asked.size)
    told = {**_address(capture), "received": 0}
    return _json(told, 201, {"Location": told["url"]})


async def patch_capture(request: Request) -> Response:
    """Take the next octets of a capture that comes in pieces."""
    services = Services.of(request)
    capture = capture_of(request)
    if capture.state is not State.UPLOADING or capture.size is None:
        raise Problem(409, "this capture is here whole; nothing can be added to it")
    offset = request.headers.get(OFFSET, "")
    if capture.id in services.receiving or offset != str(capture.received):
        why = f"go on at the octet that {OFFSET} names in this answer, one piece at a time"
        raise Problem(409, why, {OFFSET: str(capture.received)}, received=capture.received)
    async with _receiving(services, capture, capture.size) as writer:
        async for octets in request.stream():
            await writer.write(octets)
    if capture.received == capture.size:
        services.analyses.submit(capture)
    return _json({**_address(capture), "received": capture.received}, 202)


def _new(services: Services, name: str, site: str, size: int | None) -> Capture:
    """Return a new capture, if there is room for one more. Raises Problem."""
    waiting = (State.QUEUED, State.RUNNING)
    busy = len(services.receiving) + sum(one.state in waiting for one in services.captures.all())
    if busy >= services.settings.serve.uploads:
        why = f"{busy} uploads are under way or wait; try again in a moment"
        raise Problem(503, why, {"Retry-After": "5"})
    try:
        return services.captures.new(name, site, size, time.time())
    except OSError as error:
        raise Problem(507, f"the upload cannot be kept: {error.strerror}") from error


@asynccontextmanager
async def _begun(services: Services, captures: list[Capture]) -> AsyncIterator[None]:
    """Remove captures that did not come whole."""
    try:
        yield
    except BaseException:
        for capture in captures:
            services.captures.remove(capture)
        raise


@asynccontextmanager
async def _receiving(
    services: Services, capture: Capture, size: int | None = None
) -> AsyncIterator[Writer]:
    """Return what takes the octets of a capture; what came is kept, whatever ends it."""
    most = services.settings.serve.upload_bytes if size is None else size
    try:
        writer = Writer(services.captures.path(capture, UPLOAD), most)
    except OSError as error:
        raise Problem(507, f"the upload cannot be kept: {error.strerror}") from error
    services.receiving.add(capture.id)
    try:
        yield writer
    finally:
        try:
            await writer.flush()
        finally:
            writer.close()
            capture.received = writer.written
            services.receiving.discard(capture.id)
            services.analyses.tell(capture)


# -- answers -------------------------------------------------------------------------------


async def list_captures(request: Request) -> Response:
    """List the captures, the newest first."""
    services = Services.of(request)
    return _json({"captures": [told(services, one) for one in services.captures.all()]})


async def get_capture(request: Request) -> Response:
    """Tell how far a capture has come and, when that is so, what was found."""
    services, capture = Services.of(request), capture_of(request)
    head = msgspec.json.encode(told(services, capture))
    if capture.state not in (State.DONE, State.PARTIAL):
        return Response(head, media_type="application/json")
    path = services.captures.path(capture, SUMMARY)

    async def body() -> AsyncIterator[bytes]:
        yield head[:-1] + b',"summary":'
        with open(path, "rb") as file:
            while octets := await asyncio.to_thread(file.read, CHUNK_BYTES):
                yield octets
        yield b"}"

    return StreamingResponse(body(), media_type="application/json")


async def get_events(request: Request) -> Response:
    """Return the handshakes of a capture, one a line."""
    return _result(request, EVENTS, NDJSON)


async def get_summary(request: Request) -> Response:
    """Return the summary of a capture alone."""
    return _result(request, SUMMARY, "application/json")


async def get_progress(request: Request) -> Response:
    """Follow a capture until its analysis is over: server-sent events, each the whole state."""
    services, capture = Services.of(request), capture_of(request)

    async def states() -> AsyncIterator[dict[str, str]]:
        while True:
            state = told(services, capture)
            yield {"event": "state", "data": msgspec.json.encode(state).decode()}
            if capture.state in OVER or services.captures.get(capture.id) is None:
                return
            await services.analyses.news(capture)
            await asyncio.sleep(NEWS_SECONDS)

    return EventSourceResponse(states())


async def keep_capture(request: Request) -> Response:
    """Keep a capture until somebody deletes it."""
    services, capture = Services.of(request), capture_of(request)
    capture.is_kept = True
    services.captures.save(capture)
    return _json(told(services, capture))


async def delete_capture(request: Request) -> Response:
    """Remove a capture, and all that was found in it."""
    services, capture = Services.of(request), capture_of(request)
    if capture.id in services.receiving:
        raise Problem(409, "its octets are still coming; end the upload first")
    await services.analyses.cancel(capture)
    await asyncio.to_thread(services.captures.remove, capture)
    return Response(status_code=204)


def told(services: Services, capture: Capture) -> dict[str, Any]:
    """Return what is known of a capture, but for what was found."""
    keeps = services.settings.serve.keep_hours * 3600
    ends = None if capture.is_kept else _time(capture.created_seconds + keeps)
    return {
        **_address(capture),
        "name": capture.name,
        "site": capture.site,
        "state": capture.state.value,
        "problem": capture.problem,
        "progress": _progress(capture),
        "size": capture.size,
        "received": capture.received,
        "hellos": capture.hellos,
        "devices": capture.devices,
        "created": _time(capture.created_seconds),
        "expires": ends,
    }


def _progress(capture: Capture) -> float | None:
    """Return which part of what is going on is done; None: nobody can tell."""
    if capture.state in OVER:
        return 1.0
    if capture.state is State.UPLOADING:
        return None if capture.size is None else capture.received / capture.size
    return capture.octets / capture.received if capture.received else 0.0


def _address(capture: Capture) -> dict[str, Any]:
    return {"id": capture.id, "url": f"{PREFIX}/captures/{capture.id}"}


def _accepted(captures: list[Capture]) -> Response:
    addresses = [_address(capture) for capture in captures]
    more = {"captures": addresses} if len(addresses) > 1 else {}
    return _json({**addresses[0], **more}, 202, {"Location": addresses[0]["url"]})


def _result(request: Request, file: str, kind: str) -> Response:
    services, capture = Services.of(request), capture_of(request)
    if capture.state not in OVER:
        raise Problem(409, f"its analysis is not over: it is {capture.state.value}")
    if capture.state is State.FAILED:
        raise Problem(409, f"nothing was found, for it could not be read: {capture.problem}")
    return FileResponse(services.captures.path(capture, file), media_type=kind)


def capture_of(request: Request) -> Capture:
    """Return the capture that a path names. Raises Problem."""
    capture = Services.of(request).captures.get(request.path_params["id"])
    if capture is None:
        raise Problem(404, "there is no such capture; its time may be over")
    return capture


def _length(request: Request) -> int | None:
    length = request.headers.get("content-length")
    return int(length) if length is not None and length.isascii() and length.isdigit() else None


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _json(told: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(told), status, headers, "application/json")
