"""No file is opened any more, no port connected to: Landlock, for the process's whole life.

    struct landlock_ruleset_attr {      linux/landlock.h
        __u64 handled_access_fs;        what is refused of files, if no rule allows it
        __u64 handled_access_net;       of TCP, from ABI 4 on
        __u64 scoped;                   abstract Unix sockets and signals, from ABI 6 on
    };

No rule is ever added. What is open stays usable. It knows no UDP: seccomp does the rest.
Source: landlock(7); the numbers of the calls are the same on all architectures.
"""

import ctypes
import errno
import os
import struct

CREATE_RULESET = 444
RESTRICT_SELF = 446
ASK_VERSION = 1

FILES_BY_ABI = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
"""Rights about files that an ABI knows: execute ... make symlinks, refer, truncate, ioctl."""
NETWORK_SINCE, NETWORK = 4, 0b11
SCOPED_SINCE, SCOPED = 6, 0b11


def confine() -> bool:
    """Refuse this process every file that is not open, for good; False: not in this kernel.

    It needs no_new_privs. Raises OSError where the kernel refuses it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(CREATE_RULESET, None, 0, ASK_VERSION)
    if version < 1:
        if ctypes.get_errno() in (errno.ENOSYS, errno.EOPNOTSUPP):
            return False
        raise _failed()
    attributes = rules(version)
    ruleset = libc.syscall(CREATE_RULESET, attributes, len(attributes), 0)
    if ruleset < 0:
        raise _failed()
    try:
        if libc.syscall(RESTRICT_SELF, ruleset, 0):
            raise _failed()
    finally:
        os.close(ruleset)
    return True


def rules(version: int) -> bytes:
    """Return the structure that refuses all that an ABI knows."""
    files = max(rights for since, rights in FILES_BY_ABI.items() if since <= version)
    network = NETWORK if version >= NETWORK_SINCE else 0
    scoped = SCOPED if version >= SCOPED_SINCE else 0
    length = 8 if version < NETWORK_SINCE else 16 if version < SCOPED_SINCE else 24
    return struct.pack("=3Q", files, network, scoped)[:length]


def _failed() -> OSError:
    error = ctypes.get_errno()
    return OSError(error, os.strerror(error), "landlock")
