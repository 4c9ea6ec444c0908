"""The inventory in a real browser: the answer, the list, one device, and what could be seen."""

from pathlib import Path

import pytest
from playwright.sync_api import expect
from program import OFFICE, hellowatch
from serving import Serving, serving

STORE = "sqlite:///office.db"


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Serving:
    folder: Path = tmp_path_factory.mktemp("page")
    hellowatch("analyze", "-o", "x", "--store", STORE, str(OFFICE), cwd=folder)
    hellowatch("devices", "own", "10.20.20.12", "<b>Jo</b>", "--store", STORE, cwd=folder)
    with serving(folder, None, "--store", STORE) as page:
        yield page


@pytest.mark.parametrize("javascript", [True, False], ids=["javascript", "plain"])
def test_from_the_answer_to_one_device(page, tab, javascript):
    at = tab(java_script_enabled=javascript)
    at.goto(page.origin)
    expect(at.get_by_text("Safe to switch off old TLS? No.")).to_be_visible()
    at.get_by_role("link", name="devices seen").click()
    devices = page.ask("GET", "/api/v1/devices").json()["devices"]
    expect(at.get_by_role("heading", name=f"{len(devices)} devices")).to_be_visible()
    assert at.locator("table.devices tbody tr").count() == len(devices)
    at.get_by_role("link", name="10.20.20.11", exact=True).click()
    expect(at.get_by_role("heading", name="10.20.20.11")).to_be_visible()
    expect(at.get_by_text("RNP58387947").first).to_be_visible()
    expect(at.get_by_text("printer").first).to_be_visible()
    expect(at.get_by_text("What we could see")).to_be_visible()


def test_list_is_searched_and_filtered(page, tab):
    at = tab()
    at.goto(f"{page.origin}/devices")
    at.get_by_role("searchbox").fill("ricoh")
    at.get_by_role("button", name="Show").click()
    rows = at.locator("table.devices tbody tr")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("10.20.20.11")
    at.get_by_role("searchbox").fill("")
    at.get_by_label("Status").select_option("refused")
    at.get_by_role("button", name="Show").click()
    refused = page.ask("GET", "/api/v1/devices?status=refused").json()["devices"]
    expect(rows).to_have_count(len(refused))
    at.get_by_role("searchbox").fill("no such thing")
    at.get_by_role("button", name="Show").click()
    expect(at.get_by_text("None.")).to_be_visible()


def test_what_people_say_is_text(page, tab):
    at = tab()
    at.goto(f"{page.origin}/devices?q=<b>jo")
    expect(at.get_by_text("10.20.20.12").first).to_be_visible()
    at.get_by_role("link", name="10.20.20.12", exact=True).click()
    expect(at.get_by_text("<b>Jo</b>")).to_be_visible()


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_nothing_is_wider_than_the_screen(page, tab, width):
    at = tab(viewport={"width": width, "height": 800})
    for path in ("/", "/devices", "/devices/10.20.20.11", "/coverage"):
        at.goto(page.origin + path)
        assert at.evaluate("document.documentElement.scrollWidth") <= width, path


@pytest.mark.parametrize("query", ["page=0", "page=999", "page=x", "status=nosuch", "q=%00%ff"])
def test_odd_questions_are_answered(page, query):
    assert page.ask("GET", f"/devices?{query}").status == 200


def test_unknown_device_is_told(page, tab):
    at = tab(refused=True)
    at.goto(f"{page.origin}/devices/nosuch")
    expect(at.get_by_text("this names no device of the inventory")).to_be_visible()


def test_without_an_inventory_the_first_page_says_how_to_begin(tmp_path, tab):
    with serving(tmp_path, None, "--store", STORE) as page:
        at = tab()
        at.goto(page.origin)
        expect(at.get_by_text("Safe to switch off old TLS? Not known.")).to_be_visible()
        expect(at.get_by_role("link", name="uploaded")).to_be_visible()
