"""The cage's list of system calls, by the kernel's rules for such programs."""

import errno
import struct

import pytest

from sniffer.cage.seccomp import (
    ARCHITECTURES,
    CALLS,
    CAPTURING,
    READING,
    RET_ALLOW,
    RET_ERRNO,
    RET_KILL_PROCESS,
    program,
)
from sniffer.capture.bpf import run

REFUSED = RET_ERRNO | errno.EPERM
X86 = ARCHITECTURES["x86_64"]
FORBIDDEN = {
    # x86-64's numbers
    "open": 2,
    "dup": 32,
    "dup2": 33,
    "socket": 41,
    "connect": 42,
    "accept": 43,
    "sendto": 44,
    "sendmsg": 46,
    "listen": 50,
    "clone": 56,
    "fork": 57,
    "execve": 59,
    "kill": 62,
    "fcntl": 72,
    "ptrace": 101,
    "setuid": 105,
    "capset": 126,
    "prctl": 157,
    "openat": 257,
    "unshare": 272,
    "splice": 275,
    "tee": 276,
    "sendmmsg": 307,
    "process_vm_writev": 311,
    "memfd_create": 319,
    "execveat": 322,
    "io_uring_setup": 425,
    "pidfd_getfd": 438,
}


WORKER = (CAPTURING, [5, 7])
READER = (READING, [])


def answer(
    number: int, *arguments: int, audit: int = X86.audit, column: int = 0, cage=WORKER
) -> int:
    made = program(ARCHITECTURES["x86_64" if column == 0 else "aarch64"], *cage)
    padded = [*arguments, 0, 0, 0, 0, 0, 0][:6]
    # The interpreter reads the network's byte order, the kernel this machine's.
    halves = [half for one in padded for half in (one & 0xFFFFFFFF, one >> 32)]
    return run(made, struct.pack(">IIII12I", number, audit, 0, 0, *halves))


NEEDED = [
    *((name, numbers, WORKER) for name, numbers in (CALLS | CAPTURING).items()),
    *((name, numbers, READER) for name, numbers in (CALLS | READING).items()),
]


@pytest.mark.parametrize("cage", [WORKER, READER], ids=["worker", "reader"])
@pytest.mark.parametrize("number", FORBIDDEN.values(), ids=FORBIDDEN)
def test_what_is_never_needed_is_refused(number, cage):
    assert answer(number, cage=cage) == REFUSED


@pytest.mark.parametrize("number", [number for number, _ in CAPTURING.values()], ids=CAPTURING)
def test_who_reads_files_has_no_use_for_sockets(number):
    assert answer(number, cage=READER) == REFUSED
    assert answer(16, 3, 0x8913, cage=READER) == REFUSED


@pytest.mark.parametrize(("name", "numbers", "cage"), NEEDED)
def test_what_is_needed_is_allowed(name, numbers, cage):
    if numbers[0] or name == "read":
        assert answer(numbers[0], cage=cage) == RET_ALLOW
    if numbers[1]:
        arm = ARCHITECTURES["aarch64"]
        assert answer(numbers[1], audit=arm.audit, column=1, cage=cage) == RET_ALLOW


def test_packet_socket_is_not_written_to():
    assert [answer(1, descriptor) for descriptor in (2, 5, 6, 7)] == [
        RET_ALLOW,
        REFUSED,
        RET_ALLOW,
        REFUSED,
    ]
    assert answer(20, 5) == REFUSED


def test_memory_is_not_made_executable():
    assert answer(9, 0, 4096, 3) == RET_ALLOW
    assert answer(9, 0, 4096, 7) == REFUSED
    assert answer(10, 0, 4096, 5) == REFUSED


def test_interfaces_are_looked_at_and_not_set():
    assert answer(16, 3, 0x8913) == RET_ALLOW
    assert answer(16, 3, 0x8933) == RET_ALLOW
    assert answer(16, 3, 0x8914) == REFUSED  # SIOCSIFFLAGS


def test_numbers_of_another_architecture_end_the_process():
    assert answer(0, audit=0x40000003) == RET_KILL_PROCESS
