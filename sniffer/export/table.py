"""The summary as a table for terminals: a row for each stack of each device.

Whatever the wire made is inert in it: no control character is printed.
"""

import io
import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TextIO

from parsers.tls.names import VERSIONS
from sniffer.event import Verdict
from sniffer.export import words
from sniffer.export.findings import ENFORCEMENT
from sniffer.inventory.coverage import Coverage
from sniffer.inventory.device import NEEDS_ACTION, VERDICT_RANK
from sniffer.inventory.findings import KINDS
from sniffer.log import one_line

if TYPE_CHECKING:
    from rich.console import Console

MOST_ROWS = 100
MOST_FINDINGS = 20
"""Rows of a table, and findings below it; whoever has more needs another format."""

URGENCY = (ENFORCEMENT, *(kind.value for kind in KINDS))
"""Kinds of findings, the most telling first."""

PLAIN_WIDTH = 120
"""Columns of a table where neither a terminal nor COLUMNS says another number."""

LONGEST_CELL = 48
"""Characters of one name in a table."""

Summary = Mapping[str, Any]


def table(
    summary: Summary,
    out: TextIO,
    *,
    zone: tzinfo = UTC,
    color: bool | None = None,
    width: int | None = None,
) -> None:
    """Write the devices as a table for people, what needs action first, a row for each stack.

    Below it always stands what could be seen. ``color`` None: as ``out`` is a terminal or not.
    """
    from rich.console import Console

    is_terminal = out.isatty()
    colored = (is_terminal or bool(os.environ.get("FORCE_COLOR"))) if color is None else color
    console = Console(
        file=io.StringIO(),
        force_terminal=colored,
        no_color=None if color is None else not color,
        width=width or _width(out),
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
    )
    if summary["devices"]:
        _print_devices(summary, console, zone)
    else:
        console.print(_nothing_yet(summary["coverage"]), soft_wrap=not is_terminal)
    for line in _findings(summary.get("findings", ()), zone):
        console.print(line, soft_wrap=not is_terminal)
    console.print()
    console.print(coverage_line(summary["coverage"], zone), soft_wrap=not is_terminal)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    encoding = out.encoding or "utf-8"
    for line in lines:
        out.write(line.rstrip().encode(encoding, "replace").decode(encoding) + "\n")


def coverage_line(coverage: Mapping[str, Any], zone: tzinfo = UTC) -> str:
    """Return what could be seen, and whether that is fit to tell, as text of one line."""
    told = [words.duration(coverage["watched_seconds"])]
    if coverage["first_seen"] and coverage["last_seen"]:
        first, last = (_time(coverage[key], zone) for key in ("first_seen", "last_seen"))
        told[0] += f" ({first} to {last} {_zone_name(coverage['last_seen'], zone)})"
    flows = words.counted(coverage["flows"], "conversation")
    hellos = words.counted(coverage["hellos"], "hello")
    cut = sum(coverage["incomplete_hellos"].values())
    told += [
        words.counted(coverage["frames"], "frame"),
        flows + (f" ({coverage['one_sided_flows']} one-sided)" * bool(coverage["one_sided_flows"])),
        hellos + (f" ({cut} cut)" * bool(cut)),
    ]
    for key, what in (
        ("dropped_frames", "dropped"),
        ("truncated_frames", "cut by the snap length"),
        ("undecoded_frames", "not read"),
    ):
        lost = coverage[key]
        number = sum(lost.values()) if isinstance(lost, Mapping) else lost
        if number:
            why = f" ({_reasons(lost)})" if isinstance(lost, Mapping) else ""
            told.append(f"{words.counted(number, 'frame')} {what}{why}")
    return (
        f"{words.COVERAGE}: {', '.join(told)}. "
        f"{words.FIT[coverage['fit']]}: {one_line(coverage['why'])}"
    )


class Row(NamedTuple):
    """One stack of one device as the table shows it."""

    device: str
    service: str
    destination: str
    offers: str
    verdict: str
    breaks: str
    outcome: str
    hellos: str
    last_seen: str
    style: str


