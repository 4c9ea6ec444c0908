"""``top`` where textual is not installed: the same rows, drawn anew twice a second by rich."""

import time

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sniffer.export import words
from sniffer.export.table import STYLES
from sniffer.top.board import Board, Device, Event
from sniffer.top.feed import Feed

SECONDS = 0.5
MOST_ROWS = 20


def show(board: Board, feed: Feed) -> None:
    """Draw until the input is over, or until Ctrl-C."""
    console = Console(highlight=False, markup=False, emoji=False)
    with Live(picture(board, feed), console=console, auto_refresh=False, transient=False) as live:
        while True:
            is_over = feed.is_over
            live.update(picture(board, feed), refresh=True)
            if is_over:
                return
            time.sleep(SECONDS)


def picture(board: Board, feed: Feed) -> Group:
    """Return what is to be seen now."""
    devices, old, hellos = board.counts()
    grid = Table(box=None, pad_edge=False)
    for head in ("Device", "Service", "Destination", "Offers", "Verdict", "Outcome", "Hellos"):
        grid.add_column(head, justify="right" if head == "Hellos" else "left", no_wrap=True)
    for device in board.devices("urgency", lambda _: True, MOST_ROWS):
        if device.worst is not None:
            grid.add_row(*_cells(device, device.worst))
    told = (
        f"{words.counted(devices, 'device')}, {old} to look at; {words.counted(hellos, 'hello')}."
    )
    return Group(grid, Text(told), Text(feed.coverage(), "dim"))


def _cells(device: Device, worst: Event) -> list[Text]:
    return [
        Text(device.ip),
        Text(", ".join(device.services)),
        Text(worst.server),
        Text(worst.hellowatch.max_offered or "unknown"),
        Text(worst.verdict, STYLES.get(worst.hellowatch.verdict, "")),
        Text(worst.outcome),
        Text(str(device.hellos)),
    ]
