"""A short run of what ``make fuzz`` runs long: no octets may break a parser.

Octets that once did are kept in ``seeds/``, under a name that says what they were.
"""

import random
import subprocess
import sys
from pathlib import Path

import pytest
from builds import differences, printed
from mutation import flipped, mutations
from program import environment
from targets import TARGETS

import parsers

FOLDER = Path(__file__).parent
RUN = FOLDER / "run.py"
FLIPS = FOLDER / "flips.py"
CHANGED_CAPTURES = 1500
SECONDS = 2
SEEDS = sorted((FOLDER / "seeds").glob("*/*"))
ENGINES = ["mutation"]
if not parsers.compiled() and sys.platform == "linux" and sys.version_info < (3, 15):
    # It follows interpreted sources. pyproject.toml declares it for these Pythons, so that
    # its tests fail, and are not left out, where it is not installed.
    ENGINES.append("atheris")


@pytest.mark.parametrize("seed", SEEDS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_a_seed_breaks_nothing(seed: Path) -> None:
    TARGETS[seed.parent.name](seed.read_bytes())


@pytest.mark.parametrize("name", sorted(TARGETS))
@pytest.mark.parametrize("engine", ENGINES)
def test_changed_seeds_break_nothing(engine: str, name: str, tmp_path: Path) -> None:
    command = [sys.executable, str(RUN), name, "--engine", engine, "--seconds", str(SECONDS)]
    run = subprocess.run(
        [*command, "--found", str(tmp_path / "found")],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr[-3000:]
    executions = int(run.stdout.split()[1])
    # On a busy machine the seconds are over soon after the seeds.
    assert executions >= len(list((FOLDER / "seeds" / name).iterdir())), run.stdout


def test_flipped_bits_invent_no_client_and_both_builds_agree() -> None:
    compiled, interpreted = (printed(FLIPS, one, str(CHANGED_CAPTURES)) for one in (False, True))
    if not compiled:
        pytest.skip("no compiled build is installed")
    assert len(interpreted.splitlines()) == CHANGED_CAPTURES
    wrong = list(differences(compiled, interpreted))
    assert not wrong, "\n".join(wrong[:5])


def test_a_planted_fault_is_found(tmp_path: Path) -> None:
    """What runs the targets must tell a broken one, and keep the octets that broke it."""
    script = (
        "import sys; sys.path[:0] = [sys.argv[1], sys.argv[2]]\n"
        "import run, targets, pathlib\n"
        "def broken(data):\n"
        "    assert data[:1] != bytes((1,))\n"
        "targets.TARGETS['frame'] = broken\n"
        "print(*run.mutate('frame', 1, pathlib.Path(sys.argv[3])))\n"
    )
    paths = [str(FOLDER), str(FOLDER.parent), str(tmp_path / "found")]
    run = subprocess.run(
        [sys.executable, "-c", script, *paths], capture_output=True, text=True, check=True
    )
    executions, findings = map(int, run.stdout.split())
    assert executions > findings > 0
    kept = list((tmp_path / "found").iterdir())
    assert kept
    assert all(path.read_bytes()[:1] == b"\1" for path in kept)


def test_mutations_are_the_same_for_the_same_seed() -> None:
    wires = [path.read_bytes() for path in SEEDS]
    once, again = (mutations(wires, "x", 4096) for _ in range(2))
    assert [next(once) for _ in range(200)] == [next(again) for _ in range(200)]
    whole = bytes(100)
    changed = flipped(whole, random.Random(1), 8, start=60)
    assert changed[:60] == whole[:60]
    assert changed != whole
