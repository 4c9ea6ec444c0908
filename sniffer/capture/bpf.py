"""Classic BPF: an assembler with labels, a listing, and the kernel's rules as an interpreter.

    code   2      class and mode
    jt     1      instructions to skip if a comparison is true
    jf     1      and if it is false
    k      4      the operand

A program sees one frame, an accumulator A, an index X and sixteen cells M[]. Jumps go
forward only, so it ends. It returns how many octets of the frame to keep; 0 drops it.

Source: linux/filter.h, Documentation/networking/filter.rst, net/core/filter.c.
"""

import struct
from collections.abc import Mapping
from typing import NamedTuple

LARGEST_PROGRAM = 4096
KEEP_ALL = 0xFFFFFFFF
DROP = 0

LD, LDX, ST, STX, ALU, JMP, RET, MISC = range(8)
W, H, B = 0x00, 0x08, 0x10
IMM, ABS, IND, MEM, LEN, MSH = 0x00, 0x20, 0x40, 0x60, 0x80, 0xA0
ADD, SUB, MUL, DIV, OR, AND, LSH, RSH, NEG, MOD, XOR = range(0x00, 0xB0, 0x10)
JA, JEQ, JGT, JGE, JSET = range(0x00, 0x50, 0x10)
K, X, A = 0x00, 0x08, 0x10
TAX, TXA = 0x00, 0x80

ANCILLARY = 0xFFFFF000
"""Absolute loads from here on ask for what the kernel knows beside the frame."""
PACKET_TYPE = ANCILLARY + 4
DEVICE_TYPE = ANCILLARY + 28
VLAN_TAG = ANCILLARY + 44
VLAN_TAG_PRESENT = ANCILLARY + 48
VLAN_TYPE = ANCILLARY + 60

_ANCILLARY_NAMES = {
    PACKET_TYPE: "packet type",
    DEVICE_TYPE: "device's ARPHRD type",
    VLAN_TAG: "VLAN tag",
    VLAN_TAG_PRESENT: "VLAN tag present",
    VLAN_TYPE: "VLAN type",
}

_LONGEST_JUMP = 255
_LARGEST_OFFSET = 0x7FFFFFFF
"""Beyond it the kernel counts from other headers, which no program here needs."""
_COMPARISONS = {JEQ: "==", JGT: ">", JGE: ">=", JSET: "&"}
_OPERATIONS = {ADD: "+", SUB: "-", AND: "&", OR: "|", LSH: "<<", RSH: ">>"}
_OPERATIONS |= {MUL: "*", DIV: "/", MOD: "%", XOR: "^"}
_SIZES = {W: 4, H: 2, B: 1}


class ProgramError(Exception):
    """A program that the kernel would refuse, or that does not do what it is for."""


class Instruction(NamedTuple):
    """One instruction, as the kernel takes it."""

    code: int
    jt: int
    jf: int
    k: int


class Program:
    """Instructions that passed the kernel's checks, with what is said about them."""

    def __init__(self, instructions: list[Instruction], notes: Mapping[int, str]) -> None:
        """Check the instructions; ``notes`` explain one by its number.

        Raises ProgramError.
        """
        check(instructions)
        self.instructions = tuple(instructions)
        self.notes = dict(notes)

    @property
    def octets(self) -> bytes:
        """The program as an array of ``struct sock_filter``."""
        return b"".join(struct.pack("=HBBI", *one) for one in self.instructions)

    def listing(self) -> str:
        """Return the program line by line, in words a reader of C knows."""
        lines = []
        for number, instruction in enumerate(self.instructions):
            words = _words(number, instruction)
            note = self.notes.get(number)
            lines.append(f"{number:4}  {words:<52}; {note}" if note else f"{number:4}  {words}")
        return "\n".join(lines)


class _Item(NamedTuple):
    code: int
    k: int
    yes: str
    no: str
    note: str


