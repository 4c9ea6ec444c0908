"""The readiness report as people get it: opened from a folder in a real browser, and printed."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect
from program import OFFICE, hellowatch

A4_WIDTH = 794
"""Pixels of a sheet's width, at 96 to the inch."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    for audience in ("manager", "technician"):
        options = ("--for", audience, "-o", f"{audience}.html")
        hellowatch("report", *options, str(OFFICE), cwd=folder)
    return folder


def test_report_opens_from_a_folder(folder, tab):
    at = tab()
    at.goto((folder / "technician.html").as_uri())
    expect(at.get_by_role("heading", name="Device by device")).to_be_visible()
    assert at.locator("article.device").count() > 10
    assert at.evaluate("document.scripts.length") == 0


def test_bar_shows_the_figures_to_scale_and_says_them(folder, tab):
    at = tab()
    at.goto((folder / "manager.html").as_uri())
    figures = [int(text) for text in at.locator(".figures li b").all_inner_texts()]
    bar = at.get_by_role("img")
    boxes = [rect.bounding_box() for rect in bar.locator("rect").all()]
    shares = [box["width"] / bar.bounding_box()["width"] for box in boxes]
    wanted = [figure / figures[0] for figure in figures[1:] if figure]
    assert shares == pytest.approx(wanted, abs=0.01)
    said = re.findall(r"\d+", bar.get_attribute("aria-label"))
    assert list(map(int, said)) == [figure for figure in figures[1:] if figure]


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_report_is_not_wider_than_the_screen(folder, tab, width):
    at = tab(viewport={"width": width, "height": 800})
    for name in ("manager", "technician"):
        at.goto((folder / f"{name}.html").as_uri())
        assert at.evaluate("document.documentElement.scrollWidth") <= width


def test_managers_answer_is_one_sheet_of_paper(folder, tab):
    at = tab()
    at.goto((folder / "manager.html").as_uri())
    pdf = at.pdf(format="A4", print_background=True)
    pages = len(re.findall(rb"/Type\s*/Page\b", pdf))
    at.emulate_media(media="print")
    at.set_viewport_size({"width": A4_WIDTH, "height": 1123})
    sheet = at.locator(".sheet").bounding_box()
    assert sheet["height"] < 1123
    assert pages <= 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(folder, tab, scheme):
    # WCAG 2.2, 1.4.3: 4.5 to 1 for text of this size.
    at = tab(color_scheme=scheme)
    at.goto((folder / "technician.html").as_uri())
    worst = at.evaluate(CONTRAST)
    assert worst >= 4.5


CONTRAST = """() => {
    const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
    const light = ([r, g, b]) => {
        const part = (c) => ((c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
        return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
    };
    const behind = (element) => {
        for (; element; element = element.parentElement) {
            const color = parse(getComputedStyle(element).backgroundColor);
            if (color.length === 3 || color[3] > 0) return color;
        }
        return [255, 255, 255];
    };
    let worst = 21;
    for (const element of document.querySelectorAll("main *")) {
        if (![...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim())) continue;
        const [a, b] = [light(parse(getComputedStyle(element).color)), light(behind(element))];
        worst = Math.min(worst, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
    }
    return worst;
}"""
