"""``hellowatch top``: what stands on the board, on the screen, and on a real terminal."""

import asyncio
import io
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from events import HOSTILE, JUDGEMENT, spoken
from handshakes import DAY_NS, START_NS, handshake, hello, judgement
from program import OFFICE, PROGRAM, environment, hellowatch
from rich.console import Console
from terminal import terminal
from textual.widgets import DataTable, Input, Static

from parsers.tls.facts import TLS_1_2
from sniffer.event import Outcome, Session, Side, Sure, Verdict
from sniffer.export import ecs
from sniffer.top import board as boards
from sniffer.top.board import Board, matches
from sniffer.top.dashboard import MOST_ROWS, Dashboard

TOP = [*PROGRAM, "top"]
TERM = {"TERM": "xterm-256color"}


def line(last: int, verdict: Verdict = Verdict.LEGACY, name: bytes = b"a.example", **more: Any):
    """Return an event of the device 10.0.0.LAST, as a line."""
    source = bytes([10, 0, last >> 8, last & 0xFF])
    version = {} if verdict is Verdict.LEGACY else {"version": TLS_1_2}
    one = handshake(source=source, offer=hello(name=name, **version), **more)
    return ecs.encode(one, judgement(verdict))


def everything(_device: object) -> bool:
    return True


# -------------------------------------------------------------------------------- the board


def test_board_counts_each_device_and_puts_what_is_old_first() -> None:
    board = Board()
    board.add([line(1, Verdict.OK), line(2), line(2, outcome=Outcome.ALERT), line(3)])
    assert board.counts() == (3, 2, 4)
    devices = board.devices("urgency", everything, 10)
    assert [(d.ip, d.hellos, d.refused) for d in devices] == [
        ("10.0.0.2", 2, 1),
        ("10.0.0.3", 1, 0),
        ("10.0.0.1", 1, 0),
    ]
    assert [d.ip for d in board.devices("hellos", everything, 1)] == ["10.0.0.2"]
    assert [d.ip for d in board.devices("newest", everything, 1)] == ["10.0.0.3"]
    assert [d.ip for d in board.devices("device", everything, 1)] == ["10.0.0.1"]


@pytest.mark.parametrize(
    ("sure", "text"),
    [
        (None, "TLS agreed (login not visible)"),
        (Sure.LIKELY, "TLS agreed, then most likely thrown out"),
        (Sure.POSSIBLE, "TLS agreed, closed soon by the server"),
    ],
)
def test_who_was_thrown_out_is_not_told_as_a_success(sure: Sure | None, text: str) -> None:
    board = Board()
    session = Session(0, 101, 0.1, Side.SERVER, sure)
    board.add([line(1, outcome=Outcome.ESTABLISHED, session=session)])
    (device,) = board.devices("urgency", everything, 1)
    assert [event.outcome for event in (device.worst, device.last)] == [text, text]


def test_worst_offer_of_a_device_is_told_whatever_came_later() -> None:
    board = Board()
    board.add([line(1), line(1, Verdict.OK, time_ns=START_NS + DAY_NS)])
    (device,) = board.devices("urgency", everything, 10)
    assert device.is_old
    assert device.worst is not None
    assert device.worst.verdict == "Old TLS (1.0)"
    assert device.last is not None
    assert device.last.time > device.worst.time


def test_filter_finds_address_service_and_server() -> None:
    board = Board()
    board.add([line(1, name=b"mail.one.example"), line(2, name=b"two.example", port=995)])
    for text, found in {"0.2": 2, "IMAPS": 2, "one": 1, "zzz": 0, "": 2}.items():
        told = board.devices("device", matches(text), 10)
        assert len(told) == (1 if text == "0.2" else found), text