def _print_devices(summary: Summary, console: "Console", zone: tzinfo) -> None:
    devices = sorted(summary["devices"], key=words.urgency)
    rows = [row for device in devices for row in _rows(device, zone)]
    shown = rows[:MOST_ROWS]
    heads = [head.format(zone=_zone_name(devices[0]["last_seen"], zone)) for head in GRID]
    if widths := _widths(heads, shown, console.width):
        _print_grid(heads, widths, shown, console)
    else:
        _print_list(shown, console)
    if len(rows) > MOST_ROWS:
        more = words.counted(len(rows) - MOST_ROWS, "more row")
        console.print(f"... and {more}: --format json has all of them.")
    acting = sum(device["status"] in NEEDS_ACTION for device in devices)
    told = words.counted(len(devices), "device")
    hellos = words.counted(summary["totals"]["hellos"], "hello")
    console.print(f"\n{told}, {acting} to look at; {hellos}.")


def _print_grid(heads: list[str], widths: list[int], rows: list[Row], console: "Console") -> None:
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
    for head, width in zip(heads, widths, strict=True):
        align: Literal["left", "right"] = "right" if head == "Hellos" else "left"
        grid.add_column(head, overflow="fold", justify=align, width=width, vertical="top")
    for row in rows:
        texts = [Text(_broken(cell, width)) for cell, width in zip(row, widths, strict=False)]
        for at, head in enumerate(heads):
            if head in ("Verdict", "Breaks?"):
                texts[at].stylize(row.style)
        grid.add_row(*texts)
    console.print(grid)


def _widths(heads: list[str], rows: list[Row], width: int) -> list[int] | None:
    """Return the columns' widths: what each can be read in, then more to who gains most by it.

    None: there is not room enough for a grid.
    """
    wanted = [
        max(len(line) for text in (head, *(row[at] for row in rows)) for line in text.split("\n"))
        for at, head in enumerate(heads)
    ]
    columns = list(GRID)
    widths = [min(GRID[head] or want, want) for head, want in zip(columns, wanted, strict=True)]
    spare = width - sum(widths) - GAP * (len(widths) - 1)
    if spare < 0:
        return None
    for head, good in GAINS:
        at = columns.index(head)
        more = min(spare, max(min(good, wanted[at]) - widths[at], 0))
        widths[at] += more
        spare -= more
    return widths


def _broken(text: str, width: int) -> str:
    """Break a long name or address behind a dot, a colon or a space."""
    lines = []
    for line in text.split("\n"):
        left = line
        while len(left) > width:
            at = max(left.rfind(mark, 0, width) for mark in ".: ") + 1 or width
            lines.append(left[:at])
            left = left[at:]
        lines.append(left)
    return "\n".join(lines)


def _print_list(rows: list[Row], console: "Console") -> None:
    """Print what the grid has, for narrow screens."""
    from rich.padding import Padding
    from rich.text import Text

    for row in rows:
        breaks = f"; breaks? {row.breaks}" if row.breaks else ""
        console.print(Text(f"{row.device}: ").append(f"{row.verdict}{breaks}", row.style))
        outcome = row.outcome.replace("\n", ", ")
        told = (
            f"{row.service} to {row.destination}, offers {row.offers}, hellos {row.hellos}, "
            f"last seen {row.last_seen}. {outcome}."
        )
        console.print(Padding(Text(told), (0, 0, 0, 4), expand=False))


GRID = {
    "Device": 20,
    "Service": 7,
    "Destination": 16,
    "Offers": None,
    "Verdict": 13,
    "Breaks?": 10,
    "Outcome": 13,
    "Hellos": None,
    "Last seen ({zone})": 10,
}
"""The columns, and the least width each can be read in; None: it is never broken."""

GAINS = (
    ("Outcome", 17),
    ("Destination", 24),
    ("Outcome", 32),
    ("Device", 39),
    ("Destination", 64),
    ("Breaks?", 32),
    ("Last seen ({zone})", 32),
    ("Verdict", 64),
    ("Service", 32),
    ("Outcome", 64),
)
"""Who gets a wider column, and up to what width, in this order, where there is room."""

GAP = 2

STYLES = {
    Verdict.LEGACY: "red",
    Verdict.INCOMPATIBLE: "red",
    Verdict.AT_RISK: "yellow",
    Verdict.FALLBACK: "yellow",
    Verdict.OK: "green",
}

_CODES = {name: code for code, name in VERSIONS.items()}