class Assembler:
    """Collects instructions and labels; ``program`` puts the jumps in.

    A jump without a label for one of its ways goes on with the next instruction there. One
    that is too far for its octet is led over an unconditional jump.
    """

    def __init__(self) -> None:
        """Begin an empty program."""
        self._items: list[_Item] = []
        self._labels: dict[str, int] = {}
        self._labelled = 0
        """The item that the last label names."""
        self._note = ""

    def label(self, name: str) -> None:
        """Name the next instruction. Raises ProgramError if the name is taken."""
        if name in self._labels:
            raise ProgramError(f"the label {name} is there twice")
        if self._labelled < len(self._items):
            last = self._items[-1]
            if last.code == JMP | JA and last.yes == name:
                # A jump to what follows anyway.
                self._items.pop()
        self._labels[name] = self._labelled = len(self._items)

    def note(self, text: str) -> None:
        """Explain the next instruction in the listing."""
        self._note = text

    def load(self, size: int, at: int) -> None:
        """Let A be the number of 1, 2 or 4 octets (B, H, W) at an offset in the frame."""
        self._add(LD | size | ABS, at)

    def load_x(self, size: int, at: int) -> None:
        """Let A be the number at offset X + ``at``."""
        self._add(LD | size | IND, at)

    def load_length(self) -> None:
        """Let A be the frame's length."""
        self._add(LD | W | LEN, 0)

    def load_cell(self, cell: int) -> None:
        """Let A be M[cell]."""
        self._add(LD | MEM, cell)

    def set_a(self, number: int) -> None:
        """Let A be a number."""
        self._add(LD | IMM, number)

    def set_x(self, number: int) -> None:
        """Let X be a number."""
        self._add(LDX | IMM, number)

    def x_cell(self, cell: int) -> None:
        """Let X be M[cell]."""
        self._add(LDX | MEM, cell)

    def store(self, cell: int) -> None:
        """Let M[cell] be A."""
        self._add(ST, cell)

    def to_x(self) -> None:
        """Let X be A."""
        self._add(MISC | TAX, 0)

    def from_x(self) -> None:
        """Let A be X."""
        self._add(MISC | TXA, 0)

    def compute(self, operation: int, number: int) -> None:
        """Let A be A operation number."""
        self._add(ALU | operation | K, number)

    def compute_x(self, operation: int) -> None:
        """Let A be A operation X."""
        self._add(ALU | operation | X, 0)

    def jump(self, to: str) -> None:
        """Go on at a label."""
        self._add(JMP | JA, 0, to)

    def test(self, comparison: int, number: int, yes: str = "", no: str = "") -> None:
        """Compare A with a number and go on at ``yes`` or ``no``."""
        self._add(JMP | comparison | K, number, yes, no)

    def test_x(self, comparison: int, yes: str = "", no: str = "") -> None:
        """Compare A with X and go on at ``yes`` or ``no``."""
        self._add(JMP | comparison | X, 0, yes, no)

    def give(self, octets: int) -> None:
        """End: keep so many octets of the frame."""
        self._add(RET | K, octets)

    def program(self) -> Program:
        """Put the jumps in. Raises ProgramError where the kernel would refuse the result."""
        far: set[tuple[int, bool]] = set()
        while True:
            places = self._places(far)
            longer = {
                (number, way)
                for number, item in enumerate(self._items)
                if _is_test(item.code)
                for way, label in ((True, item.yes), (False, item.no))
                if label and self._target(places, label) - places[number] - 1 > _LONGEST_JUMP
            }
            if longer <= far:
                break
            far |= longer
        instructions: list[Instruction] = []
        notes: dict[int, str] = {}
        for number, item in enumerate(self._items):
            here = places[number]
            if item.note:
                notes[here] = item.note
            if not _is_test(item.code):
                k = item.k
                if item.code == JMP | JA:
                    k = self._target(places, item.yes) - here - 1
                instructions.append(Instruction(item.code, 0, 0, k))
                continue
            leads = [way for way in (True, False) if (number, way) in far]
            jumps = {}
            for way, label in ((True, item.yes), (False, item.no)):
                if way in leads:
                    jumps[way] = leads.index(way)
                elif label:
                    jumps[way] = self._target(places, label) - here - 1
                else:
                    jumps[way] = len(leads)
            instructions.append(Instruction(item.code, jumps[True], jumps[False], item.k))
            for way in leads:
                label = item.yes if way else item.no
                distance = self._target(places, label) - len(instructions) - 1
                instructions.append(Instruction(JMP | JA, 0, 0, distance))
        return Program(instructions, notes)

    def _add(self, code: int, k: int, yes: str = "", no: str = "") -> None:
        self._items.append(_Item(code, k, yes, no, self._note))
        self._note = ""

    def _places(self, far: set[tuple[int, bool]]) -> list[int]:
        """Return the number that each item's instruction has in the end."""
        places, at = [], 0
        for number in range(len(self._items)):
            places.append(at)
            at += 1 + ((number, True) in far) + ((number, False) in far)
        return places

    def _target(self, places: list[int], label: str) -> int:
        if label not in self._labels:
            raise ProgramError(f"there is no label {label}")
        item = self._labels[label]
        if item >= len(places):
            raise ProgramError(f"the label {label} names nothing")
        return places[item]


