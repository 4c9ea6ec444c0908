"""The system calls that a caged process may make; every other one answers EPERM.

A capture worker reads the ring, writes its reports, and finds its interface again. The packet
socket itself cannot be written to, and no descriptor be copied: nothing can be sent into
the mirror through it. Who parses files reads and writes what is open already. New memory
cannot be made executable.

    number            4      what the program sees: struct seccomp_data, host byte order
    architecture      4
    instruction at    8
    arguments        48      eight octets each

Source: seccomp(2), linux/seccomp.h, linux/audit.h; numbers from each architecture's table.
"""

import ctypes
import errno
import os
import platform
import sys
from array import array
from collections.abc import Sequence
from typing import NamedTuple

from sniffer.capture.bpf import JEQ, JSET, Assembler, Program, W

PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2
RET_KILL_PROCESS = 0x80000000
RET_ERRNO = 0x00050000
RET_ALLOW = 0x7FFF0000

NUMBER_AT = 0
ARCHITECTURE_AT = 4
PROT_EXEC = 0x4

CALLS = {
    # name: number on x86-64, on arm64 (0: it has none)
    "read": (0, 63),
    "close": (3, 57),
    "fstat": (5, 80),
    "lseek": (8, 62),
    "munmap": (11, 215),
    "brk": (12, 214),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132),
    "restart_syscall": (219, 128),
    "getpid": (39, 172),
    "gettid": (186, 178),
    "sched_yield": (24, 124),
    "futex": (202, 98),
    "nanosleep": (35, 101),
    "clock_nanosleep": (230, 115),
    "clock_gettime": (228, 113),
    "gettimeofday": (96, 169),
    "time": (201, 0),
    "getrandom": (318, 278),
    "rseq": (334, 293),
    "exit": (60, 93),
    "exit_group": (231, 94),
}
"""Allowed to each, whatever their arguments are."""

CAPTURING = {
    "poll": (7, 0),
    "ppoll": (271, 73),
    "recvmsg": (47, 212),
    "bind": (49, 200),
    "getsockname": (51, 204),
    "setsockopt": (54, 208),
    "getsockopt": (55, 209),
}
"""Allowed beside to who holds packet sockets."""

READING = {
    "readv": (19, 65),
    "pread64": (17, 67),
    "preadv": (295, 69),
    "preadv2": (327, 286),
    "newfstatat": (262, 79),
}
"""Allowed beside to who reads files. By the last one newer C libraries ask for a descriptor's
state; with a path it tells of a file, but shows nothing of it."""

WRITE = {"write": (1, 64), "writev": (20, 66)}
"""Allowed, but not to the packet socket."""

MAP = {"mmap": (9, 222), "mprotect": (10, 226)}
"""Allowed for memory that is not executable."""

IOCTL = (16, 29)
SIOCGIFFLAGS = 0x8913
SIOCGIFINDEX = 0x8933


Calls = dict[str, tuple[int, int]]


class Architecture(NamedTuple):
    """One that we know the numbers of."""

    audit: int
    column: int


ARCHITECTURES = {
    "x86_64": Architecture(0xC000003E, 0),
    "aarch64": Architecture(0xC00000B7, 1),
}


class _Filter(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def confine(calls: Calls, packet_sockets: Sequence[int] = ()) -> bool:
    """Allow this process the common calls and these, for good; False: not on this machine.

    It needs no_new_privs, and no other thread may be there. Raises OSError where the kernel
    refuses the program.
    """
    machine = platform.machine()
    if machine not in ARCHITECTURES or sys.byteorder != "little" or sys.maxsize < 1 << 32:
        return False
    made = program(ARCHITECTURES[machine], calls, packet_sockets)
    octets = array("B", made.octets)
    address, _ = octets.buffer_info()
    packed = _Filter(len(made.instructions), address)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(packed), 0, 0):
        error = ctypes.get_errno()
        if error in (errno.EINVAL, errno.ENOSYS):
            return False  # a kernel without it
        raise OSError(error, os.strerror(error), "seccomp")
    return True


def program(
    architecture: Architecture, calls: Calls, packet_sockets: Sequence[int] = ()
) -> Program:
    """Assemble the program for who may make these calls and holds these packet sockets."""
    a = Assembler()
    a.note("another architecture has other numbers")
    a.load(W, ARCHITECTURE_AT)
    a.test(JEQ, architecture.audit, "known", "foreign")
    a.label("foreign")
    a.give(RET_KILL_PROCESS)
    a.label("known")
    a.load(W, NUMBER_AT)
    about_interfaces = {"ioctl": IOCTL} if packet_sockets else {}
    for label, looked_into in (("write", WRITE), ("map", MAP), ("ioctl", about_interfaces)):
        for name, numbers in looked_into.items():
            a.note(name)
            a.test(JEQ, numbers[architecture.column], label)
    for name, numbers in (CALLS | calls).items():
        if numbers[architecture.column] or name == "read":
            a.note(name)
            a.test(JEQ, numbers[architecture.column], "allow")
    a.note("every other one")
    a.jump("deny")
    a.label("write")
    a.load(W, _argument(0))
    for descriptor in packet_sockets:
        a.test(JEQ, descriptor, "deny")
    a.jump("allow")
    a.label("map")
    a.load(W, _argument(2))
    a.test(JSET, PROT_EXEC, "deny", "allow")
    if about_interfaces:
        a.label("ioctl")
        a.load(W, _argument(1))
        a.test(JEQ, SIOCGIFFLAGS, "allow")
        a.test(JEQ, SIOCGIFINDEX, "allow")
    a.label("deny")
    a.give(RET_ERRNO | errno.EPERM)
    a.label("allow")
    a.give(RET_ALLOW)
    return a.program()


def _argument(number: int) -> int:
    """Return where the lower half of an argument stands: the kernel takes an int from it."""
    return 16 + 8 * number
