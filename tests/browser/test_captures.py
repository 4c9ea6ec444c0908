"""Captures uploaded in a real browser, with and without JavaScript, and what is read then."""

import re

import craft
import pytest
from playwright.sync_api import expect
from program import OFFICE
from serving import Serving, serving


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Serving:
    with serving(tmp_path_factory.mktemp("page"), {"upload_bytes": 8 << 20}) as page:
        yield page


@pytest.mark.parametrize("javascript", [True, False], ids=["javascript", "plain"])
def test_upload_leads_to_the_answer(page, tab, javascript):
    at = tab(java_script_enabled=javascript)
    at.goto(page.origin)
    at.get_by_role("link", name="Captures").click()
    at.get_by_label("Where from").fill("Lyon")
    at.get_by_label("Capture files").set_input_files(OFFICE)
    if not javascript:
        at.get_by_role("button", name="Analyse").click()
    at.wait_for_url(re.compile("/captures/.+"))
    expect(at.get_by_role("heading", name="office.pcapng")).to_be_visible()
    expect(at.get_by_text("Safe to switch off old TLS? No.")).to_be_visible()
    expect(at.get_by_text("What we could see")).to_be_visible()
    rows = at.locator("table.devices tbody tr")
    state = page.ask("GET", at.url.replace("/captures/", "/api/v1/captures/")[len(page.origin) :])
    assert rows.count() == state.json()["devices"]
    expect(at.get_by_text("Lyon")).to_be_visible()


NAMES = ("one.pcap", "two.pcap")


def test_several_files_are_dropped_at_once(page, tab):
    at = tab()
    at.goto(f"{page.origin}/captures")
    drop = """(area, texts) => {
        const data = new DataTransfer();
        for (const [name, text] of texts) data.items.add(new File([text], name));
        area.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true }));
    }"""
    at.locator("[data-drop]").evaluate(drop, [[name, "no capture " * 9] for name in NAMES])
    uploads = at.locator("[data-uploads]")
    for name in NAMES:
        expect(uploads.get_by_role("link", name=name)).to_be_visible()
    uploads.get_by_role("link", name=NAMES[0]).click()
    expect(at.get_by_text("It could not be read")).to_be_visible()
    expect(at.get_by_text("neither a pcap nor a pcapng")).to_be_visible()


def test_too_large_file_says_why(page, tab, tmp_path):
    (tmp_path / "large.pcap").write_bytes(bytes(9 << 20))
    at = tab(refused=True)
    at.goto(f"{page.origin}/captures")
    at.get_by_label("Capture files").set_input_files(tmp_path / "large.pcap")
    expect(at.get_by_role("alert")).to_contain_text("8388608 octets")


@pytest.mark.parametrize("javascript", [True, False], ids=["javascript", "plain"])
def test_capture_is_kept_and_deleted(page, tab, javascript):
    url = page.put("office.pcapng", OFFICE.read_bytes())
    page.over(url)
    at = tab(java_script_enabled=javascript)
    at.goto(page.origin + url.removeprefix("/api/v1"))
    at.get_by_role("button", name="Keep it").click()
    expect(at.get_by_text("kept")).to_be_visible()
    at.get_by_role("button", name="Delete it").click()
    at.wait_for_url("**/captures")
    assert page.ask("GET", url).status == 404


HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}",
    "javascript:alert(1)//",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_what_the_wire_and_the_uploader_say_is_text(page, tab, text):
    hello = craft.client_hello(sni=text.encode()[:250])
    talk = craft.Conversation(server_port=993).open().client(hello).server(craft.alert())
    url = page.put(f"{text}.pcap", craft.pcap(talk.frames()), site=text)
    state = page.over(url)
    assert (state["hellos"], state["site"]) == (1, text)
    at = tab()
    at.goto(page.origin + url.removeprefix("/api/v1"))
    expect(at.get_by_role("heading", name=state["name"], exact=True)).to_be_visible()
    expect(at.get_by_text(f"{text} · ")).to_be_visible()
    assert at.locator("main img, main script").count() == 0
    at.goto(f"{page.origin}/captures")
    expect(at.get_by_role("link", name=state["name"]).first).to_be_visible()


def test_page_that_is_not_there_says_so(page, tab):
    at = tab(refused=True)
    at.goto(f"{page.origin}/captures/nosuch")
    expect(at.get_by_text("there is no such capture")).to_be_visible()
    at.get_by_role("link", name="To the first page").click()
    expect(at.get_by_role("heading", name="Is it safe to switch off old TLS?")).to_be_visible()


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_nothing_is_wider_than_the_screen(page, tab, width):
    url = page.put("office.pcapng", OFFICE.read_bytes())
    page.over(url)
    at = tab(viewport={"width": width, "height": 800})
    for path in ("/captures", url.removeprefix("/api/v1")):
        at.goto(page.origin + path)
        assert at.evaluate("document.documentElement.scrollWidth") <= width


FOCUSED = "document.activeElement.textContent || document.activeElement.name"


def test_keyboard_reaches_everything(page, tab):
    at = tab()
    at.goto(f"{page.origin}/captures")
    reached = []
    for _ in range(12):
        at.keyboard.press("Tab")
        reached.append(at.evaluate(FOCUSED))
    assert reached[0] == "To the content"
    assert {"file", "site", "Analyse"} <= set(reached)