def check(instructions: list[Instruction]) -> None:
    """Raise ProgramError for what the kernel refuses (bpf_check_classic and its cells)."""
    count = len(instructions)
    if not 0 < count <= LARGEST_PROGRAM:
        raise ProgramError(f"{count} instructions, the kernel takes 1 to {LARGEST_PROGRAM}")
    # Cells that were stored to on every way to an instruction.
    stored: list[int | None] = [None] * count
    stored[0] = 0
    for number, (code, jt, jf, k) in enumerate(instructions):
        if code not in _KNOWN:
            raise ProgramError(f"instruction {number}: no such code 0x{code:02x}")
        cells = stored[number]
        kind = code & 7
        if code in (LD | MEM, LDX | MEM, ST, STX):
            if k > 15:
                raise ProgramError(f"instruction {number}: there is no M[{k}]")
            if cells is not None and kind in (ST, STX):
                cells |= 1 << k
            elif cells is not None and not cells & 1 << k:
                raise ProgramError(f"instruction {number}: M[{k}] was not stored to")
        elif kind == ALU and not code & X:
            if code & 0xF0 in (DIV, MOD) and k == 0:
                raise ProgramError(f"instruction {number}: division by 0")
            if code & 0xF0 in (LSH, RSH) and k > 31:
                raise ProgramError(f"instruction {number}: a shift by {k}")
        elif code & ~0x18 == LD | ABS and k > _LARGEST_OFFSET and k not in _ANCILLARY_NAMES:
            raise ProgramError(f"instruction {number}: no load from 0x{k:x} is known here")
        following = []
        if kind == JMP:
            jumps = (k,) if code == JMP | JA else (jt, jf)
            following = [number + 1 + jump for jump in jumps]
        elif kind != RET:
            following = [number + 1]
        for target in following:
            if target >= count:
                raise ProgramError(f"instruction {number} leads out of the program")
            if cells is not None:
                known = stored[target]
                stored[target] = cells if known is None else known & cells


class Metadata(NamedTuple):
    """What the kernel knows of a frame beside its octets."""

    device_type: int = 1
    packet_type: int = 0
    vlan_tag: int | None = None
    """Priority, DEI and id of a tag taken out of the frame."""
    vlan_type: int = 0x8100


ETHERNET = Metadata()


def run(program: Program, wire: bytes, metadata: Metadata = ETHERNET) -> int:
    """Return what the kernel would: how many octets of the frame to keep, 0 to drop it.

    A load from beyond the frame drops it, as in the kernel.
    """
    a = x = at = 0
    cells = [0] * 16
    while True:
        code, jt, jf, k = program.instructions[at]
        at += 1
        kind = code & 7
        if kind == RET:
            return a if code & A else k
        if kind == JMP:
            at += _jump(code, a, x, jt, jf, k)
        elif kind == ALU:
            operand = x if code & X else k
            if code & 0xF0 in (DIV, MOD) and operand == 0:
                return DROP
            a = _compute(code & 0xF0, a, operand)
        elif kind == MISC:
            a, x = (x, x) if code & TXA else (a, a)
        elif kind in (ST, STX):
            cells[k] = a if kind == ST else x
        else:
            value = _load(code, k, x, cells, wire, metadata)
            if value is None:
                return DROP
            a, x = (value, x) if kind == LD else (a, value)


def _jump(code: int, a: int, x: int, jt: int, jf: int, k: int) -> int:
    comparison = code & 0xF0
    if comparison == JA:
        return k
    operand = x if code & X else k
    is_true = (
        (comparison == JEQ and a == operand)
        or (comparison == JGT and a > operand)
        or (comparison == JGE and a >= operand)
        or (comparison == JSET and a & operand != 0)
    )
    return jt if is_true else jf


