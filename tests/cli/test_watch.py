"""``hellowatch watch`` where there is nobody to wait for."""

from pathlib import Path

import pytest
from program import OFFICE, hellowatch

STORE = ("--store", "sqlite:///kept.db")


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("10.0.0.99", "--timeout", "0.1"), 6, "hellowatch: nothing was seen of 10.0.0.99"),
        (("02:00:00:00:00:99", "--timeout", "0.1"), 6, "nothing was seen of 02:00:00:00:00:99"),
        (("2001:DB8:0::1", "--timeout", "0.1"), 6, "nothing was seen of 2001:db8::1"),
        (("printer",), 2, "hellowatch: printer: names no device of this inventory"),
        (("10.0.0.99", "--timeout", "soon"), 2, "'soon' is no length of time"),
        (("printer", "-i", "lo"), 2, "printer: names no address: with -i write an IP address"),
    ],
)
def test_what_cannot_be_watched_says_so(
    tmp_path: Path, arguments: tuple[str, ...], code: int, told: str
) -> None:
    ran = hellowatch("analyze", "-q", "-o", "x", *STORE, OFFICE, cwd=tmp_path)
    assert ran.returncode == 0
    ran = hellowatch("watch", *arguments, *STORE, cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (code, b"")
    assert told in ran.stderr.decode()


def test_without_an_inventory_there_is_nothing_to_ask(tmp_path: Path) -> None:
    ran = hellowatch("watch", "10.0.0.99", *STORE, cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (3, b"")
    assert b"there is no inventory yet" in ran.stderr
    assert not list(tmp_path.iterdir())
