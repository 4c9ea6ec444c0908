"""What the launcher and its children say to each other: a word, a text, a descriptor.

One message is one datagram of a Unix socket pair, so none is ever read by half. Standard
library only, and nothing to parse: a child may be in other hands, and the launcher must not
care.

    child to launcher     ready TEXT       set up; the server says its address
                          failed N TEXT    cannot start: exit code and a sentence
    worker to launcher    agreed           to what it was asked last, in time
                          late             the time it was asked for has passed
    server to launcher    enough           as many events as wanted were seen
                          abandoned        the reader of standard output went away
                          broken W         worker W writes what no worker of ours would
    launcher to worker    link +FD         the reader is another one: write there
                          from TIME        tell what is seen from this time on
                          until TIME       tell what is seen before this time, then end
                          level N          write log lines from this level on
    launcher to server    worker N W +FD   worker W captures at place N: read there
                          lost W FRAMES HELLOS   what worker W, dead, should have told in all
                          report           print what was seen and lost
                          reload +FD       go on with the settings in this file
                          finish           the workers are done: tell the rest and end
"""

import os
import socket
from contextlib import suppress
from typing import NamedTuple

LONGEST = 4096


class Message(NamedTuple):
    """A word, what is said with it, and a descriptor that came along; -1: none."""

    word: str
    text: str = ""
    descriptor: int = -1


GONE = Message("gone")
"""The other side ended."""


class Control:
    """One end. Neither sending nor receiving ever waits."""

    def __init__(self, end: socket.socket) -> None:
        """Take an end of ``pair``."""
        self._socket = end
        end.setblocking(False)

    def fileno(self) -> int:
        """Return the descriptor; it polls readable when there is a message."""
        return self._socket.fileno()

    def send(self, word: str, text: str = "") -> None:
        """Say something; nobody may be there any more.

        By ``write``: a caged worker may not use a call that could name an address.
        """
        octets = f"{word} {text}".encode("utf-8", "replace")[:LONGEST]
        with suppress(BlockingIOError, BrokenPipeError, ConnectionError):
            os.write(self._socket.fileno(), octets)

    def hand_over(self, word: str, text: str, descriptor: int) -> None:
        """Say something and hand over a descriptor with it."""
        with suppress(BlockingIOError, BrokenPipeError, ConnectionError):
            socket.send_fds(self._socket, [f"{word} {text}".encode()], [descriptor])

    def receive(self) -> Message | None:
        """Return what was said first and not yet received, GONE, or None: nothing."""
        try:
            octets, descriptors = self._read()
        except BlockingIOError:
            return None
        except ConnectionError:
            return GONE
        if not octets:
            return GONE
        word, _, text = octets.decode("utf-8", "replace").partition(" ")
        return Message(word, text, descriptors[0] if descriptors else -1)

    def _read(self) -> tuple[bytes, list[int]]:
        try:
            octets, descriptors, _, _ = self._receive_once()
        except ConnectionResetError:
            # It ended with something of ours unread. That is told once, and before what it
            # had said last.
            octets, descriptors, _, _ = self._receive_once()
        return octets, descriptors

    def _receive_once(self) -> tuple[bytes, list[int], int, object]:
        return socket.recv_fds(self._socket, LONGEST, 1, socket.MSG_CMSG_CLOEXEC)

    def close(self) -> None:
        """Close this end; the other one receives GONE."""
        self._socket.close()


def pair() -> tuple[Control, Control]:
    """Return two ends that are connected."""
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return Control(one), Control(other)
