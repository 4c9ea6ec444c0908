"""What a hello costs, counted in calls and not in seconds, which a busy machine stretches."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import handshakes
import pytest

from sniffer.config import DEFAULT_PORTS, InventorySettings
from sniffer.event import Handshake, Judgement
from sniffer.export import ecs
from sniffer.export.summary import summary
from sniffer.inventory.aggregate import Aggregate
from sniffer.inventory.coverage import Coverage
from sniffer.judge.profile import load_profiles
from sniffer.judge.verdict import Judge

COMPARE = Path(__file__).parents[1] / "bench" / "compare.py"
PROFILES = load_profiles()
MANY = 500


def calls(work: Callable[[], object]) -> int:
    """Return how many functions are called, ours and Python's own."""
    count = 0

    def note(_frame: FrameType, event: str, _what: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def met(number: int) -> list[Handshake]:
    """Return one handshake each of so many devices."""
    return [handshakes.handshake(source=(10 << 24 | n).to_bytes(4, "big")) for n in range(number)]


def test_a_hello_of_a_known_shape_and_its_event_and_its_device_take_few_calls():
    ports, seen = DEFAULT_PORTS, met(MANY)
    aggregate = Aggregate(InventorySettings(), ports, PROFILES)
    judge = Judge(ports, PROFILES)
    judged: list[tuple[Handshake, Judgement]] = []

    def count() -> None:
        for handshake in seen:
            judgement = judge.judge(handshake)
            judged.append((handshake, judgement))
            aggregate.observe(handshake, judgement)

    def write() -> None:
        for handshake, judgement in judged:
            ecs.encode(handshake, judgement)

    def tell() -> None:
        summary((), aggregate.snapshot(), Coverage(), PROFILES)

    ecs.offer(seen[0].hello)
    assert calls(count) / MANY < 230
    assert calls(write) / MANY < 65
    assert calls(tell) / MANY < 450


@pytest.mark.parametrize("workload", ["mixed", "handshakes"])
def test_bench_holds_every_count_to_the_truth(workload):
    ran = subprocess.run(
        [sys.executable, COMPARE, "--octets", "400000", "--rounds", "1", workload],
        text=True,
        capture_output=True,
        check=True,
    )
    assert "each found once" in ran.stdout
    assert "summary" in ran.stdout
