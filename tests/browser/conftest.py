"""A real browser, Debian's Chromium, that reaches nothing but the page under test."""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = "/usr/bin/chromium"
REFUSED = re.compile("Failed to load resource: the server responded with a status of 4")
OPTIONS = (
    "--no-sandbox",  # the tests may run as root
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


# No longer than a module: its event loop runs meanwhile, and others want one of their own.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(OPTIONS))
        yield browser
        browser.close()


@pytest.fixture
def tab(browser) -> Iterator[Callable[..., Page]]:
    """Return what opens a tab of its own; nothing in it may complain, or ask anybody else."""
    said: list[str] = []
    expected: list[re.Pattern[str]] = []
    origins: set[str] = set()
    contexts = []

    def asked(url: str) -> None:
        if not url.startswith(("data:", "blob:", "about:")):
            origins.add("/".join(url.split("/")[:3]))

    def tab(*, refused: bool = False, **options: object) -> Page:
        """``refused``: the browser will complain that an answer was no success."""
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        if refused:
            expected.append(REFUSED)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked(request.url))
        page.on("dialog", lambda dialog: said.append(f"dialog: {dialog.message}"))
        return page

    yield tab
    for context in contexts:
        context.close()
    assert [line for line in said if not any(one.match(line) for one in expected)] == []
    assert len(origins) <= 1, origins
