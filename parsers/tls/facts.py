"""What a hello or an alert said: frozen, in numbers, with no opinion.

Code points stay integers here; ``parsers.tls.names`` has the words for them. GREASE values
(RFC 8701) are kept where the wire had them, except where a property says otherwise: a
fingerprint, a maximum or a verdict never sees them.
"""

from dataclasses import dataclass

SSL_2_0 = 0x0002
SSL_3_0 = 0x0300
TLS_1_0 = 0x0301
TLS_1_1 = 0x0302
TLS_1_2 = 0x0303
TLS_1_3 = 0x0304

KNOWN_VERSIONS = frozenset((SSL_2_0, SSL_3_0, TLS_1_0, TLS_1_1, TLS_1_2, TLS_1_3))

FALLBACK_SCSV = 0x5600
"""TLS_FALLBACK_SCSV: this hello is a retry below the client's best (RFC 7507)."""


def is_grease(code: int) -> bool:
    """Tell whether a 16-bit code point is one of GREASE's sixteen (RFC 8701 section 2)."""
    return code & 0x0F0F == 0x0A0A and code >> 8 == code & 0xFF


def is_tls13_draft(version: int) -> bool:
    """Tell whether a version names a draft of TLS 1.3: 0x7fNN, or Facebook's 0xfbNN."""
    return version >> 8 in (0x7F, 0xFB)


@dataclass(frozen=True, slots=True)
class ClientHello:
    """One ClientHello (RFC 8446 section 4.1.2, RFC 5246 section 7.4.1.2 and appendix E.2).

    ``hello_format`` is "tls" or "sslv2"; ``record_version`` is None for the latter.
    ``complete`` False: the octets ended early, and only what was seen in whole is here; a
    list that was not seen to its end is None. In a complete hello None means that the
    extension was not offered.
    """

    hello_format: str
    record_version: int | None
    legacy_version: int
    random: bytes
    """32 octets; SSLv2 format: the challenge; cut: what was seen of it."""
    session_id: bytes = b""
    suites: tuple[int, ...] | None = None
    """In wire order, GREASE kept. SSL 2.0's three-octet specs only if their first is not 0."""
    extensions: tuple[int, ...] | None = None
    """Extension types in wire order, GREASE and repetitions kept; empty: none, or no block."""
    supported_versions: tuple[int, ...] | None = None
    server_name: bytes | None = None
    alpn: tuple[bytes, ...] | None = None
    groups: tuple[int, ...] | None = None
    point_formats: tuple[int, ...] | None = None
    signature_algorithms: tuple[int, ...] | None = None
    complete: bool = True
    repeated_extension: bool = False
    """An extension type stands twice (forbidden, RFC 8446 section 4.2); the first was read."""

    @property
    def versions(self) -> tuple[int, ...] | None:
        """The supported_versions offered, in wire order, without GREASE."""
        if self.supported_versions is None:
            return None
        return tuple(v for v in self.supported_versions if not is_grease(v))

    @property
    def max_offered(self) -> int | None:
        """The highest version offered, or None where the octets do not prove one.

        RFC 8446 section 4.2.1 and appendix D: the extension, where it stands, is all that
        counts; without it a legacy_version above TLS 1.2 means TLS 1.2. A cut hello proves
        its maximum only below 0x0303, since who sends the extension must write 0x0303.
        """
        if self.supported_versions is not None:
            known = [TLS_1_3 if is_tls13_draft(v) else v for v in self.supported_versions]
            known = [v for v in known if v in KNOWN_VERSIONS]
            return max(known) if known else None
        if not self.complete and self.legacy_version >= TLS_1_2:
            return None
        top = min(self.legacy_version, TLS_1_2)
        return top if top in KNOWN_VERSIONS else None

    @property
    def fallback_scsv(self) -> bool:
        """Whether TLS_FALLBACK_SCSV is among the suites (RFC 7507)."""
        return self.suites is not None and FALLBACK_SCSV in self.suites


@dataclass(frozen=True, slots=True)
class ServerHello:
    """One ServerHello (RFC 8446 section 4.1.3), or SSL 2.0's SERVER-HELLO."""

    hello_format: str
    record_version: int | None
    legacy_version: int
    random: bytes
    suite: int | None
    """The chosen suite; None in SSL 2.0, where the client chooses."""
    selected_version: int | None = None
    """From the supported_versions extension (RFC 8446 section 4.2.1)."""
    alpn: bytes | None = None
    retry: bool = False
    """A HelloRetryRequest (RFC 8446 section 4.1.4): the client is asked for another hello."""

    @property
    def negotiated(self) -> int:
        """The version agreed on: the extension's if there is one, else the field's."""
        if self.selected_version is None:
            return self.legacy_version
        return TLS_1_3 if is_tls13_draft(self.selected_version) else self.selected_version


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert that passed in clear (RFC 8446 section 6): level 1 or 2, description 0-255."""

    level: int
    description: int


@dataclass(frozen=True, slots=True)
class CertificateNames:
    """Names in a server's certificate, as the wire had them; None: there is none, or it is cut."""

    subject: bytes | None
    issuer: bytes | None
    """Common names of whom it is for, and of who issued it."""
    issuer_organization: bytes | None
