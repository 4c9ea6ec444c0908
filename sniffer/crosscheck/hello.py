"""A ClientHello as every dissector can tell it."""

from msgspec import Struct

FACTS = (
    *("client", "client_port", "server", "server_port", "hello_format"),
    *("record_version", "legacy_version", "supported_versions", "suites", "server_name"),
)
"""What is compared, in this order; a dissector that does not tell one leaves it None."""


class Hello(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One hello, by the frame that completed it; numbers are code points, GREASE left out."""

    frame: int
    client: str
    client_port: int
    server: str
    server_port: int
    hello_format: str | None = None
    """tls or sslv2."""
    record_version: int | None = None
    legacy_version: int | None = None
    supported_versions: tuple[int, ...] | None = None
    """Empty: the extension is not there, as far as the dissector tells."""
    suites: tuple[int, ...] | None = None
    server_name: str | None = None
    """Empty: the extension is not there, as far as the dissector tells."""


def without_grease(numbers: "list[int] | tuple[int, ...]") -> tuple[int, ...]:
    """Return the numbers that are none of RFC 8701's sixteen."""
    return tuple(n for n in numbers if n & 0x0F0F != 0x0A0A or n >> 8 != n & 0xFF)
