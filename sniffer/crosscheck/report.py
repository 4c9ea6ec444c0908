"""A capture through every dissector that is there, and what came of it."""

import tempfile
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from msgspec import Struct

from sniffer.config import Ports
from sniffer.crosscheck import dissectors, own
from sniffer.crosscheck.compare import Difference, differences
from sniffer.crosscheck.hello import Hello
from sniffer.crosscheck.rules import Rule, explain
from sniffer.errors import InputError
from sniffer.log import one_line, printable

AT_ONCE = 32
"""Captures that are checked, and told, at a time."""

KINDS = {
    "missing": "has no hello here",
    "extra": "has a hello here, HelloWatch has none",
}


class Opinion(Struct):
    """What one dissector made of a capture."""

    dissector: str
    hellos: int
    problem: str | None


class Explained(Struct):
    """A difference and the rule that explains it, if there is one."""

    difference: Difference
    rule: Rule | None


class Checked(Struct):
    """One capture, its second opinions and what they differ in."""

    path: str
    hellos: int
    problem: str | None
    """Why not all of the file was read by HelloWatch."""
    opinions: list[Opinion]
    found: list[Explained]

    @property
    def unexplained(self) -> int:
        """How many differences no rule explains."""
        return sum(one.rule is None for one in self.found)

    def told(self) -> dict[str, Any]:
        """Return it as the JSON has it."""
        return {
            "path": one_line(self.path),
            "hellos": self.hellos,
            "problem": None if self.problem is None else one_line(self.problem),
            "dissectors": [
                {
                    "name": one.dissector,
                    "hellos": one.hellos,
                    "problem": None if one.problem is None else one_line(one.problem),
                }
                for one in self.opinions
            ],
            "differences": [told(self.path, one) for one in self.found],
        }


def check(
    paths: Sequence[str], ports: Ports, names: Sequence[str], seconds: float
) -> Iterator[Checked | InputError]:
    """Yield what became of each capture, in their order; an error: it is none."""
    for at in range(0, len(paths), AT_ONCE):
        with tempfile.TemporaryDirectory(prefix="hellowatch-") as folder:
            yield from _some(paths[at : at + AT_ONCE], ports, names, seconds, Path(folder))


def _some(
    paths: Sequence[str], ports: Ports, names: Sequence[str], seconds: float, folder: Path
) -> list[Checked | InputError]:
    """Check some captures; each dissector is started once for all of them."""
    results: list[Checked | InputError] = []
    subjects: list[tuple[Checked, own.Own, str]] = []
    for number, path in enumerate(paths):
        try:
            plain, problem = _plain(path, folder / f"{number}.pcapng")
            mine = own.read(plain, ports)
        except InputError as error:
            results.append(InputError(path, error.offset, error.why))
            continue
        problem = problem or mine.problem
        why = None if problem is None else str(InputError(path, problem.offset, problem.why))
        one = Checked(path, len(mine.handshakes), why, [], [])
        results.append(one)
        subjects.append((one, mine, plain))
    said = _asked(names, [plain for _, _, plain in subjects], seconds)
    for name in names:
        for one, mine, plain in subjects:
            _compare(one, mine, plain, name, said[name][plain], ports)
    for one, _, _ in subjects:
        one.found.sort(key=lambda found: found.difference.frame)
    return results


def _asked(
    names: Sequence[str], plains: Sequence[str], seconds: float
) -> dict[str, dict[str, dissectors.Told]]:
    """Ask all dissectors at once: each works in a process of its own."""
    stop = threading.Event()
    with ThreadPoolExecutor(len(names)) as pool:
        try:
            told = pool.map(lambda name: dissectors.read(name, plains, seconds, stop), names)
            return dict(zip(names, told, strict=True))
        finally:
            stop.set()


def _plain(path: str, copy: Path) -> tuple[str, InputError | None]:
    """Return a file that every dissector can open, and what was wrong with what it is made of."""
    if own.is_plain(path):
        return path, None
    with copy.open("wb") as out:
        return str(copy), own.unpack(path, out)


def _compare(
    one: Checked, mine: own.Own, plain: str, name: str, said: dissectors.Told, ports: Ports
) -> None:
    followed = [
        hello for hello in said.hellos if ports.follow_any or hello.server_port in ports.services
    ]
    one.opinions.append(Opinion(name, len(followed), said.problem))
    ours = [(own.hello_of(handshake), handshake) for handshake in mine.handshakes]
    found = differences(name, ours, followed, said.problem)
    shown = own.evidence(plain, {difference.frame for difference in found})
    for difference in found:
        difference.conflicts = mine.conflicts
        difference.evidence = shown.get(difference.frame)
        one.found.append(Explained(difference, explain(difference)))


def told(path: str, one: Explained) -> dict[str, Any]:
    """Return a difference as the JSON has it; an unknown value is null."""
    difference, rule = one.difference, one.rule
    hello = difference.ours or difference.theirs
    is_fact = difference.kind not in KINDS
    return {
        "path": one_line(path),
        "frame": difference.frame,
        "dissector": difference.dissector,
        "kind": difference.kind,
        "client": None if hello is None else _end(hello.client, hello.client_port),
        "server": None if hello is None else _end(hello.server, hello.server_port),
        "hellowatch": _value(difference.ours, difference.kind) if is_fact else None,
        "said": _value(difference.theirs, difference.kind) if is_fact else None,
        "right": "unknown" if rule is None else rule.right,
        "rule": None if rule is None else rule.name,
        "why": None if rule is None else rule.why,
        "source": None if rule is None else rule.source,
        "bytes": None if difference.evidence is None else difference.evidence.octets.hex(),
    }


def table(checked: Checked) -> list[str]:
    """Return the lines that tell one capture's result."""
    opinions = ", ".join(f"{one.dissector} {one.hellos}" for one in checked.opinions)
    count = len(checked.found)
    how = "no difference" if count == 0 else f"{count} differences" if count > 1 else "1 difference"
    if count:
        how += f", {checked.unexplained} unexplained" if checked.unexplained else ", all explained"
    lines = [f"{one_line(checked.path)}: HelloWatch {checked.hellos} hellos, {opinions}: {how}"]
    lines += [
        f"  {one.dissector} did not read all of it: {one_line(one.problem)}"
        for one in checked.opinions
        if one.problem is not None
    ]
    for one in checked.found:
        row = told(checked.path, one)
        kind = row["kind"]
        what = KINDS.get(kind, f"reads {kind} {row['said']}, HelloWatch {row['hellowatch']}")
        lines.append(f"  frame {row['frame']}, {row['client']} to {row['server']}")
        lines.append(f"    {row['dissector']} {what}")
        if one.rule is None:
            lines.append("    no rule explains it: please look at the bytes")
        else:
            lines.append(f"    likely right: {row['right']}, by {row['rule']}: {row['why']}")
        if row["bytes"] is not None:
            lines.append(f"    bytes {row['bytes']}")
    return lines


def _end(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _value(hello: Hello | None, fact: str) -> Any:  # noqa: ANN401 (what the JSON holds)
    value = None if hello is None else getattr(hello, fact)
    if fact == "server_name" and value is not None:
        return printable(value.encode())
    if fact.endswith("_version") and value is not None:
        return f"0x{value:04x}"
    if isinstance(value, tuple):
        return [f"0x{number:04x}" for number in value]
    return value
