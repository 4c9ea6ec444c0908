"""Pages out of templates. Whatever was on the wire is text in them, never markup."""

import hashlib
from functools import cache
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from sniffer.export.markup import environment, style
from sniffer.web.services import Services

PAGES = (
    ("/", "Overview"),
    ("/devices", "Devices"),
    ("/captures", "Captures"),
    ("/coverage", "Coverage"),
)


def page(request: Request, template: str, status: int = 200, **context: object) -> Response:
    """Return a page made of a template."""
    told = {
        "digest": digest(),
        "here": request.url.path,
        "pages": PAGES,
        "version": Services.of(request).version,
        **context,
    }
    return HTMLResponse(environment("sniffer.web").get_template(template).render(told), status)


@cache
def digest() -> str:
    """Return what changes when a style or script does."""
    return hashlib.sha256(style().encode() + script()).hexdigest()[:12]


@cache
def script() -> bytes:
    """Return the script."""
    return files("sniffer.web").joinpath("live.js").read_bytes()