def test_board_is_bounded_and_forgets_what_needs_no_action(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(boards, "MOST_DEVICES", 10)
    board = Board()
    board.add([line(1)])
    board.add([line(n, Verdict.OK) for n in range(2, 1000)])
    assert board.counts() == (10, 1, 999)
    assert board.let_go == 989
    assert board.devices("urgency", everything, 1)[0].ip == "10.0.0.1"
    assert len(board.newest(10_000)) == boards.MOST_HANDSHAKES


def test_line_that_is_no_event_is_counted() -> None:
    board = Board()
    board.add([b"{}", b"", b"\xff", line(1)])
    assert (board.unreadable, board.hellos) == (3, 1)


# -------------------------------------------------------------------------------- the screen


def on_screen(board: Board, look: Callable[[Dashboard, Any], Coroutine[Any, Any, None]]) -> None:
    """Show a board, and look at it."""

    async def go() -> None:
        app = Dashboard(board, None, "x.pcap")
        async with app.run_test(size=(160, 45)) as pilot:
            await pilot.pause()
            await look(app, pilot)

    asyncio.run(go())


def rows(app: Dashboard, table: str = "#devices") -> list[list[str]]:
    """Return the cells of a table."""
    shown = app.query_one(table, DataTable)
    return [[str(cell) for cell in shown.get_row_at(at)] for at in range(shown.row_count)]


def words_at(app: Dashboard, place: str) -> str:
    return str(app.query_one(place, Static).render())


def test_screen_shows_devices_and_handshakes() -> None:
    board = Board()
    board.add([line(1, Verdict.OK), line(2, outcome=Outcome.RESET)])

    async def look(app: Dashboard, pilot: Any) -> None:
        assert rows(app)[0] == [
            *("10.0.0.2", "TLS 1.0", "Old TLS (1.0)", "1", "1", "imaps", "a.example"),
            *("Connection reset", "2026-11-23 12:00:00"),
        ]
        assert [row[1] for row in rows(app, "#handshakes")] == ["10.0.0.2", "10.0.0.1"]
        assert "2 devices, 1 to look at" in words_at(app, "#head")

    on_screen(board, look)


def test_keys_sort_filter_and_hold() -> None:
    board = Board()
    board.add([line(9), line(1, Verdict.OK), line(1, Verdict.OK), line(2, Verdict.OK)])

    async def look(app: Dashboard, pilot: Any) -> None:
        assert [row[0] for row in rows(app)] == ["10.0.0.9", "10.0.0.1", "10.0.0.2"]
        orders = []
        for _ in range(4):
            await pilot.press("s")
            orders.append((app.order, rows(app)[0][0]))
        assert orders == [
            ("hellos", "10.0.0.1"),
            ("newest", "10.0.0.2"),
            ("device", "10.0.0.1"),
            ("urgency", "10.0.0.9"),
        ]
        await pilot.press("o")
        assert [row[0] for row in rows(app)] == ["10.0.0.9"]
        await pilot.press("o", "slash", *"0.2", "enter")
        assert [row[0] for row in rows(app)] == ["10.0.0.2"]
        await pilot.press("escape")
        assert app.query_one("#filter", Input).value == ""
        assert len(rows(app)) == 3
        await pilot.press("p")
        board.add([line(3)])
        app.show()
        assert len(rows(app)) == 3
        assert "held" in words_at(app, "#head")
        await pilot.press("p")
        assert len(rows(app)) == 4

    on_screen(board, look)


def test_empty_screen_says_what_to_expect() -> None:
    async def look(app: Dashboard, pilot: Any) -> None:
        assert "Nothing seen yet" in words_at(app, "#coverage")

    on_screen(Board(), look)


def test_flood_is_bounded_on_the_screen_and_counted_whole() -> None:
    board = Board()
    board.add([line(n, Verdict.OK) for n in range(3000)])
    board.add([line(3001)])

    async def look(app: Dashboard, pilot: Any) -> None:
        assert len(rows(app)) == len(rows(app, "#handshakes")) == MOST_ROWS
        assert rows(app)[0][0] == "10.0.11.185"
        assert "3001 devices, 1 to look at" in words_at(app, "#head")
        assert "(100 of 3001)" in str(app.query_one("#devices").border_title)

    on_screen(board, look)


def test_hostile_names_are_inert_on_the_screen() -> None:
    board = Board()
    board.add([ecs.encode(spoken(name), JUDGEMENT) for name in HOSTILE])

    async def look(app: Dashboard, pilot: Any) -> None:
        app.wanted = "[red]markup"
        app.show()
        told = rows(app) + rows(app, "#handshakes")
        assert all(cell.isprintable() for row in told for cell in row)
        assert any("[red]markup" in cell for row in told for cell in row)
        await pilot.pause()
        assert "[red]markup" in str(app.query_one("#devices").border_title)

    on_screen(board, look)


# ------------------------------------------------------------------------------ the terminal


def test_capture_is_shown_on_a_terminal_until_q(tmp_path: Path) -> None:
    with terminal([*TOP, str(OFFICE)], tmp_path, environment(**TERM)) as screen:
        screen.wait_for("10.20.20.11", "Newest handshakes", "24 devices", "What we could see")
        screen.press("q")
        assert screen.ended() == 0


def test_interrupt_ends_it(tmp_path: Path) -> None:
    with terminal([*TOP, str(OFFICE)], tmp_path, environment(**TERM)) as screen:
        screen.wait_for("10.20.20.11")
        screen.press("\x03")
        assert screen.ended() == 130


def test_without_textual_the_rows_are_drawn_all_the_same(tmp_path: Path) -> None:
    code = "import sys; sys.modules['textual'] = None; from sniffer.cli.main import main; main()"
    command = [sys.executable, "-c", code, "top", str(OFFICE)]
    with terminal(command, tmp_path, environment(**TERM)) as screen:
        assert screen.ended() == 0
        screen.wait_for("10.20.20.11", "24 devices, 15 to look at", "What we could see: 1 d 5 h")


def test_folder_somebody_is_in_is_never_imported_from(tmp_path: Path) -> None:
    (tmp_path / "sniffer").mkdir()
    (tmp_path / "sniffer" / "__init__.py").write_text("raise SystemExit(99)")
    code = "import sys; del sys.path[0]; from sniffer.cli.main import main; main()"
    command = [sys.executable, "-c", code, "top", str(OFFICE)]
    with terminal(command, tmp_path, environment(**TERM)) as screen:
        screen.wait_for("10.20.20.11")
        screen.press("q")
        assert screen.ended() == 0


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (["none.pcap"], 3, "none.pcap"),
        (["--ports", "x", "a.pcap"], 2, "--ports"),
        (["-i", "nothing0"], 2, "nothing0"),
        ([], 2, "name a capture file, or an interface with -i IFACE"),
        (["-i", "lo", "a.pcap"], 2, "name a capture file, or an interface with -i IFACE"),
        (["-"], 2, "the keyboard is needed"),
    ],
)
def test_what_cannot_be_shown_is_told_in_a_line(
    arguments: list[str], code: int, why: str, tmp_path: Path
) -> None:
    with terminal([*TOP, *arguments], tmp_path, environment(**TERM)) as screen:
        assert screen.ended() == code
        assert why.encode() in screen.told


def test_no_terminal_is_told(tmp_path: Path) -> None:
    run = hellowatch("top", OFFICE, cwd=tmp_path)
    assert (run.returncode, run.stdout) == (2, b"")
    assert b"standard output is no terminal" in run.stderr


def test_hostile_names_are_inert_without_textual() -> None:
    from sniffer.top.plain import picture

    board = Board()
    board.add([ecs.encode(spoken(name), JUDGEMENT) for name in HOSTILE])

    class Nothing:
        def coverage(self) -> str:
            return "What we could see: nothing."

    console = Console(width=200, record=True, file=io.StringIO())
    console.print(picture(board, Nothing()))  # type: ignore[arg-type] # all that is asked of it
    assert all(line.isprintable() for line in console.export_text().splitlines())
