"""What the pages and the API work with; made once, handed over by the application."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

from starlette.requests import Request

from sniffer.config import Settings
from sniffer.web.analyses import Analyses
from sniffer.web.captures import Captures

if TYPE_CHECKING:
    from sniffer.web.inventory import Inventory
    from sniffer.web.picture import Pictures


class Services(NamedTuple):
    """Everything behind the pages."""

    settings: Settings
    captures: Captures
    analyses: Analyses
    inventory: Inventory
    pictures: Pictures
    receiving: set[str]
    """Uploads whose octets come right now."""
    version: str
    """Of HelloWatch."""

    @classmethod
    def of(cls, request: Request) -> Services:
        """Return those of the application that a request came to."""
        return cast("Services", request.app.state.services)
