"""The page in a real browser: Debian's chromium, headless, driven by playwright."""

from __future__ import annotations

import io
import re
import shutil
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from served import Server, serving, toy_model

from ganforge.core.pictures import grid
from ganforge.serve import load

playwright = pytest.importorskip("playwright.sync_api")
pytest.importorskip("uvicorn")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
if CHROMIUM is None:
    pytest.skip("there is no chromium here: apt-get install chromium", allow_module_level=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    toy_model(folder, "labelled", recipe="toy-labelled", kind="labelled")
    toy_model(folder)
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    with serving(folder / "labelled.onnx", folder / "toy.onnx", "--no-log") as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any, server: Server) -> Iterator[Any]:
    """The page, drawn, which may not have complained nor asked anybody else for anything."""
    context = browser.new_context(viewport={"width": 1100, "height": 900}, accept_downloads=True)
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: strange(request.url, server, complaints))
    page.goto(server.url)
    drawn(page, "16 pictures of seed 1")
    yield page
    context.close()
    assert [said for said in complaints if "400 (Bad Request)" not in said] == []


def strange(url: str, server: Server, complaints: list[str]) -> None:
    if not url.startswith((server.url, "blob:", "data:")):
        complaints.append(f"asked {url}")


def drawn(page: Any, caption: str) -> None:
    """Wait until the picture is what its caption says."""
    playwright.expect(page.locator("#caption")).to_have_text(caption)
    playwright.expect(page.locator("#figure")).to_have_attribute("aria-busy", "false")


def downloaded(page: Any) -> np.ndarray:
    with page.expect_download() as download:
        page.get_by_role("link", name="Download PNG").click()
    return np.asarray(Image.open(Path(download.value.path())))


def test_the_picture_is_the_file_s(page: Any, folder: Path) -> None:
    wanted = grid(load(folder / "labelled.onnx", device="cpu").sample(16, seed=1), labels=np.arange(16) % 3)
    np.testing.assert_array_equal(downloaded(page), wanted)


def test_every_control(page: Any, folder: Path) -> None:
    page.get_by_label("Seed", exact=True).fill("7")
    page.get_by_label("Class").select_option("owl")
    page.get_by_label("Pictures").fill("4")
    page.get_by_label("Columns").select_option("4")
    page.get_by_label("Less variety, fewer oddities").check()
    page.get_by_label("Truncation").fill("0.5")
    drawn(page, "4 pictures of seed 7, class owl, truncation 0.5")
    model = load(folder / "labelled.onnx", device="cpu")
    wanted = grid(model.sample(4, seed=7, label="owl", truncation=0.5), 4)
    np.testing.assert_array_equal(downloaded(page), wanted)
    page.get_by_label("On the way to another seed").check()
    page.get_by_label("To seed").fill("9")
    drawn(page, "4 pictures on the way from seed 7 to 9, class owl, truncation 0.5")


def test_another_seed_and_another_model(page: Any) -> None:
    page.get_by_role("button", name="Another").first.click()
    playwright.expect(page.get_by_label("Seed", exact=True)).not_to_have_value("1")
    page.get_by_label("Model").select_option("toy, version 1")
    playwright.expect(page.get_by_role("heading", level=1)).to_have_text("toy")
    playwright.expect(page.get_by_label("Class")).to_be_hidden()
    playwright.expect(page.get_by_text("Directions")).to_be_visible()


def test_the_calls_it_shows_give_the_same_picture(page: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page.get_by_label("Class").select_option("dog")
    drawn(page, "16 pictures of seed 1, class dog")
    shown = downloaded(page)
    address = re.search(r"'(http://[^']+)'", page.locator("#curl").inner_text())
    assert address
    with urllib.request.urlopen(address[1]) as answer:
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(answer.read()))), shown)
    monkeypatch.chdir(tmp_path)
    exec(page.locator("#python").inner_text(), {})
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "labelled.png")), shown)


def test_the_address_brings_back_what_was_seen(page: Any, browser: Any) -> None:
    page.get_by_label("Seed", exact=True).fill("7")
    page.get_by_label("Class").select_option("owl")
    drawn(page, "16 pictures of seed 7, class owl")
    again = browser.new_page()
    again.goto(page.url)
    drawn(again, "16 pictures of seed 7, class owl")
    again.close()


def test_a_short_queue_is_no_mistake(browser: Any, folder: Path) -> None:
    with serving(folder / "toy.onnx", "--max-queue", 8, "--no-log") as server:
        page = browser.new_page()
        page.goto(server.url)
        drawn(page, "8 pictures of seed 1")
        page.close()


def test_mistakes_are_told(page: Any, server: Server) -> None:
    page.route("**/images?*", lambda route: route.fulfill(status=400, body='{"error": "that cannot be"}'))
    page.get_by_label("Seed", exact=True).fill("7")
    playwright.expect(page.get_by_role("alert")).to_have_text("that cannot be")
    page.unroute("**/images?*")
    page.get_by_label("Seed", exact=True).fill("8")
    drawn(page, "16 pictures of seed 8")
    playwright.expect(page.get_by_role("alert")).to_be_hidden()


