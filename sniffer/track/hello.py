"""Whether a ClientHello stands in octets of a client's stream, and what it says."""

from parsers.answer import FOUND, NEED_MORE, NO_MATCH
from parsers.tls import client_hello, sslv2
from parsers.tls.facts import ClientHello
from parsers.tls.message import Message
from sniffer.track.layout import JOINED, LONGEST_OCTETS, START, UPGRADED


class HelloReader:
    """The place where a hello was looked for last; ``message`` is what was found there."""

    def __init__(self) -> None:
        """Begin with nothing found."""
        self.message = Message()
        self.is_sslv2 = False

    def look(self, wire: memoryview, start: int, end: int, phase: int) -> int:
        """Tell whether a hello stands at ``start`` of a stream in that phase."""
        message = self.message
        self.is_sslv2 = False
        answer = message.read(wire, start, end)
        if answer != NO_MATCH:
            fit = client_hello.fits(message.wire, message.start, message.end)
            return NO_MATCH if fit == NO_MATCH else answer
        if message.end - message.start > client_hello.HEADER_LENGTH + 1:
            # Its records end before the message does: the smaller of the lengths counts.
            # Where the stream does not surely start here, it may as well be other data.
            fit = client_hello.fits(message.wire, message.start, message.end)
            proven = phase in (START, UPGRADED)
            return FOUND if fit == NEED_MORE and proven else NO_MATCH
        answer = sslv2.fits(wire, start, end)
        if answer == NO_MATCH:
            return NO_MATCH
        length = 2 + ((wire[start] & 0x7F) << 8)
        if end - start >= 2:
            length += wire[start + 1]
        # Data in the middle of a stream may look alike: there it has to be one segment.
        if phase == JOINED and (answer != FOUND or length != end - start):
            return NO_MATCH
        self.is_sslv2 = True
        message.wire = wire
        message.start = start
        message.want = max(start + length, end + 1) if answer == NEED_MORE else start + length
        message.end = start + length if answer == FOUND else end
        message.after = message.end
        return answer

    def begins(self, wire: memoryview, start: int, end: int) -> bool:
        """Tell whether a ClientHello in TLS format surely stands at ``start``.

        Surely: whole, or as far as it goes with its version, random and session id.
        """
        message = self.message
        if message.read(wire, start, end) == NO_MATCH:
            return False
        fit = client_hello.fits(message.wire, message.start, message.end)
        proven = message.end - message.start >= client_hello.SHORTEST
        return fit == FOUND or (fit == NEED_MORE and proven)

    def read(self) -> ClientHello | None:
        """Read the hello looked at last, or as much as there is of it."""
        message = self.message
        if not self.is_sslv2:
            return client_hello.read(message.wire, message.start, message.end, message.version)
        if message.end - message.start < sslv2.HEADER_LENGTH:
            return None
        return sslv2.read(message.wire, message.start, message.end)

    def octets(self) -> bytes:
        """Return the octets of the hello looked at last; none if they are too many."""
        message = self.message
        if message.end - message.start > LONGEST_OCTETS:
            return b""
        return bytes(message.wire[message.start : message.end])
