"""The loop over the layers of a frame, down to a TCP segment.

A layer reads its header, moves ``frame.at`` behind it and names in ``frame.next`` what
follows. No layer knows the one before it; the loop is bounded.
"""

from parsers import ip, link, tcp, tunnel
from parsers.answer import FOUND, NO_MATCH
from parsers.batch import Batch
from parsers.frame import Frame
from parsers.layers import DATAGRAM, DEPTH, ETHERIP, GRE, IP, IP_IN_IP, IPV4, IPV6, OTHER, TCP, UDP

MOST_LAYERS = 16


def decode(batch: Batch, index: int, frame: Frame) -> int:
    """Decode one frame of a batch: FOUND if it carries a TCP segment.

    NEED_MORE: a header was cut short. NO_MATCH: no TCP in it. ``frame.undecoded`` tells
    what could not be read, if anything.
    """
    start = batch.starts[index]
    end = batch.ends[index]
    frame.reset(start, end, link.first_layer(batch.links[index]), batch.vlans[index])
    answer = FOUND
    for _ in range(MOST_LAYERS):
        following = frame.next
        if following == TCP:
            return tcp.read(batch.wire, frame)
        if following in (OTHER, DATAGRAM):
            return NO_MATCH
        if following in (IP, IPV4, IPV6):
            answer = ip.read(batch.wire, frame)
        elif following in (UDP, GRE, IP_IN_IP, ETHERIP):
            answer = tunnel.read(batch.wire, frame)
        else:
            answer = link.read(batch.wire, frame)
        if answer != FOUND:
            return answer
    frame.undecoded = DEPTH
    return NO_MATCH
