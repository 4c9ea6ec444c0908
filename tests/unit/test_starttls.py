"""The clear dialogues up to the upgrade, line by line."""

import pytest

from parsers.starttls import (
    ASKING,
    IMAP,
    NO_PROTOCOL,
    OVER,
    POP3,
    SASL,
    SMTP,
    UPGRADE,
    literal,
    protocol_of,
    step,
)

DIALOGUES = [
    # id, protocol, lines of the client, states after each, source
    ("smtp", SMTP, [b"EHLO printer", b"STARTTLS"], [ASKING, UPGRADE], "RFC 3207 4"),
    ("smtp-lower-case", SMTP, [b"ehlo p", b"starttls"], [ASKING, UPGRADE], "RFC 5321 2.4"),
    ("smtp-helo", SMTP, [b"HELO p", b"MAIL FROM:<a@b>"], [ASKING, OVER], "clear text"),
    ("exchange", SMTP, [b"EHLO a", b"X-ANONYMOUSTLS"], [ASKING, UPGRADE], "facts 3.1"),
    (
        "smtp-sasl-first",
        SMTP,
        [b"EHLO p", b"AUTH LOGIN", b"dXNlcg==", b"cGFzcw==", b"STARTTLS"],
        [ASKING, SASL, SASL, SASL, UPGRADE],
        "RFC 4954 4",
    ),
    ("imap", IMAP, [b"a1 CAPABILITY", b"a2 STARTTLS"], [ASKING, UPGRADE], "RFC 9051 6.2.1"),
    ("imap-id", IMAP, [b"* ID NIL", b". STARTTLS"], [ASKING, UPGRADE], "RFC 2971"),
    (
        "imap-login-refused-then-upgrade",
        IMAP,
        [b"a1 LOGIN user secret", b"a2 STARTTLS"],
        [ASKING, UPGRADE],
        "RFC 9051 6.2.3",
    ),
    ("imap-login", IMAP, [b"a1 LOGIN user secret", b"a2 SELECT INBOX"], [ASKING, OVER], "clear"),
    ("pop3", POP3, [b"CAPA", b"STLS"], [ASKING, UPGRADE], "RFC 2595 4"),
    ("pop3-login", POP3, [b"USER p", b"PASS x", b"STAT"], [ASKING, ASKING, OVER], "clear text"),
    (
        "refused-then-clear",
        SMTP,
        [b"EHLO p", b"STARTTLS", b"MAIL FROM:<a@b>"],
        [ASKING, UPGRADE, OVER],
        "RFC 3207 4",
    ),
    (
        "asked-twice",
        IMAP,
        [b"a1 STARTTLS", b"a2 STARTTLS"],
        [UPGRADE, UPGRADE],
        "facts 3.2, Outlook mobile",
    ),
]


@pytest.mark.parametrize(
    ("protocol", "lines", "states"), [pytest.param(*d[1:4], id=d[0]) for d in DIALOGUES]
)
def test_a_dialogue(protocol: int, lines: list[bytes], states: list[int]) -> None:
    state, seen = ASKING, []
    for line in lines:
        state = step(protocol, state, line)
        seen.append(state)
    assert seen == states


@pytest.mark.parametrize(
    ("line", "protocol"),
    [
        (b"EHLO printer", SMTP),
        (b"STARTTLS", SMTP),
        (b"STLS", POP3),
        (b"CAPA", POP3),
        (b"0001 STARTTLS", IMAP),
        (b"a CAPABILITY", IMAP),
        (b"GET / HTTP/1.1", NO_PROTOCOL),
        (b"220 mx ESMTP", NO_PROTOCOL),
        (b"* OK ready", NO_PROTOCOL),
        (b"+OK ready", NO_PROTOCOL),
        (b"SSH-2.0-OpenSSH_9.2", NO_PROTOCOL),
        (b"", NO_PROTOCOL),
        (b"\x80\xff STARTTLS", NO_PROTOCOL),
    ],
)
def test_the_first_line_tells_the_protocol(line: bytes, protocol: int) -> None:
    assert protocol_of(line) == protocol


@pytest.mark.parametrize(
    ("line", "octets"),
    [
        (b"a ID (name {9}", 9),
        (b"a ID (name {9+}", 9),
        (b"a ID (name {9} x", 0),
        (b"a ID (name {}", 0),
        (b"a ID (name {99999999999}", 0),
    ],
)
def test_an_imap_literal_is_announced_at_the_end_of_a_line(line: bytes, octets: int) -> None:
    assert literal(line) == octets
