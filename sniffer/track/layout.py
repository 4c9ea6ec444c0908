"""What a flow's slot holds: words that the tables and readers of this room share.

Two streams a conversation, each a *half* of the slot. A stream's octets are numbered from 0
where its first octet is known to be (behind the SYN), or was seen first. ``AT`` is the next
one wanted: what lies before it was read, or is of no interest; what comes from beyond it
waits in a reassembly buffer.

Uncompiled, so that compiled and interpreted code import the same constants.
"""

import mmap

SLOT_WORDS = 16
"""64-bit words of state in a flow's slot; two cache lines."""

STATE = 0
LAST_SEEN = 1
"""The word of a slot that the flow table itself uses: when it was last touched, in ns."""
HALF_0 = 2
HALF_WORDS = 7

# Words of each half.
ORIGIN = 0
"""Sequence number of the stream's first octet."""
AT = 1
TOP = 2
"""Stream offset behind the highest octet seen."""
PHASE = 3
BUFFER = 4
"""Handle of the reassembly buffer, plus one; 0: none."""
WANT = 5
"""Stream offset that must be reached before it makes sense to read again.

Where nothing is read any more: octets that are missing and may still come."""
ACKED = 6
"""Stream offset up to which the other side confirmed that it was received."""

# Bits of STATE.
CLIENT_KNOWN = 1
CLIENT_IS_1 = 2
SEEN_0 = 4
SEEN_1 = 8
SYN_SEEN = 16
SETTLED = 32
"""Nothing of this conversation is wanted any more."""
OPEN = 64
"""An attempt is under way."""
GUESSED = 128
"""Where the server's stream starts was told by the hello's acknowledgement alone."""
ONE_SIDED = 256
"""Counted as a conversation of which only one direction was seen."""
PROTOCOL_SHIFT = 9
"""Where the two bits lie that tell which protocol the client spoke in clear."""
PROTOCOL_BITS = 3 << PROTOCOL_SHIFT
ASKED = 2048
"""The client asked for the upgrade: what it says next may be a hello."""
ENDING = 4096
"""Established; how the session ends is still of interest, what it carries is not."""
HOLDS_BACK = 8192
"""The filter before us may keep what this server sends to itself."""
SAID_HELLO = 16384
"""A hello was seen here: another one in new octets begins another connection."""
HOPS_SHIFT = 16
"""Where the eight bits lie that hold the hop limit the server's frames arrive with."""
HOPS_BITS = 0xFF << HOPS_SHIFT

# Phases of a half.
FRESH = 0
"""Nothing of it was seen."""
START = 1
"""At the start of its stream, a hello may come."""
JOINED = 2
"""The same, but the stream was joined in the middle."""
RECORDS = 3
"""A sequence of records."""
CIPHER = 4
"""The same, behind a ChangeCipherSpec: handshake records are encrypted."""
LOST = 5
"""Something is missing; any segment may begin with a record."""
OTHER = 6
"""Not TLS, or not any more."""
DIALOGUE = 7
"""A client's lines in clear, before an upgrade."""
UPGRADED = 8
"""Behind the line that asked for the upgrade, a hello may come."""

LARGEST = 65536
"""Octets of one direction that can wait for what is missing before them."""
LONGEST_OCTETS = 4096
"""A longer message is read like any other, but none is kept as it stood on the wire."""
WINDOW = 1 << 20
"""How far from what was seen a sequence number may lie to be of the same stream."""
HELD_BACK = 1 << 30
"""How much a filter may hold back between two segments; more looks like a step back."""
RESET_WINDOW = 65535
"""How far behind the last octet a RST may lie (RFC 9293 section 3.10.7.4)."""
RING = 0xFFFFFFFF
HALF_RING = 0x80000000

# What became of a segment's octets.
DONE = 0
RENEGOTIATED = 1
"""Another ClientHello in clear; what follows it belongs to that attempt."""
NO_ROOM = -1
"""Nothing: another buffer has to go before that."""

# A RST or FIN in one word, above its sequence number (behind its payload).
END_SEEN = 1 << 34
END_IS_RESET = 1 << 33
END_IS_FROM_1 = 1 << 32
END_HOPS_SHIFT = 40
"""The hop limit that it came with."""

MOST_TALKS = 8192
"""Dialogues followed at once, about 1 kB each; beyond it the oldest is told as it stands."""

# What became of a line.
NOT_WHOLE = 0
NO_USE = -1

SECOND_NS = 1_000_000_000
SESSION_NS = 10 * SECOND_NS
"""How long the end of an established session is waited for."""
FOR_EVER = (1 << 63) - 1
"""A time that never comes."""

FIN = 0x01
SYN = 0x02
RST = 0x04
ACK = 0x10


def reserve(octets: int) -> memoryview:
    """Return that much memory, all zero, of which no page is touched before it is used."""
    return memoryview(mmap.mmap(-1, octets))
