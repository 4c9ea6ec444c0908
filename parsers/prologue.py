"""What a client and a mail server say in clear, before an upgrade or instead of one.

Both sides' lines come in, without their ends; what is kept of them is few facts and the
names that the two give themselves. User names, passwords, envelopes and mail are passed
over unread: of a login its mechanism is told, by a word of ours.

An answer belongs to the oldest command that has none yet (SMTP, POP3), or to that of its tag
(IMAP). Sources: RFC 5321 section 4.1.1.1 and RFC 3207 (EHLO, STARTTLS), RFC 9051 sections
6.1.1 and 6.2.1 (CAPABILITY, STARTTLS), RFC 2971 (ID), RFC 2449 and RFC 2595 (CAPA, STLS),
RFC 4954 and RFC 5034 (AUTH).
"""

import re
from collections import deque

from parsers import starttls
from parsers.answer import NO_MATCH
from parsers.starttls import IMAP, OVER, POP3, SASL, SMTP

EHLO = "ehlo"
IMAP_ID = "imap-id"
"""Where a client's name comes from."""

LONGEST_NAME = 255
MOST_NAMES = 4

PLAIN_MECHANISMS = {
    b"PLAIN": "PLAIN",
    b"LOGIN": "LOGIN",
    b"XOAUTH2": "XOAUTH2",
    b"OAUTHBEARER": "OAUTHBEARER",
}
"""SASL mechanisms that hand over the secret itself (RFC 4616, RFC 7628)."""

_UPGRADES = {IMAP: b"STARTTLS", POP3: b"STLS", SMTP: b"STARTTLS"}
_FILLERS = b"X*#-"
"""What firewalls write over a word of a capability list that they want nobody to see."""

_CAPABILITY = re.compile(rb"(?:^\* |\[)CAPABILITY ([^\]]*)", re.IGNORECASE)
_ID_PAIR = re.compile(rb'"(name|version|vendor|os)" "([^"\\]{1,255})"', re.IGNORECASE)
_HOST = re.compile(rb"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9-]+)+")

_OTHER_COMMAND = 0
_ASKED_CAPABILITIES = 1
_ASKED_UPGRADE = 2
_KINDS = {b"EHLO": _ASKED_CAPABILITIES, b"CAPA": _ASKED_CAPABILITIES}


