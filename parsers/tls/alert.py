"""An alert that passes in clear.

    AlertLevel level;                             RFC 8446 section 6; 1 or 2
    AlertDescription description;                 1 octet

In clear it fills a record of exactly two octets; a record of type 21 with any other length
is encrypted.
"""

from parsers.tls.facts import Alert

ALERT = 21
LENGTH = 2


def read(wire: memoryview, start: int, end: int) -> Alert | None:
    """Return the alert in a record's body; None if it is encrypted or no alert."""
    if end - start != LENGTH or not 1 <= wire[start] <= 2:
        return None
    return Alert(level=wire[start], description=wire[start + 1])
