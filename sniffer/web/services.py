"""What the pages and the API work with; made once, handed over by the application."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, cast

from starlette.requests import Request

from sniffer.config import Settings
from sniffer.web.analyses import Analyses
from sniffer.web.captures import Captures


class Services(NamedTuple):
    """Everything behind the pages."""

    settings: Settings
    captures: Captures
    analyses: Analyses
    receiving: set[str]
    """Uploads whose octets come right now."""

    @classmethod
    def of(cls, request: Request) -> Services:
        """Return those of the application that a request came to."""
        return cast("Services", request.app.state.services)


def services(settings: Settings, folder: Path) -> Services:
    """Return the services over a folder of captures. Raises OSError."""
    captures = Captures(folder)
    return Services(settings, captures, Analyses(captures, settings), set())
