"""Row B10, in small: random octets hold no hello. ``make soak`` sends a milliard of them."""

import subprocess
import sys
from pathlib import Path

import craft
from tracking import batch_of, tracker

SCRIPT = Path(__file__).parents[1] / "soak" / "false_hellos.py"
OCTETS = 2_000_000


def test_random_octets_hold_no_hello() -> None:
    run = subprocess.run(
        [sys.executable, str(SCRIPT), str(OCTETS)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    sent, *_ = run.stdout.split()
    assert int(sent) >= OCTETS
    assert run.stdout.endswith(": 0 hellos\n")


def test_the_same_search_finds_a_hello_that_is_there() -> None:
    """A counter that cannot move would find nothing either."""
    one = tracker()
    one.observe(batch_of(craft.Conversation().client(craft.client_hello()).frames()))
    one.finish()
    one.ready()
    assert one.counters().hellos == 1