def _rows(device: Mapping[str, Any], zone: tzinfo) -> Iterator[Row]:
    """Yield a row for each stack of a device, the most telling first."""
    # What is true of the device stands in its first row only, beside the stack it is due to.
    breaks = words.break_words(device["will_break"], device["breaks"])
    stacks = sorted(device["stacks"], key=lambda stack: -VERDICT_RANK[Verdict(stack["verdict"])])
    for stack in stacks:
        verdict = Verdict(stack["verdict"])
        top = stack["max_offered"]
        yield Row(
            device=_device(device),
            service=", ".join(stack["services"]),
            destination=_destinations(stack["destinations"]),
            offers=top or "unknown",
            verdict=words.verdict_words(verdict, _CODES.get(top)),
            breaks=breaks,
            outcome=_outcomes(stack),
            hellos=str(stack["hellos"]),
            last_seen=_time(stack["last_seen"], zone),
            style=STYLES.get(verdict, "none"),
        )
        breaks = ""


def _device(device: Mapping[str, Any]) -> str:
    """Return the device's address, and below it what it is known as."""
    known = [*device["names"][:1], device["vendor"]]
    if (clients := device["clients_at_least"]) > 1:
        known.append(f"at least {clients} clients")
    if claim := device.get("claim"):
        known.append(words.claim_words(claim))
    return "\n".join([_short(text) for text in (device["ip"] or device["id"], *known) if text])


def _destinations(destinations: list[Mapping[str, Any]]) -> str:
    """Return the destination most said hello to, and how many others there are."""
    if not destinations:
        return ""
    most = max(destinations, key=lambda destination: destination["hellos"])
    text = _short(most["name"] or most["ip"] or "several")
    return text if len(destinations) == 1 else f"{text} and {len(destinations) - 1} more"


def _outcomes(stack: Mapping[str, Any]) -> str:
    """Return how handshakes ended, with numbers if they ended in several ways."""
    told = words.ends(stack["outcomes"], stack["thrown_out"])
    if len(told) == 1:
        return told[0][0]
    return "\n".join([f"{count} x {end}" for end, count in told])


def _findings(findings: Iterable[Mapping[str, Any]], zone: tzinfo) -> Iterator[str]:
    """Yield what was found beside the devices, the most telling first, behind an empty line."""
    told = sorted(findings, key=lambda finding: URGENCY.index(finding["kind"]))
    if told:
        yield ""
    for finding in told[:MOST_FINDINGS]:
        often = words.counted(finding["count"], "time")
        last = _time(finding["last_seen"], zone)
        more = "" if finding["kind"] == ENFORCEMENT else f" ({often}, last {last})"
        yield one_line(finding["text"]) + more
    if len(told) > MOST_FINDINGS:
        rest = words.counted(len(told) - MOST_FINDINGS, "more finding")
        yield f"... and {rest}: --format json has all of them."


def _nothing_yet(coverage: Mapping[str, Any]) -> str:
    seen = Coverage(
        frames=coverage["frames"],
        flows=coverage["flows"],
        hellos=coverage["hellos"],
        first_ns=0,
        last_ns=round(coverage["watched_seconds"] * 1e9),
    )
    return words.nothing_yet(seen)


def _reasons(counts: Mapping[str, int]) -> str:
    return ", ".join([f"{one_line(reason)} {count}" for reason, count in sorted(counts.items())])


def _short(text: str) -> str:
    """Return a text the table can hold, in which nothing steers a terminal."""
    line = one_line(text[: 4 * LONGEST_CELL])
    return line if len(line) <= LONGEST_CELL else line[: LONGEST_CELL - 3] + "..."


def _time(text: str, zone: tzinfo) -> str:
    return datetime.fromisoformat(text).astimezone(zone).strftime("%Y-%m-%d %H:%M")


def _zone_name(text: str, zone: tzinfo) -> str:
    return datetime.fromisoformat(text).astimezone(zone).tzname() or "local"


def _width(out: TextIO) -> int:
    """Return the columns to fill: of COLUMNS, else of the terminal, else 120."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isascii() and columns.isdigit() and int(columns) > 0:
        return int(columns)
    try:
        return os.get_terminal_size(out.fileno()).columns or PLAIN_WIDTH
    except (OSError, ValueError):
        return PLAIN_WIDTH
