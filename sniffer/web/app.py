"""The application: its paths, its guard, and what works beside them."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from sniffer.config import split_address
from sniffer.errors import StoreError
from sniffer.web import api, inventory, openapi, pages
from sniffer.web.guard import Guard, own_hosts
from sniffer.web.problems import Problem, response
from sniffer.web.render import page
from sniffer.web.services import Services

logger = logging.getLogger(__name__)

EXPIRY_SECONDS = 60.0
"""How often somebody looks for captures whose time is over."""


def application(services: Services) -> ASGIApp:
    """Return what answers requests."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            works = [
                group.create_task(services.analyses.run()),
                group.create_task(_expire(services)),
            ]
            yield
            for work in works:
                work.cancel()

    paths = [*api.routes(), *inventory.routes()]
    app = Starlette(
        routes=[
            *paths,
            *pages.routes(),
            openapi.route(paths, services.version),
            Route("/-/healthy", healthy, methods=["GET"]),
            Route("/-/ready", healthy, methods=["GET"]),
        ],
        lifespan=lifespan,
        exception_handlers={
            Problem: _told,
            HTTPException: _library_told,
            ClientDisconnect: _gone,
            StoreError: _unreadable,
            Exception: _mistake,
        },
    )
    app.state.services = services
    serve = services.settings.serve
    host, _ = split_address(serve.listen_address)
    return Guard(app, own_hosts(host, serve.hosts), serve.request_seconds)


async def healthy(_request: Request) -> Response:
    """Say that requests are answered."""
    return PlainTextResponse("OK\n")


async def _told(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)  # noqa: S101 (tells mypy, always true)
    return _refused(request, error)


def _refused(request: Request, problem: Problem) -> Response:
    """Tell a program, or somebody who reads a page."""
    if request.url.path.startswith(api.PREFIX) or "text/html" not in request.headers.get(
        "accept", ""
    ):
        return response(problem, request.url.path)
    title = HTTPStatus(problem.status).phrase
    made = page(request, "problem.html", status=problem.status, title=title, detail=problem.detail)
    made.headers.update(problem.headers)
    return made


async def _library_told(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 (tells mypy, always true)
    why = {
        404: "there is no such page",
        405: "this cannot be done with this page",
    }
    detail = why.get(error.status_code, error.detail)
    headers = dict(error.headers or {})
    return _refused(request, Problem(error.status_code, detail, headers))


async def _gone(request: Request, _error: Exception) -> Response:
    return _refused(request, Problem(400, "the request ended early"))


async def _unreadable(request: Request, error: Exception) -> Response:
    why = f"the inventory cannot be read: {getattr(error, 'why', error)}"
    return _refused(request, Problem(503, why))


async def _mistake(request: Request, _error: Exception) -> Response:
    why = "a mistake of HelloWatch itself; its log has a line about it"
    return _refused(request, Problem(500, why))


async def _expire(services: Services) -> None:
    """Remove captures whose time is over."""
    while True:
        serve = services.settings.serve
        for capture in services.captures.expired(time.time(), serve.keep_hours * 3600):
            if capture.id in services.receiving:
                continue
            await services.analyses.cancel(capture)
            with suppress(OSError):
                await asyncio.to_thread(services.captures.remove, capture)
                logger.info("A capture's time is over", {"id": capture.id})
        await asyncio.sleep(EXPIRY_SECONDS)