def test_the_keyboard_reaches_everything(page: Any) -> None:
    page.evaluate("document.activeElement.blur()")
    names = []
    for _ in range(24):  # the sliders along directions come last
        page.keyboard.press("Tab")
        names.append(page.evaluate("document.activeElement.id || document.activeElement.dataset.copies"))
    assert names[:9] == ["download", "model", "seed", "another", "label", "n", "columns", "truncate", "interpolate"]
    assert {"curl", "python"} <= set(names)
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"
    page.get_by_label("Less variety, fewer oddities").focus()
    page.keyboard.press("Space")
    page.get_by_label("Truncation").focus()
    page.keyboard.press("ArrowRight")
    drawn(page, "16 pictures of seed 1, truncation 1.05")


def test_a_screen_reader_has_a_name_for_everything(page: Any) -> None:
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("input, select, button, a, img")]
            .filter(one => one.checkVisibility())
            .filter(one => !(one.labels?.length || one.textContent.trim() || one.alt || one.ariaLabel))
            .map(one => one.outerHTML)"""
    )
    assert nameless == []
    assert page.locator("#picture").get_attribute("alt") == "16 pictures of seed 1"
    assert page.locator("html").get_attribute("lang") == "en"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_by_day_and_by_night(browser: Any, server: Server, scheme: str) -> None:
    context = browser.new_context(viewport={"width": 320, "height": 640}, color_scheme=scheme)
    page = context.new_page()
    page.goto(f"{server.url}#interpolate&to=4&truncation=1")
    drawn(page, "16 pictures on the way from seed 1 to 4, truncation 1")
    assert page.evaluate("document.documentElement.scrollWidth") == 320
    small = page.evaluate(
        """() => [...document.querySelectorAll("input:not([type=checkbox]), select, button, a.button")]
            .filter(one => one.checkVisibility() && one.getBoundingClientRect().height < 24).map(one => one.id)"""
    )
    assert small == []
    assert least_contrast(page) >= 4.5
    context.close()


def least_contrast(page: Any) -> float:
    """The lowest contrast between a text's colour and the nearest ground behind it (WCAG 2.2, 1.4.3)."""
    ratio: float = page.evaluate(
        """() => {
            const parts = colour => colour.match(/[\\d.]+/g).map(Number);
            const linear = c => (c /= 255) <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4;
            const light = ([r, g, b]) => .2126 * linear(r) + .7152 * linear(g) + .0722 * linear(b);
            const ground = one => {
                for (; one; one = one.parentElement) {
                    const colour = parts(getComputedStyle(one).backgroundColor);
                    if (colour.length < 4 || colour[3] > 0) return colour;
                }
                return [255, 255, 255];
            };
            const texts = [...document.querySelectorAll("h1, h2, p, label, button, a, select, input, pre")]
                .filter(one => one.checkVisibility() && !["range", "checkbox"].includes(one.type));
            return Math.min(...texts.map(one => {
                const pair = [light(parts(getComputedStyle(one).color)), light(ground(one))].sort((a, b) => b - a);
                return (pair[0] + .05) / (pair[1] + .05);
            }));
        }"""
    )
    return ratio


def test_sliders_move_along_the_card_s_directions(page: Any, server: Server) -> None:
    """As the page is told of a model that has some."""
    told = """[{"name": "toy", "version": "1", "recipe": "toy", "data": "", "kind": "images", "classes": [],
        "truncates": false, "interpolates": false, "directions": 3, "most": 64}]"""
    page.route("**/models", lambda route: route.fulfill(body=told, content_type="application/json"))
    asked: list[str] = []
    page.route("**/images?*", lambda route: (asked.append(route.request.url), route.fulfill(body="x")))
    page.goto(f"{server.url}#")
    page.reload()
    page.get_by_label("Direction 2").fill("-1.5")
    playwright.expect(page.locator("#curl")).to_contain_text("shift=1%3A-1.5")
    page.get_by_role("button", name="Back to the middle").click()
    playwright.expect(page.locator("#curl")).not_to_contain_text("shift")
    playwright.expect(page.get_by_label("Truncation")).to_be_hidden()
    assert any("shift=1%3A-1.5" in url for url in asked)


def test_a_key_is_asked_for_and_kept_for_the_tab(browser: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANFORGE_API_KEY", "secret")
    with serving(folder / "toy.onnx", "--no-log") as server:
        page = browser.new_page()
        page.goto(server.url)
        page.get_by_label("This server asks for its key").fill("wrong")
        page.keyboard.press("Enter")
        playwright.expect(page.get_by_role("alert")).to_contain_text("this needs the server's key")
        page.get_by_label("This server asks for its key").fill("secret")
        page.get_by_role("button", name="Continue").click()
        drawn(page, "16 pictures of seed 1")
        assert '-H "Authorization: Bearer $GANFORGE_API_KEY"' in page.locator("#curl").inner_text()
        assert "secret" not in page.locator("pre").first.inner_text() + page.url
        page.reload()
        drawn(page, "16 pictures of seed 1")
        page.close()
