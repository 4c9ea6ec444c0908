"""Classic BPF: the assembler's jumps, the kernel's rules, and the kernel itself as judge."""

import socket
import struct
from array import array

import pytest

from sniffer.capture.bpf import (
    ADD,
    ALU,
    AND,
    DEVICE_TYPE,
    DIV,
    IND,
    JA,
    JEQ,
    JGE,
    JGT,
    JMP,
    JSET,
    KEEP_ALL,
    LD,
    LDX,
    LEN,
    LSH,
    MEM,
    MISC,
    MOD,
    MSH,
    MUL,
    NEG,
    OR,
    PACKET_TYPE,
    RET,
    RSH,
    ST,
    STX,
    SUB,
    TXA,
    VLAN_TAG,
    VLAN_TAG_PRESENT,
    VLAN_TYPE,
    XOR,
    A,
    Assembler,
    B,
    H,
    Instruction,
    Metadata,
    Program,
    ProgramError,
    W,
    X,
    run,
)

SO_ATTACH_FILTER = 26
FRAME = bytes(range(1, 65))
ABS = 0x20


def program(*instructions: tuple[int, int, int, int]) -> Program:
    return Program([Instruction(*one) for one in instructions], {})


def given(*instructions: tuple[int, int, int, int]) -> Program:
    """A program that returns what these instructions leave in A."""
    return program(*instructions, (RET | A, 0, 0, 0))


def kernel(judged: Program, wire: bytes) -> int:
    """What the kernel keeps of a datagram, at most 4096; the filter runs where it is sent."""
    receiver, sender = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with receiver, sender:
        octets = array("B", judged.octets)
        packed = struct.pack("HP", len(judged.instructions), octets.buffer_info()[0])
        receiver.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, packed)
        sender.send(wire)
        receiver.setblocking(False)
        try:
            return len(receiver.recv(4096))
        except BlockingIOError:
            return 0


SET_A = LD
SET_X = LDX

ROWS = [
    pytest.param(given((LD | B | ABS, 0, 0, 9)), 10, id="octet"),
    pytest.param(given((LD | H | ABS, 0, 0, 0)), 0x0102, id="two octets"),
    pytest.param(given((LD | W | ABS, 0, 0, 0)), 0x01020304, id="four octets"),
    pytest.param(given((LD | B | ABS, 0, 0, 63)), 64, id="the last octet"),
    pytest.param(given((LD | B | ABS, 0, 0, 64)), 0, id="beyond the end"),
    pytest.param(given((LD | H | ABS, 0, 0, 63)), 0, id="half beyond the end"),
    pytest.param(given((SET_X, 0, 0, 8), (LD | B | IND, 0, 0, 1)), 10, id="indexed"),
    pytest.param(given((SET_X, 0, 0, 2**32 - 4), (LD | B | IND, 0, 0, 9)), 6, id="wrapped index"),
    pytest.param(given((SET_X, 0, 0, 60), (LD | W | IND, 0, 0, 1)), 0, id="indexed beyond"),
    pytest.param(given((LD | W | LEN, 0, 0, 0)), 64, id="length"),
    pytest.param(given((LDX | W | LEN, 0, 0, 0), (MISC | TXA, 0, 0, 0)), 64, id="length in X"),
    pytest.param(given((LDX | B | MSH, 0, 0, 20), (MISC | TXA, 0, 0, 0)), 20, id="header length"),
    pytest.param(given((SET_A, 0, 0, 7), (ST, 0, 0, 3), (LD | MEM, 0, 0, 3)), 7, id="cell"),
    pytest.param(given((SET_X, 0, 0, 8), (STX, 0, 0, 15), (LD | MEM, 0, 0, 15)), 8, id="cell of X"),
    pytest.param(
        given((SET_A, 0, 0, 9), (ST, 0, 0, 0), (LDX | MEM, 0, 0, 0), (MISC | TXA, 0, 0, 0)),
        9,
        id="cell to X",
    ),
    pytest.param(given((MISC | TXA, 0, 0, 0)), 0, id="X begins at 0"),
    pytest.param(given((ALU | ADD, 0, 0, 12)), 12, id="A begins at 0"),
    pytest.param(program((RET, 0, 0, KEEP_ALL)), KEEP_ALL, id="all"),
    pytest.param(program((RET, 0, 0, 5)), 5, id="five octets"),
    pytest.param(program((JMP | JA, 0, 0, 1), (RET, 0, 0, 1), (RET, 0, 0, 2)), 2, id="jump"),
]
for operation, number, result in (
    (ADD, 3, 23),
    (SUB, 3, 17),
    (MUL, 2, 40),
    (DIV, 3, 6),
    (MOD, 3, 2),
    (OR, 3, 23),
    (AND, 6, 4),
    (XOR, 6, 18),
    (LSH, 1, 40),
    (RSH, 1, 10),
):
    constant = given((SET_A, 0, 0, 20), (ALU | operation, 0, 0, number))
    index = given((SET_A, 0, 0, 20), (SET_X, 0, 0, number), (ALU | operation | X, 0, 0, 0))
    ROWS += [
        pytest.param(constant, result, id=f"operation {operation:02x}"),
        pytest.param(index, result, id=f"operation {operation:02x} with X"),
    ]
