r"""The clear dialogue of SMTP, IMAP and POP3 up to the upgrade, from the client's lines.

The client alone decides: behind the line that asks for the upgrade comes its hello or, if
the server refused, another line. So one direction of a capture is enough, and what a server
says in clear is not needed. Commands are case-insensitive, lines end with CRLF or a bare LF.

    state \ command   EHLO, CAPA, USER ...   STARTTLS, STLS   AUTH   MAIL, STAT, QUIT ...   other
    ASKING           ASKING                 UPGRADE          SASL   OVER                   OVER
    SASL             ASKING                 UPGRADE          SASL   OVER                   SASL
    UPGRADE          ASKING                 UPGRADE          SASL   OVER                   OVER

SASL's own lines are no commands; a login that is refused may be followed by an upgrade; in
IMAP a literal ({n}, {n+}) is stepped over unread.
Sources: RFC 3207 section 4 (SMTP), RFC 9051 sections 6.2.1 and 4.3 (IMAP), RFC 2595 section
4 (POP3).
"""

import re

from parsers.answer import FOUND, NEED_MORE, NO_MATCH

NO_PROTOCOL = 0
IMAP = 1
POP3 = 2
SMTP = 3

PROTOCOL_WORDS = ("", "imap", "pop3", "smtp")
"""The event's word for each protocol, by its number."""

ASKING = 1
SASL = 2
UPGRADE = 3
OVER = 4
CONTINUED = 8
"""Added to a state: the line is not at its end, an IMAP literal stands in it."""

LONGEST_LINE = 8192
MOST_LINES = 64

_GO_ON = {
    IMAP: frozenset((b"CAPABILITY", b"NOOP", b"ID", b"ENABLE", b"COMPRESS", b"LANGUAGE", b"LOGIN")),
    POP3: frozenset((b"CAPA", b"NOOP", b"LANG", b"UTF8", b"XTND", b"USER", b"PASS", b"APOP")),
    SMTP: frozenset((b"EHLO", b"HELO", b"LHLO", b"NOOP", b"RSET", b"HELP", b"VRFY", b"XCLIENT")),
}
_UPGRADE = {
    IMAP: frozenset((b"STARTTLS",)),
    POP3: frozenset((b"STLS",)),
    SMTP: frozenset((b"STARTTLS", b"X-ANONYMOUSTLS")),
}
_SASL = {
    IMAP: frozenset((b"AUTHENTICATE",)),
    POP3: frozenset((b"AUTH",)),
    SMTP: frozenset((b"AUTH",)),
}

WORK = {
    IMAP: frozenset((b"SELECT", b"EXAMINE", b"LIST", b"LSUB", b"STATUS", b"APPEND", b"IDLE")),
    POP3: frozenset((b"STAT", b"LIST", b"UIDL", b"RETR", b"TOP", b"DELE")),
    SMTP: frozenset((b"MAIL", b"RCPT", b"DATA", b"BDAT")),
}
"""Commands that are what the client came for."""
_FAREWELL = {IMAP: b"LOGOUT", POP3: b"QUIT", SMTP: b"QUIT"}

_LITERAL = re.compile(rb"\{([0-9]{1,10})\+?\}$")
_STATUS = re.compile(rb"[0-9]{3}|[+-](?:OK|ERR) ?|[!-~]{1,32} (?:OK|NO|BAD) ")
_TAG = re.compile(rb"[!-~]{1,32}")


def protocol_of(line: bytes) -> int:
    """Return the protocol whose client may begin with this line, or NO_PROTOCOL."""
    words = line.split(None, 2)
    for protocol in (SMTP, POP3):
        if words and _is_command(protocol, words[0].upper()):
            return protocol
    if len(words) > 1 and _TAG.fullmatch(words[0]) and _is_command(IMAP, words[1].upper()):
        return IMAP
    return NO_PROTOCOL


def command_of(protocol: int, line: bytes) -> bytes:
    """Return the command word of a client's line, in upper case; b"" if it has none."""
    words = line.split(None, 2)
    place = 1 if protocol == IMAP else 0
    return words[place].upper() if len(words) > place else b""


def step(protocol: int, state: int, line: bytes) -> int:
    """Return the state after one line of the client, without its line end."""
    command = command_of(protocol, line)
    if command in _UPGRADE[protocol]:
        return UPGRADE
    if command in _GO_ON[protocol]:
        return ASKING
    if command in _SASL[protocol]:
        return SASL
    if command in WORK[protocol] or command == _FAREWELL[protocol]:
        return OVER
    return SASL if state == SASL else OVER


def answer(protocol: int, line: bytes) -> int:
    """Tell what a server's line says to the upgrade: FOUND, go on; NO_MATCH, it is refused.

    NEED_MORE: the line is no answer that the protocol knows.
    """
    words = line.split(None, 2)
    if protocol == IMAP:
        if line.startswith(b"* "):
            return FOUND
        word = words[1].upper() if len(words) > 1 else b""
        return FOUND if word == b"OK" else NO_MATCH if word in (b"NO", b"BAD") else NEED_MORE
    if protocol == POP3:
        word = words[0] if words else b""
        return FOUND if word == b"+OK" else NO_MATCH if word == b"-ERR" else NEED_MORE
    if len(line) >= 3 and line[:3].isdigit():
        return FOUND if line[:1] in b"23" else NO_MATCH
    return NEED_MORE


def status_length(line: bytes) -> int:
    """Return how much of a server's answer says yes or no; what follows is text for people."""
    found = _STATUS.match(line)
    return found.end() if found else 0


def literal(line: bytes) -> int:
    """Return how many octets of an IMAP literal follow a line; 0: none is announced."""
    found = _LITERAL.search(line)
    return int(found[1]) if found else 0


def _is_command(protocol: int, word: bytes) -> bool:
    return word in _GO_ON[protocol] or word in _UPGRADE[protocol] or word in _SASL[protocol]