class Prologue:
    """The dialogue so far."""

    __slots__ = (
        "asked",
        "awaited",
        "found",
        "in_list",
        "is_continued",
        "lines",
        "login",
        "mangled",
        "mechanism",
        "names",
        "offered",
        "protocol",
        "refused",
        "server_name",
        "skip",
        "state",
        "upgrade_tag",
        "went_on",
    )
    asked: bool
    """The client asked for the upgrade."""
    login: str | None
    """The mechanism by which the client handed over a secret in clear."""
    mangled: bool
    """A word stood in the server's list that had been STARTTLS, or STLS."""
    names: list[tuple[str, bytes]]
    """What the client calls itself, with where it said so."""
    offered: bool | None
    """The server listed the upgrade; None: no list was seen."""
    refused: bool
    """The server said no to the upgrade, and not yes later."""
    server_name: bytes | None
    went_on: bool
    """The client did what it came for, in clear."""
    skip: int
    """Octets of an IMAP literal that follow and are not to be read."""

    def __init__(self) -> None:
        """Begin with nothing said."""
        self.protocol = starttls.NO_PROTOCOL
        self.state = starttls.ASKING
        self.lines = 0
        self.skip = 0
        self.is_continued = False
        self.asked = self.refused = self.mangled = self.went_on = False
        self.offered = None
        self.login = None
        self.mechanism: str | None = None
        self.names = []
        self.server_name = None
        self.awaited: deque[int] = deque()
        self.upgrade_tag: bytes | None = None
        self.in_list = False
        self.found = False

    def hear_client(self, line: bytes) -> int:
        """Take a line of the client; return the state it leaves (see ``starttls``).

        NO_PROTOCOL: this is no client of ours.
        """
        if self.protocol == starttls.NO_PROTOCOL:
            self.protocol = starttls.protocol_of(line)
            if self.protocol == starttls.NO_PROTOCOL:
                return starttls.NO_PROTOCOL
        self.lines += 1
        if self.is_continued:
            # What follows a literal is the rest of its command.
            self.is_continued = False
        else:
            self._take_command(line)
        if self.lines > starttls.MOST_LINES:
            self.state = OVER
        if self.protocol == IMAP:
            self.skip = starttls.literal(line)
            self.is_continued = self.skip > 0
        return self.state

    def hear_server(self, line: bytes) -> None:
        """Take a line of the server."""
        if self.protocol == SMTP or (not self.protocol and line[:3] == b"220"):
            self._hear_smtp(line)
        elif self.protocol == POP3:
            self._hear_pop3(line)
        elif self.protocol == IMAP or line[:2] == b"* ":
            self._hear_imap(line)

    def hear_refusal(self) -> None:
        """Take it that the server refused an upgrade its client did not wait for."""
        self.refused = True

    def _take_command(self, line: bytes) -> None:
        protocol, before = self.protocol, self.state
        command = starttls.command_of(protocol, line)
        self.state = starttls.step(protocol, before, line)
        is_response = before == SASL == self.state and command not in (b"AUTH", b"AUTHENTICATE")
        if is_response:
            if self.mechanism is not None and line.strip() != b"*":
                self.login = self.mechanism
        else:
            self._note_login(command, line)
        if self.state == starttls.UPGRADE:
            self.asked = True
            self.upgrade_tag = line.split(None, 1)[0]
            kind = _ASKED_UPGRADE
        else:
            kind = _KINDS.get(command, _OTHER_COMMAND)
        if protocol == SMTP or (protocol == POP3 and not is_response):
            self.awaited.append(kind)
        if command in starttls.WORK[protocol]:
            self.went_on = True
        self._note_names(command, line)

    def _note_login(self, command: bytes, line: bytes) -> None:
        self.mechanism = None
        if self.protocol == IMAP and command == b"LOGIN":
            self.login = "LOGIN"
        elif self.protocol == POP3 and command == b"PASS":
            self.login = "USER"
        elif command in (b"AUTH", b"AUTHENTICATE"):
            words = line.split(None, 4)[2 if self.protocol == IMAP else 1 :]
            self.mechanism = PLAIN_MECHANISMS.get(words[0].upper()) if words else None
            if self.mechanism is not None and len(words) > 1 and words[1] != b"=":
                self.login = self.mechanism

    def _note_names(self, command: bytes, line: bytes) -> None:
        if self.protocol == SMTP and command in (b"EHLO", b"HELO", b"LHLO"):
            words = line.split(None, 2)
            if len(words) > 1 and not words[1].startswith(b"["):
                self._name(EHLO, words[1])
        elif self.protocol == IMAP and command == b"ID":
            said = {key.lower(): value for key, value in _ID_PAIR.findall(line)}
            parts = [said[key] for key in (b"vendor", b"name", b"version") if key in said]
            if parts:
                self._name(IMAP_ID, b" ".join(dict.fromkeys(parts)))

    def _name(self, source: str, name: bytes) -> None:
        said = source, name[:LONGEST_NAME]
        if said not in self.names and len(self.names) < MOST_NAMES:
            self.names.append(said)

    def _hear_smtp(self, line: bytes) -> None:
        if len(line) < 3 or not line[:3].isdigit():
            return
        code, is_last, text = line[:3], line[3:4] != b"-", line[4:]
        kind = self.awaited[0] if self.awaited else None
        if kind is None:
            if code == b"220":
                self._note_server(text.split(None, 1)[:1])
            return
        if kind == _ASKED_CAPABILITIES and code == b"250":
            # The first line greets, the others name an extension each (RFC 5321).
            if self.in_list:
                self._note_capability(text.split(None, 1)[:1])
            self.in_list = not is_last
            if is_last:
                self.offered, self.found = self.found, False
        elif kind == _ASKED_UPGRADE and is_last:
            self.refused = starttls.answer(SMTP, line) == NO_MATCH
        if is_last:
            self.awaited.popleft()

    def _hear_pop3(self, line: bytes) -> None:
        if self.in_list:
            if line == b".":
                self.in_list = False
                self.offered, self.found = self.found, False
            else:
                self._note_capability(line.split(None, 1)[:1])
            return
        is_good = line[:3] == b"+OK"
        if not is_good and line[:4] != b"-ERR":
            return
        kind = self.awaited.popleft() if self.awaited else None
        if kind == _ASKED_CAPABILITIES:
            self.in_list = is_good
        elif kind == _ASKED_UPGRADE:
            self.refused = not is_good

    def _hear_imap(self, line: bytes) -> None:
        listed = _CAPABILITY.search(line)
        # Whoever is logged in is not offered an upgrade any more.
        if listed is not None and self.login is None:
            self._note_capability(listed[1].split())
            self.offered, self.found = self.found, False
        words = line.split(None, 2)
        if self.upgrade_tag is not None and len(words) > 1 and words[0] == self.upgrade_tag:
            self.refused = starttls.answer(IMAP, line) == NO_MATCH

    def _note_capability(self, words: list[bytes]) -> None:
        upgrade = _UPGRADES[self.protocol or IMAP]
        for word in words:
            said = word.upper()
            if said == upgrade:
                self.found = True
            elif is_mangled(said, upgrade):
                self.mangled = True

    def _note_server(self, words: list[bytes]) -> None:
        if words and len(words[0]) <= LONGEST_NAME and _HOST.fullmatch(words[0]):
            self.server_name = words[0]


def is_mangled(word: bytes, upgrade: bytes) -> bool:
    """Tell whether a word of a capability list is what was made of the upgrade's.

    A firewall keeps the length and writes over the letters, all (``XXXXXXXA``) or some
    (``STARTXXX``), or writes something in front of them (``XSTARTTLS``).
    """
    if word == upgrade:
        return False
    if word.endswith(upgrade):
        return True
    if len(word) != len(upgrade):
        return False
    written_over = sum(a != b and a in _FILLERS for a, b in zip(word, upgrade, strict=True))
    kept = sum(a == b for a, b in zip(word, upgrade, strict=True))
    return written_over >= 2 and written_over + kept >= len(upgrade) - 1