def _compute(operation: int, a: int, operand: int) -> int:
    results = {
        ADD: a + operand,
        SUB: a - operand,
        MUL: a * operand,
        OR: a | operand,
        AND: a & operand,
        XOR: a ^ operand,
        LSH: a << (operand & 31),
        RSH: a >> (operand & 31),
        NEG: -a,
    }
    if operation == DIV:
        return a // operand
    if operation == MOD:
        return a % operand
    return results[operation] & 0xFFFFFFFF


def _load(
    code: int, k: int, x: int, cells: list[int], wire: bytes, metadata: Metadata
) -> int | None:
    """Return what a load puts into A or X; None: there is no such octet."""
    mode = code & 0xE0
    if mode == IMM:
        return k
    if mode == MEM:
        return cells[k]
    if mode == LEN:
        return len(wire)
    if mode == MSH:
        return (wire[k] & 0x0F) * 4 if k < len(wire) else None
    if mode == ABS and k in _ANCILLARY_NAMES:
        return {
            PACKET_TYPE: metadata.packet_type,
            DEVICE_TYPE: metadata.device_type,
            VLAN_TAG: metadata.vlan_tag or 0,
            VLAN_TAG_PRESENT: int(metadata.vlan_tag is not None),
            VLAN_TYPE: metadata.vlan_type if metadata.vlan_tag is not None else 0,
        }[k]
    at = (k + x if mode == IND else k) & 0xFFFFFFFF
    size = _SIZES[code & 0x18]
    if at + size > len(wire):
        return None
    return int.from_bytes(wire[at : at + size])


def _is_test(code: int) -> bool:
    return code & 7 == JMP and code != JMP | JA


def _known_codes() -> set[int]:
    codes = {LD | size | mode for size in (W, H, B) for mode in (ABS, IND)}
    codes |= {LD | IMM, LD | MEM, LD | W | LEN, LDX | IMM, LDX | MEM, LDX | W | LEN}
    codes |= {LDX | B | MSH, ST, STX, RET | K, RET | A, MISC | TAX, MISC | TXA}
    codes |= {ALU | operation | source for operation in _OPERATIONS for source in (K, X)}
    codes |= {JMP | comparison | source for comparison in _COMPARISONS for source in (K, X)}
    return codes | {ALU | NEG, JMP | JA}


_KNOWN = _known_codes()


def _words(number: int, instruction: Instruction) -> str:
    """Return one instruction in words."""
    code, jt, jf, k = instruction
    kind = code & 7
    if kind == RET:
        if code & A:
            return "keep A octets"
        return "drop" if k == DROP else "keep" if k == KEEP_ALL else f"keep {k} octets"
    if kind == JMP:
        if code == JMP | JA:
            return f"go on at {number + 1 + k}"
        operand = "X" if code & X else _number(k)
        way = f"if A {_COMPARISONS[code & 0xF0]} {operand}"
        if jt == 0:
            return f"{way}: go on, else at {number + 1 + jf}"
        if jf == 0:
            return f"{way}: go on at {number + 1 + jt}"
        return f"{way}: go on at {number + 1 + jt}, else at {number + 1 + jf}"
    if kind == ALU:
        if code & 0xF0 == NEG:
            return "A = -A"
        return f"A = A {_OPERATIONS[code & 0xF0]} {'X' if code & X else _number(k)}"
    if kind == MISC:
        return "A = X" if code & TXA else "X = A"
    if kind in (ST, STX):
        return f"M[{k}] = {'A' if kind == ST else 'X'}"
    target = "A" if kind == LD else "X"
    mode = code & 0xE0
    if mode == IMM:
        return f"{target} = {k}"
    if mode == MEM:
        return f"{target} = M[{k}]"
    if mode == LEN:
        return f"{target} = length"
    if mode == MSH:
        return f"X = 4 * (frame[{k}] & 0xf)"
    if k in _ANCILLARY_NAMES:
        return f"A = {_ANCILLARY_NAMES[k]}"
    start = f"X + {k}" if mode == IND else f"{k}"
    size = _SIZES[code & 0x18]
    return f"A = frame[{start}]" if size == 1 else f"A = frame[{start} : +{size}]"


def _number(number: int) -> str:
    return str(number) if number < 10 else f"0x{number:x} ({number})"