ROWS += [
    pytest.param(given((SET_A, 0, 0, 1), (ALU | DIV | X, 0, 0, 0)), 0, id="division by X = 0"),
    pytest.param(given((SET_A, 0, 0, 1), (ALU | MOD | X, 0, 0, 0)), 0, id="modulo by X = 0"),
    pytest.param(
        given((SET_A, 0, 0, 9), (ALU | NEG, 0, 0, 0), (ALU | ADD, 0, 0, 10)), 1, id="negation"
    ),
    pytest.param(
        given((SET_A, 0, 0, 2**32 - 1), (ALU | ADD, 0, 0, 8)), 7, id="sums are of 32 bits"
    ),
    pytest.param(
        given((ALU | SUB, 0, 0, 1), (ALU | RSH, 0, 0, 28)), 15, id="differences are unsigned"
    ),
]
for comparison, number, is_true in (
    (JEQ, 20, True),
    (JEQ, 21, False),
    (JGT, 19, True),
    (JGT, 20, False),
    (JGE, 20, True),
    (JGE, 21, False),
    (JGT, 0xFFFFFFFF, False),
    (JSET, 0x14, True),
    (JSET, 0x0B, False),
):
    ends = ((RET, 0, 0, 2), (RET, 0, 0, 1))
    constant = program((SET_A, 0, 0, 20), (JMP | comparison, 1, 0, number), *ends)
    index = program(
        (SET_A, 0, 0, 20), (SET_X, 0, 0, number), (JMP | comparison | X, 1, 0, 0), *ends
    )
    ROWS += [
        pytest.param(constant, 1 if is_true else 2, id=f"{comparison:02x} {number:x}"),
        pytest.param(index, 1 if is_true else 2, id=f"{comparison:02x} {number:x} in X"),
    ]


@pytest.mark.parametrize(("judged", "result"), ROWS)
def test_interpreter_and_kernel_return_the_same(judged, result):
    assert run(judged, FRAME) == result
    assert kernel(judged, FRAME) == min(result, len(FRAME))


@pytest.mark.parametrize(
    ("load", "expected"),
    [
        (DEVICE_TYPE, 772),
        (PACKET_TYPE, 4),
        (VLAN_TAG, 0xE007),
        (VLAN_TAG_PRESENT, 1),
        (VLAN_TYPE, 0x88A8),
    ],
)
def test_what_is_known_beside_the_frame_can_be_loaded(load, expected):
    asked = given((LD | W | ABS, 0, 0, load))
    metadata = Metadata(772, packet_type=4, vlan_tag=0xE007, vlan_type=0x88A8)

    assert run(asked, FRAME, metadata) == expected
    assert run(asked, FRAME, Metadata(1)) == (1 if load == DEVICE_TYPE else 0)


