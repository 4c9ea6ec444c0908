"""Giving up every privilege, for good: capabilities, and what exec could bring back.

Standard library only: the launcher does this before there is any child, so that all of them
are born without. The calls have no wrapper in Python; source: capabilities(7), prctl(2).
"""

import ctypes
import os
import resource
import struct

PR_CAPBSET_DROP = 24
PR_SET_SECUREBITS = 28
PR_SET_NAME = 15
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4

SECBIT_ROOT_GAINS_NOTHING = 0x0F
"""SECBIT_NOROOT and SECBIT_NO_SETUID_FIXUP, both locked."""
LINUX_CAPABILITY_VERSION_3 = 0x20080522
LAST_CAPABILITY = 63
"""There are 41 by now; the kernel refuses numbers that it has no capability for."""
CAP_SETPCAP = 8

_STATUS = "/proc/self/status"


class PrivilegeError(Exception):
    """A privilege that could not be given up."""


def drop() -> None:
    """Give up all capabilities and whatever could bring one back. Raises PrivilegeError.

    To be called while there is one thread alone: capabilities are each thread's own.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    # Whoever may, empties the set that bounds root's capabilities; the rest is bound by
    # no_new_privs, with which an exec brings nothing back either.
    for capability in range(LAST_CAPABILITY + 1):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    libc.prctl(PR_SET_SECUREBITS, SECBIT_ROOT_GAINS_NOTHING, 0, 0, 0)
    libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise PrivilegeError(f"no_new_privs: {os.strerror(ctypes.get_errno())}")
    header = struct.pack("Ii", LINUX_CAPABILITY_VERSION_3, 0)
    if libc.capset(header, bytes(24)):
        raise PrivilegeError(f"capset: {os.strerror(ctypes.get_errno())}")
    left = held()
    if left:
        raise PrivilegeError(f"still there: {', '.join(sorted(left))}")


def held() -> dict[str, int]:
    """Return the sets of capabilities that are not empty, by the kernel's own words.

    The bounding set is left out: it gives nothing.
    """
    sets = {}
    with open(_STATUS, encoding="ascii", errors="replace") as lines:
        for line in lines:
            name, _, value = line.partition(":")
            if name in ("CapInh", "CapPrm", "CapEff", "CapAmb") and int(value, 16):
                sets[name] = int(value, 16)
    return sets


def keep_memory_private() -> None:
    """Leave no core dump: memory holds what passed on the wire."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def set_name(name: str) -> None:
    """Set the name that ps and top show for this process; 15 octets of it."""
    ctypes.CDLL(None).prctl(PR_SET_NAME, name.encode()[:15], 0, 0, 0)
