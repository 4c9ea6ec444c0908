"""The repository's own rules: what make offers, what parsers may import, what CI forbids."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
TARGETS = [
    *("run", "build", "test", "lint", "fix", "golden", "pcaps"),
    *("fuzz", "bench", "soak", "docs", "wheel", "deb"),
]

IMPURE = {
    *("asyncio", "datetime", "io", "logging", "mmap", "multiprocessing", "os", "random"),
    *("secrets", "select", "signal", "socket", "subprocess", "tempfile", "threading", "time"),
}
"""Modules of the standard library that read, write, wait, log or know the time."""


def test_make_alone_lists_every_target():
    said = subprocess.run(["make"], cwd=CHECKOUT, check=True, text=True, stdout=subprocess.PIPE)

    listed = [line.split()[1] for line in said.stdout.splitlines()]
    assert sorted(listed) == sorted(TARGETS)


@pytest.mark.parametrize("target", ["wheel", "deb"])
def test_target_of_a_later_issue_says_so_and_exits_2(target):
    made = subprocess.run(["make", target], cwd=CHECKOUT, text=True, stderr=subprocess.PIPE)

    assert made.returncode == 2
    assert f"make {target}: not built yet" in made.stderr


def test_docs_are_made_of_the_commands():
    made = subprocess.run(
        ["make", "-n", "docs"], cwd=CHECKOUT, check=True, text=True, stdout=subprocess.PIPE
    )

    assert "tools/make_man.py build/man" in made.stdout


def test_parsers_import_the_standard_library_only_and_none_of_its_doors_outside():
    seen = set()
    for source in (CHECKOUT / "parsers").rglob("*.py"):
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                seen.update(alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{source}: imports are absolute"
                seen.add(node.module.split(".")[0])

    assert seen - {"parsers"} <= sys.stdlib_module_names
    assert not seen & IMPURE


SKIPPED = "import pytest\n\n\ndef test_that_skips():\n    pytest.skip('tool missing')\n"
SKIPPED_FILE = "import pytest\n\npytest.importorskip('no_such_module')\n"
EXPECTED = "import pytest\n\n\n@pytest.mark.xfail\ndef test_that_fails():\n    assert False\n"


@pytest.mark.parametrize("workers", ["0", "1"])
@pytest.mark.parametrize(
    ("test", "counted", "passes"),
    [
        pytest.param(SKIPPED, "1 failed", False, id="skipped test"),
        pytest.param(SKIPPED_FILE, "1 error", False, id="file that skips itself"),
        pytest.param(EXPECTED, "1 xfailed", True, id="expected failure"),
    ],
)
def test_ci_counts_a_skip_as_a_failure(suite, test, counted, passes, workers):
    (suite / "test_one.py").write_text(test)
    (suite.parent / "corpus").mkdir()

    ran = run_suite(suite, "-n", workers, CI="true", HELLOWATCH_CORPUS=f"{suite.parent}/corpus")

    assert counted in ran.stdout
    assert (ran.returncode == 0) == passes


def test_elsewhere_a_skip_is_a_skip(suite):
    (suite / "test_one.py").write_text(SKIPPED)

    assert "1 skipped" in run_suite(suite).stdout


def test_without_a_corpus_its_tests_are_not_collected_and_one_line_says_so(suite):
    (suite / "test_one.py").write_text("def test_one():\n    assert 1 + 1 == 2\n")
    (suite / "corpus").mkdir()
    (suite / "corpus" / "test_all.py").write_text("def test_all(corpus):\n    assert corpus\n")

    ran = run_suite(suite)

    assert "1 passed" in ran.stdout
    assert len([line for line in ran.stdout.splitlines() if "corpus:" in line]) == 1


@pytest.mark.parametrize("environment", [{"CI": "true"}, {"HELLOWATCH_CORPUS": "/nowhere"}])
def test_a_corpus_that_has_to_be_there_and_is_not_stops_the_run(suite, environment):
    (suite / "test_one.py").write_text("def test_one():\n    assert 1 + 1 == 2\n")

    ran = run_suite(suite, **environment)

    assert ran.returncode == pytest.ExitCode.USAGE_ERROR
    assert "no corpus at" in ran.stderr


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """An empty test folder under this suite's rules, with no corpus beside it."""
    folder = tmp_path / "checkout" / "tests"
    folder.mkdir(parents=True)
    rules = (CHECKOUT / "tests" / "conftest.py").read_text(encoding="utf-8")
    (folder / "conftest.py").write_text(rules, encoding="utf-8")
    return folder


def run_suite(suite: Path, *arguments: str, **environment: str):
    """Run pytest in ``suite`` with ``environment`` in place of this run's CI settings."""
    inherited = {k: v for k, v in os.environ.items() if k not in ("CI", "HELLOWATCH_CORPUS")}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments, "."],
        cwd=suite,
        env={**inherited, **environment},
        text=True,
        capture_output=True,
    )
