"""What is told of a request that cannot be served: RFC 9457, without a stack trace."""

from http import HTTPStatus

import msgspec
from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"


class Problem(Exception):
    """A request that is not served: the status, what is wrong, and what to do about it."""

    def __init__(
        self, status: int, detail: str, headers: dict[str, str] | None = None, **more: object
    ) -> None:
        """Say what is wrong and what to do in one sentence; ``more`` is told beside it."""
        self.status, self.detail = status, detail
        self.headers = headers or {}
        self.more = more
        super().__init__(detail)


def response(problem: Problem, path: str) -> Response:
    """Return what a program is answered."""
    told = {
        "type": "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
        "instance": path,
        **problem.more,
    }
    return Response(msgspec.json.encode(told), problem.status, problem.headers, MEDIA_TYPE)