REFUSED = [
    pytest.param([], id="nothing"),
    pytest.param([(LD, 0, 0, 1)], id="no end"),
    pytest.param([(JMP | JA, 0, 0, 1), (RET, 0, 0, 0)], id="a jump out"),
    pytest.param([(JMP | JEQ, 1, 0, 0), (RET, 0, 0, 0)], id="a comparison that leads out"),
    pytest.param([(LD | MEM, 0, 0, 16), (RET, 0, 0, 0)], id="a 17th cell"),
    pytest.param([(LD | MEM, 0, 0, 1), (RET, 0, 0, 0)], id="a cell never stored to"),
    pytest.param(
        [(JMP | JEQ, 0, 1, 0), (ST, 0, 0, 1), (LD | MEM, 0, 0, 1), (RET, 0, 0, 0)],
        id="a cell stored to on one way only",
    ),
    pytest.param([(ALU | DIV, 0, 0, 0), (RET, 0, 0, 0)], id="division by 0"),
    pytest.param([(ALU | LSH, 0, 0, 32), (RET, 0, 0, 0)], id="a shift by 32"),
    pytest.param([(0xFF, 0, 0, 0), (RET, 0, 0, 0)], id="no such code"),
    pytest.param([(LD | W | ABS, 0, 0, 0xFFFFFFF0), (RET, 0, 0, 0)], id="no such ancillary load"),
    pytest.param([(RET, 0, 0, 0)] * 4097, id="4097 instructions"),
]


@pytest.mark.parametrize("instructions", REFUSED)
def test_what_the_kernel_refuses_is_no_program(instructions):
    with pytest.raises(ProgramError):
        program(*instructions)

    octets = array("B", b"".join(struct.pack("=HBBI", *one) for one in instructions))
    packed = struct.pack("HP", len(instructions), octets.buffer_info()[0])
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver,
        pytest.raises(OSError, match=r"\[Errno (22|12)\]"),
    ):
        receiver.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, packed)


@pytest.mark.parametrize("between", [0, 1, 254, 255, 256, 300, 1000])
@pytest.mark.parametrize("octet", [0, 1])
def test_jumps_reach_their_labels_however_far(between, octet):
    a = Assembler()
    a.load(B, 0)
    a.test(JEQ, 0, "zero", "one")
    for _ in range(between):
        a.compute(ADD, 1)
    a.label("zero")
    a.give(10)
    a.label("one")
    a.give(20)
    made = a.program()

    assert run(made, bytes([octet])) == (20 if octet else 10)
    assert kernel(made, bytes([octet]).ljust(30)) == (20 if octet else 10)


def test_far_jumps_that_push_others_too_far_are_led_over_too():
    a = Assembler()
    for number in range(200):
        a.load(B, 0)
        a.test(JEQ, number, f"is {number}")
    a.give(0)
    for number in range(200):
        a.label(f"is {number}")
        a.give(1000 + number)
    made = a.program()

    assert [run(made, bytes([number])) for number in range(201)] == [*range(1000, 1200), 0]


def test_label_twice_or_missing_is_an_error():
    a = Assembler()
    a.label("here")
    a.give(0)
    with pytest.raises(ProgramError, match="twice"):
        a.label("here")
    a.jump("there")
    with pytest.raises(ProgramError, match="no label there"):
        a.program()


def test_listing_says_in_words_what_each_instruction_does():
    a = Assembler()
    a.set_x(12)
    a.note("the type field")
    a.load_x(H, 2)
    a.test(JEQ, 0x0800, "yes", "no")
    a.label("yes")
    a.give(KEEP_ALL)
    a.label("no")
    a.give(0)

    lines = [" ".join(line.split()) for line in a.program().listing().splitlines()]

    assert lines == [
        "0 X = 12",
        "1 A = frame[X + 2 : +2] ; the type field",
        "2 if A == 0x800 (2048): go on, else at 4",
        "3 keep",
        "4 drop",
    ]


def test_every_instruction_there_is_has_words():
    for row in ROWS:
        (judged, _) = row.values
        assert len(judged.listing().splitlines()) == len(judged.instructions)
