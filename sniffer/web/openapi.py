"""The OpenAPI document: every path of the API, what it takes and what it answers.

It is made of the paths themselves; what they do not say stands in the tables below.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sniffer.event import Outcome, Status
from sniffer.web.captures import State

PATH = "/api/v1/openapi.json"
VERSION = "3.1.0"

Json = dict[str, Any]

TEXT: Json = {"type": "string"}
WHOLE: Json = {"type": "integer", "minimum": 0}
TIME: Json = {"type": "string", "format": "date-time"}
ADDRESS: Json = {
    "type": "object",
    "required": ["id", "url"],
    "properties": {"id": TEXT, "url": TEXT},
}


def _or_null(schema: Json) -> Json:
    return {"oneOf": [schema, {"type": "null"}]}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


CAPTURE: Json = {
    "type": "object",
    "properties": {
        "id": TEXT,
        "url": TEXT,
        "name": TEXT,
        "site": TEXT,
        "state": {"enum": [state.value for state in State]},
        "problem": _or_null(TEXT),
        "progress": _or_null({"type": "number", "minimum": 0, "maximum": 1}),
        "size": _or_null(WHOLE),
        "received": WHOLE,
        "hellos": WHOLE,
        "devices": WHOLE,
        "created": TIME,
        "expires": _or_null(TIME),
    },
}
CAPTURE["required"] = list(CAPTURE["properties"])

SCHEMAS: Json = {
    "Problem": {
        "type": "object",
        "required": ["title", "status", "detail"],
        "properties": {
            "type": TEXT,
            "title": TEXT,
            "status": {"type": "integer"},
            "detail": TEXT,
            "instance": TEXT,
        },
    },
    "Address": ADDRESS,
    "Accepted": {
        **ADDRESS,
        "properties": {
            **ADDRESS["properties"],
            "received": WHOLE,
            "captures": {"type": "array", "items": _ref("Address")},
        },
    },
    "Capture": CAPTURE,
    "Found": {
        **CAPTURE,
        "properties": {**CAPTURE["properties"], "summary": _ref("Summary")},
    },
    "Summary": {
        "type": "object",
        "required": ["inputs", "coverage", "profile", "totals", "devices"],
        "properties": {
            "inputs": {"type": "array", "items": {"type": "object"}},
            "coverage": {"type": "object"},
            "profile": {"type": "object"},
            "totals": {"type": "object"},
            "devices": {"type": "array", "items": _ref("Device")},
        },
    },
    "Device": {
        "type": "object",
        "required": ["id", "ip", "status", "stacks", "will_break", "why"],
        "properties": {
            "id": TEXT,
            "ip": TEXT,
            "status": {"enum": [status.value for status in Status]},
            "stacks": {"type": "array", "items": {"type": "object"}},
            "will_break": {"type": ["boolean", "null"]},
            "why": TEXT,
        },
    },
    "Picture": {
        "type": "object",
        "required": ["coverage", "now"],
        "properties": {"coverage": {"type": "object"}, "now": _or_null(TIME)},
    },
}


def _of(schema: Json, kind: str = "application/json") -> Json:
    return {"content": {kind: {"schema": schema}}}


def _with_picture(**properties: Json) -> Json:
    picture = SCHEMAS["Picture"]
    return {
        "type": "object",
        "required": [*properties, *picture["required"]],
        "properties": {**properties, **picture["properties"]},
    }


def _asked(name: str, schema: Json, description: str) -> Json:
    return {"name": name, "in": "query", "schema": schema, "description": description}


OCTETS = _of({"type": "string", "format": "binary"}, "application/octet-stream")
SITE = _asked("site", TEXT, "Where the capture comes from.")
LIMIT = _asked("limit", {**WHOLE, "maximum": 999_999_999}, "At most so many.")

TAKES: dict[tuple[str, str], Json] = {
    ("PUT", "/api/v1/captures/{id}"): {"parameters": [SITE], "requestBody": OCTETS},
    ("POST", "/api/v1/captures"): {
        "parameters": [SITE],
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "required": ["file"],
                        "properties": {
                            "file": {"type": "string", "format": "binary"},
                            "site": TEXT,
                        },
                    }
                },
                "application/json": {
                    "schema": {
                        "type": "object",
                        "required": ["name", "size"],
                        "additionalProperties": False,
                        "properties": {
                            "name": TEXT,
                            "size": {"type": "integer", "minimum": 1},
                            "site": TEXT,
                        },
                    }
                },
            },
        },
    },
    ("PATCH", "/api/v1/captures/{id}"): {
        "parameters": [
            {
                "name": "Upload-Offset",
                "in": "header",
                "required": True,
                "schema": WHOLE,
                "description": "At which octet this piece begins.",
            }
        ],
        "requestBody": OCTETS,
    },
    ("GET", "/api/v1/devices"): {
        "parameters": [
            _asked(
                "status",
                {"type": "array", "items": {"enum": [status.value for status in Status]}},
                "Of one of these statuses.",
            ),
            LIMIT,
        ]
    },
    ("GET", "/api/v1/handshakes"): {
        "parameters": [
            _asked("device", TEXT, "Of one device: its id, address or MAC."),
            _asked("since", TIME, "From then on."),
            _asked("outcome", {"enum": [one.value for one in Outcome]}, "Ended so."),
            LIMIT,
        ]
    },
}
"""By method and path: what a request may bring."""

EVENTS = _of(TEXT, "application/x-ndjson")
GIVES: dict[tuple[str, str], dict[str, Json]] = {
    ("GET", "/api/v1/captures"): {
        "200": _of(
            {
                "type": "object",
                "required": ["captures"],
                "properties": {"captures": {"type": "array", "items": _ref("Capture")}},
            }
        )
    },
    ("POST", "/api/v1/captures"): {"201": _of(_ref("Accepted")), "202": _of(_ref("Accepted"))},
    ("PUT", "/api/v1/captures/{id}"): {"202": _of(_ref("Accepted"))},
    ("GET", "/api/v1/captures/{id}"): {"200": _of(_ref("Found"))},
    ("PATCH", "/api/v1/captures/{id}"): {"202": _of(_ref("Accepted"))},
    ("DELETE", "/api/v1/captures/{id}"): {"204": {}},
    ("GET", "/api/v1/captures/{id}/events"): {"200": EVENTS},
    ("GET", "/api/v1/captures/{id}/summary"): {"200": _of(_ref("Summary"))},
    ("GET", "/api/v1/captures/{id}/progress"): {"200": _of(TEXT, "text/event-stream")},
    ("POST", "/api/v1/captures/{id}/keep"): {"200": _of(_ref("Capture"))},
    ("GET", "/api/v1/devices"): {
        "200": _of(_with_picture(devices={"type": "array", "items": _ref("Device")}))
    },
    ("GET", "/api/v1/devices/{id}"): {"200": _of({"allOf": [_ref("Device"), _ref("Picture")]})},
    ("GET", "/api/v1/handshakes"): {
        "200": _of(
            {
                "type": "object",
                "required": ["handshakes"],
                "properties": {"handshakes": {"type": "array", "items": {"type": "object"}}},
            }
        )
    },
    ("GET", "/api/v1/coverage"): {"200": _of(_ref("Picture"))},
    ("GET", PATH): {"200": _of({"type": "object"})},
}
"""By method and path: what is answered, if all goes well."""


def route(routes: Iterable[Route], version: str) -> Route:
    """Return the path of the document about other paths."""
    described = list(routes)

    async def get_document(_request: Request) -> Response:
        """Tell of all paths, in the form of OpenAPI."""
        return JSONResponse(document([*described, made], version))

    made = Route(PATH, get_document, methods=["GET"])
    return made


def document(routes: Iterable[Route], version: str) -> Json:
    """Return the document about these paths."""
    paths: Json = {}
    for one in routes:
        path = one.path.replace(":path}", "}")
        for method in sorted((one.methods or set()) - {"HEAD"}):
            paths.setdefault(path, {})[method.lower()] = _operation(one, method, path)
    return {
        "openapi": VERSION,
        "info": {
            "title": "HelloWatch",
            "version": version,
            "description": "Captures uploaded and analysed, and the inventory of devices.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {"schemas": SCHEMAS},
    }


def _operation(one: Route, method: str, path: str) -> Json:
    takes: Mapping[str, Any] = TAKES.get((method, path), {})
    named = [
        {"name": name, "in": "path", "required": True, "schema": TEXT}
        for name in one.param_convertors
    ]
    gives = {code: {"description": "Done.", **what} for code, what in GIVES[method, path].items()}
    problem = {"description": "Why not.", **_of(_ref("Problem"), "application/problem+json")}
    made = {
        "operationId": one.name,
        "summary": (one.endpoint.__doc__ or "").strip().partition("\n")[0],
        **takes,
        "parameters": [*named, *takes.get("parameters", [])],
        "responses": {**gives, "default": problem},
    }
    if not made["parameters"]:
        del made["parameters"]
    return made
