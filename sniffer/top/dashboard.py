"""``top`` on a terminal, by textual."""

from typing import ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.coordinate import Coordinate
from textual.widgets import DataTable, Footer, Input, Static

from sniffer.errors import EXIT_INTERRUPTED
from sniffer.export import words
from sniffer.export.table import STYLES
from sniffer.top.board import ORDERS, Board, Device, Event, matches
from sniffer.top.feed import Feed

REFRESH_SECONDS = 0.5
COVERAGE_SECONDS = 2.0
MOST_ROWS = 100

DEVICE_COLUMNS = (
    *("Device", "Offers", "Verdict", "Hellos", "Refused"),
    *("Service", "Destination", "Last outcome", "Last seen (UTC)"),
)
HANDSHAKE_COLUMNS = (
    *("Time (UTC)", "Device", "Service", "Destination"),
    *("Offers", "Outcome", "Verdict"),
)

HELP = (
    "s sorts by urgency, hellos, newest, device;  o shows only what is to be looked at;  "
    "/ filters;  p holds the picture;  q ends"
)


class Dashboard(App[None]):
    """Devices above, the newest handshakes below, what could be seen at the bottom."""

    TITLE = "HelloWatch"
    ENABLE_COMMAND_PALETTE = False
    AUTO_FOCUS = "#devices"
    CSS = """
    Screen { background: $background; }
    #head { height: 1; background: $primary; color: $text; text-style: bold; padding: 0 1; }
    #devices { height: 2fr; border: round $primary; border-title-color: $text; }
    #handshakes { height: 1fr; border: round $primary; border-title-color: $text; }
    #devices:focus, #handshakes:focus { border: round $accent; }
    DataTable { scrollbar-size: 0 1; scrollbar-color: $panel; }
    #coverage { height: auto; padding: 0 1; color: $text-muted; }
    #filter { display: none; height: 3; border: round $accent; }
    #filter.shown { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "Quit"),
        Binding("s", "sort", "Sort"),
        Binding("o", "only_old", "Only old"),
        Binding("slash", "filter", "Filter"),
        Binding("p", "pause", "Hold"),
        Binding("ctrl+c", "interrupt", show=False, priority=True),
        Binding("escape", "all", "All", show=False),
    ]

    def __init__(self, board: Board, feed: Feed | None, what: str) -> None:
        """Show a board that ``feed`` fills; ``what`` is where that comes from."""
        super().__init__()
        self.board = board
        self.feed = feed
        self.what = what
        self.order = "urgency"
        self.only_old = False
        self.is_held = False
        self.wanted = ""
        self.coverage = ""
        self._picture: tuple[int, str, bool, str] | None = None
        """What the rows were made of: they are made anew only where that has changed."""

    def compose(self) -> ComposeResult:
        """Make the parts of the screen."""
        yield Static(id="head")
        with Vertical():
            yield DataTable[Text](id="devices", cursor_type="row", zebra_stripes=True)
            yield DataTable[Text](id="handshakes", cursor_type="row", show_cursor=False)
        yield Input(placeholder="address, service or server", id="filter")
        yield Static(id="coverage", markup=False)
        yield Footer()

    def on_mount(self) -> None:
        """Begin to look at the board."""
        self.query_one("#devices", DataTable).add_columns(*DEVICE_COLUMNS)
        self.query_one("#handshakes", DataTable).add_columns(*HANDSHAKE_COLUMNS)
        self.show()
        self.set_interval(REFRESH_SECONDS, self.show)
        if self.feed is not None:
            self.run_worker(self._ask, thread=True)
            self.set_interval(COVERAGE_SECONDS, lambda: self.run_worker(self._ask, thread=True))

    def show(self) -> None:
        """Bring the screen up to date; not while it is held."""
        if self.is_held:
            return
        picture = (self.board.hellos, self.order, self.only_old, self.wanted)
        if picture == self._picture:
            self._show_words(self.query_one("#devices", DataTable).row_count)
            return
        self._picture = picture
        is_in = matches(self.wanted)
        devices = self.board.devices(
            self.order,
            lambda device: (device.is_old or not self.only_old) and is_in(device),
            MOST_ROWS,
        )
        _fill(self.query_one("#devices", DataTable), [device_cells(one) for one in devices])
        newest = [event_cells(event) for event in self.board.newest(MOST_ROWS)]
        _fill(self.query_one("#handshakes", DataTable), newest)
        self._show_words(len(devices))

    def action_sort(self) -> None:
        """Sort by the next of the orders."""
        names = list(ORDERS)
        self.order = names[(names.index(self.order) + 1) % len(names)]
        self.show()

    def action_only_old(self) -> None:
        """Show only devices to look at, or all again."""
        self.only_old = not self.only_old
        self.show()

    def action_pause(self) -> None:
        """Hold the picture, or let it go on."""
        self.is_held = not self.is_held
        self._show_words(self.query_one("#devices", DataTable).row_count)
        self.show()

    def action_interrupt(self) -> None:
        """End as any program does at Ctrl-C."""
        self.exit(return_code=EXIT_INTERRUPTED)

    def action_filter(self) -> None:
        """Ask for a text that devices have to have."""
        asking = self.query_one("#filter", Input)
        asking.add_class("shown")
        asking.focus()

    def action_all(self) -> None:
        """Show all devices again."""
        asking = self.query_one("#filter", Input)
        asking.value = ""
        asking.remove_class("shown")
        self.query_one("#devices", DataTable).focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter as the text is typed."""
        self.wanted = event.value
        self.show()

    def on_input_submitted(self) -> None:
        """Go back to the devices."""
        self.query_one("#devices", DataTable).focus()

    def _ask(self) -> None:
        """Ask what could be seen; in a thread, because the answer may take a while."""
        if self.feed is not None:
            self.coverage = self.feed.coverage()

    def _show_words(self, shown: int) -> None:
        devices, old, hellos = self.board.counts()
        is_over = self.feed is not None and self.feed.is_over
        state = "held" if self.is_held else "at its end" if is_over else "watching"
        head = (
            f"HelloWatch  {self.what}  {state}   {words.counted(devices, 'device')}, "
            f"{old} to look at   {words.counted(hellos, 'hello')}"
        )
        self.query_one("#head", Static).update(Text(head))
        title = f"Devices by {self.order}"
        if self.only_old:
            title += ", only those to look at"
        if self.wanted:
            title += f", with {self.wanted!r}"
        if shown < devices:
            title += f" ({shown} of {devices})"
        self.query_one("#devices").border_title = Text(title).markup
        self.query_one("#handshakes").border_title = "Newest handshakes"
        nothing = f"Nothing seen yet. {words.WATCH_LONGER}" if not hellos else ""
        self.query_one("#coverage", Static).update(Text(nothing or self.coverage or HELP))


