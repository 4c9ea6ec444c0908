"""Going on behind damage in a pcapng file, without taking the content of a frame for blocks."""

from parsers.answer import FOUND, NEED_MORE
from parsers.pcapng import Pcapng
from sniffer.capture.window import Window

SEARCHED_BYTES = 32 << 20
"""How far behind damage sound blocks are looked for."""
HIDDEN_BYTES = 1 << 19
"""More octets than the largest block with a frame has."""
HELD_BYTES = 4
"""A block's last octets tell its length again."""
MOST_TRIES = 64
"""Chains of blocks that turn out to be none, before only sections are looked for."""

SECTION_HEADER = b"\x0a\x0d\x0d\x0a"


def resume(window: Window, walker: Pcapng) -> bool:
    """Find sound blocks, or a section, from the window's start on; False: there are none.

    Blocks are sound if each tells its length twice and they follow each other for longer than
    the largest block, or up to the end of the file: then they are not the content of a frame.
    Raises InputError.
    """
    damage = window.at
    tries = MOST_TRIES
    walker.is_resumed = True
    while window.at < damage + SEARCHED_BYTES:
        section = window.store.find(SECTION_HEADER, window.start, window.stop)
        end = section if section >= 0 else window.stop
        packet = window.store.find(walker.packet_type(), window.start, end) if tries else -1
        if packet >= 0:
            window.start = packet
            answer = walker.follow(window.buffer, packet, window.stop, packet + HIDDEN_BYTES)
            is_end = answer == NEED_MORE and walker.followed == window.stop
            length = walker.followed - packet
            if answer == NEED_MORE and window.refill():
                continue
            if answer == FOUND or is_end:
                return True
            # Whatever these blocks are inside of, it ends behind the last of them.
            tries -= 1
            window.start += length + 1
        elif section >= 0:
            window.start = section
            answer = walker.open(window.buffer, section, window.stop)
            if answer == NEED_MORE and window.refill():
                continue
            if answer == FOUND:
                return True
            window.start += 1
        else:
            window.start = max(window.start, window.stop - len(SECTION_HEADER) + 1)
            if not window.refill():
                return False
    return False


def pass_over(window: Window, length: int) -> bool:
    """Step over ``length`` octets, holding but the last of them; False: they are cut short.

    Raises InputError.
    """
    end = window.at + length
    while window.offset + window.stop < end:
        window.start = max(window.start, window.stop - HELD_BYTES)
        if not window.refill():
            return False
    window.start = end - window.offset
    return True
