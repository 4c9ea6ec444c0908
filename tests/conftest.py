"""What holds for the whole suite: where the corpus is, and that CI skips nothing."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from databases import Postgres

CI = os.environ.get("CI") == "true"
CHECKOUT = Path(__file__).parent.parent
CORPUS = Path(os.environ.get("HELLOWATCH_CORPUS") or CHECKOUT.parent / "shared" / "corpus")
CORPUS_TESTS = Path(__file__).parent / "corpus"


def pytest_configure(config: pytest.Config) -> None:
    """Stop at once where the corpus has to be there and is not."""
    if not CORPUS.is_dir() and (CI or os.environ.get("HELLOWATCH_CORPUS")):
        raise pytest.UsageError(
            f"no corpus at {CORPUS}: put it there, or name its folder in HELLOWATCH_CORPUS"
        )


def pytest_report_header() -> str:
    """Say where the corpus is, or that its tests are left out."""
    if CORPUS.is_dir():
        return f"corpus: {CORPUS}"
    return f"corpus: none at {CORPUS}, its tests are not collected (HELLOWATCH_CORPUS names it)"


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave the corpus tests out where there is no corpus."""
    return True if collection_path == CORPUS_TESTS and not CORPUS.is_dir() else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Ask first which build is under test: nothing else counts if it is the wrong one."""
    items.sort(key=lambda item: item.path.name != "test_build.py")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """In CI a skipped test is a failed one: a missing tool must not hide."""
    report = yield
    return _without_skip(report)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    """In CI a file that skips itself is a failure too."""
    report = yield
    return _without_skip(report)


def _without_skip(report):
    if CI and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not allow: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The folder of captures with ground truth (its README.md says what is in it)."""
    return CORPUS


@pytest.fixture(scope="session")
def postgres_server() -> Iterator["Postgres"]:
    """A PostgreSQL of this session's own."""
    from databases import postgres

    with postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty store: what uses it is proved on both databases."""
    if request.param == "postgresql":
        return request.getfixturevalue("postgres_server").url()
    return f"sqlite:///{tmp_path}/store.db"