def device_cells(device: Device) -> list[Text]:
    """Return a device's row."""
    worst, last = device.worst, device.last
    assert worst is not None  # noqa: S101 (a device is made by an event)
    assert last is not None  # noqa: S101
    more = len(device.servers) - 1
    style = STYLES.get(worst.hellowatch.verdict, "")
    return [
        Text(device.ip, "bold" if device.is_old else ""),
        Text(worst.hellowatch.max_offered or "unknown"),
        Text(worst.verdict, style),
        Text(str(device.hellos), justify="right"),
        Text(str(device.refused), "red" if device.refused else "dim", justify="right"),
        Text(", ".join(device.services)),
        Text(_short(worst.server) + (f" and {more} more" if more else "")),
        Text(last.outcome),
        Text(_time(last)),
    ]


def event_cells(event: Event) -> list[Text]:
    """Return a handshake's row."""
    own = event.hellowatch
    return [
        Text(_time(event), "dim"),
        Text(event.source.ip),
        Text(event.network.protocol),
        Text(_short(event.server)),
        Text(own.max_offered or "unknown"),
        Text(event.outcome),
        Text(event.verdict, STYLES.get(own.verdict, "")),
    ]


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}..."


def _time(event: Event) -> str:
    return event.time[:19].replace("T", " ")


def _fill(table: "DataTable[Text]", rows: list[list[Text]]) -> None:
    """Put rows into a table; who looks at it stays where they are."""
    at, top = table.cursor_coordinate, table.scroll_y
    table.clear()
    table.add_rows(rows)
    table.move_cursor(row=min(at.row, max(0, len(rows) - 1)), column=Coordinate(0, 0).column)
    table.scroll_to(y=top, animate=False)
