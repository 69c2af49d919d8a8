"""The page with a keyboard alone, with a screen reader, on a phone, in dark, behind a prefix."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import FileChooser, expect

from tests.nginx import NGINX
from tests.service.behind_nginx import behind_nginx
from tests.service.conftest import Serve, Service
from tests.service.http.page.conftest import Open
from tests.service.http.page.visit import Visit, file, picture

PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "has_touch": True,
    "is_mobile": True,
}
ROOT = "/apps/resnet"
# The name of what has the focus, and the width of the ring around it; null after the last one.
STOP = """() => {
  const one = document.activeElement;
  if (window.seen.has(one)) return null;
  window.seen.add(one);
  const name = one.getAttribute('aria-label') ?? one.textContent.trim();
  return [name, getComputedStyle(one).outlineWidth];
}"""
HEAR = """() => {
  window.heard = [];
  const region = document.querySelector('#announcer');
  new MutationObserver(() => window.heard.push(region.textContent))
    .observe(region, {childList: true, characterData: true, subtree: true});
}"""


def complaints(visit: Visit) -> list[str]:
    """What axe-core finds wrong: names, roles, contrast, structure."""
    found = Axe().run(visit.page).response["violations"]
    return [f"{one['id']}: {[node['html'][:150] for node in one['nodes']]}" for one in found]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", [{}, PHONE], ids=["desk", "phone"])
def test_axe_finds_nothing(
    service: Service, open_page: Open, scheme: str, device: dict[str, Any]
) -> None:
    visit = open_page(service.app, color_scheme=scheme, **device).open()
    expect(visit.page.locator("#readiness-words")).to_have_text("Ready")
    assert complaints(visit) == []
    visit.choose(picture("red"), picture("blue"), file("text.jpg", b"hello I am text"))
    expect(visit.overall).to_have_text("2 images classified, 1 could not be classified")
    visit.card("red.png").get_by_role("button", name="Heat map").click()
    expect(visit.card("red.png").locator(".overlay")).to_be_visible()
    assert complaints(visit) == []
    for opener in ("Models", "Metrics", "curl and Python"):
        visit.button(opener).click()
        assert complaints(visit) == []
        visit.page.keyboard.press("Escape")


def test_axe_would_find_something(service: Service, open_page: Open) -> None:
    visit = open_page(service.app).open()
    visit.page.evaluate("document.querySelector('main').append(document.createElement('button'))")
    assert [one.split(":")[0] for one in complaints(visit)] == ["button-name"]


@pytest.mark.parametrize("key", ["Enter", " "])
def test_the_first_tab_stop_opens_the_choice(service: Service, open_page: Open, key: str) -> None:
    visit, choosers = open_page(service.app), list[FileChooser]()
    # Before the page is there: Playwright does not wait until the browser hands them over.
    visit.page.on("filechooser", lambda one: choosers.append(one))
    page = visit.open().page
    expect(page.locator("#readiness-words")).to_have_text("Ready")
    page.bring_to_front()
    page.keyboard.press("Tab")
    expect(page.locator("#choose")).to_be_focused()
    page.keyboard.press(key)
    for _ in range(300):
        if choosers:
            break
        page.wait_for_timeout(100)
    assert choosers[0].is_multiple()


def test_all_of_it_works_with_a_keyboard(service: Service, open_page: Open) -> None:
    visit = open_page(service.app).open()
    page = visit.page
    visit.choose(picture("red"), picture("blue"))
    expect(visit.overall).to_have_text("2 images classified")
    page.evaluate("window.seen = new Set([document.body])")
    stops = []
    for _ in range(60):
        page.keyboard.press("Tab")
        stop = page.evaluate(STOP)
        if stop is None:
            break
        stops.append(stop)
    names = [name for name, _ in stops]
    assert names[0] == "Choose images"
    assert {"Heat map", "Heat maps", "curl and Python", "Clear", "Models", "Metrics"} <= set(names)
    assert any(name.startswith("green") for name in names)
    # The focus is seen wherever it is.
    assert {outline for _, outline in stops} == {"3px"}
    visit.card("red.png").get_by_role("button", name="Heat map").focus()
    page.keyboard.press("Enter")
    expect(visit.card("red.png").locator(".overlay")).to_be_visible()


def test_a_screen_reader_hears_each_result_and_the_end(service: Service, open_page: Open) -> None:
    visit = open_page(service.app).open()
    visit.page.evaluate(HEAR)
    visit.choose(picture("red"), file("text.jpg", b"hello I am text"), picture("blue"))
    expect(visit.page.locator("#announcer")).to_contain_text("could not be classified")
    heard = " ".join(visit.page.evaluate("window.heard"))
    assert "red.png: red, >99.9 %" in heard
    assert "text.jpg: Images are taken as" in heard
    assert "2 images classified, 1 could not be classified" in heard
    items = visit.page.get_by_role("list", name="Classes of red.png").get_by_role("listitem")
    assert (items.first.text_content() or "").startswith("red")
    assert not visit.page.locator("#cards [title='n00000001']").count()


@pytest.mark.parametrize("width", [320, 390])
def test_a_phone_needs_no_scrolling_sideways(service: Service, open_page: Open, width: int) -> None:
    device: dict[str, Any] = {**PHONE, "viewport": {"width": width, "height": 700}}
    visit = open_page(service.app, **device).open()
    long_name = "a_very_long_name_" * 8 + ".png"
    visit.choose(picture("red", long_name), picture("blue"))
    expect(visit.overall).to_have_text("2 images classified")
    assert visit.page.evaluate("document.documentElement.scrollWidth") == width
    for target in visit.page.get_by_role("button").all():
        box = target.bounding_box()
        assert box is None or min(box["width"], box["height"]) >= 24, target.text_content()


def test_dark_is_dark(service: Service, open_page: Open) -> None:
    def lightness(scheme: str) -> float:
        visit = open_page(service.app, color_scheme=scheme).open()
        color = visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(map(int, color.removeprefix("rgb(").rstrip(")").split(","))) / 3

    assert lightness("dark") < 40 < 215 < lightness("light")


def test_nothing_moves_where_that_is_not_wanted(service: Service, open_page: Open) -> None:
    visit = open_page(service.app, reduced_motion="reduce").open()
    visit.choose(picture("red"))
    expect(visit.overall).to_have_text("1 image classified")
    moving = visit.page.evaluate(
        """[...document.querySelectorAll('*')].filter((one) => {
          const {transitionDuration, animationName} = getComputedStyle(one);
          return parseFloat(transitionDuration) > 0 || animationName !== 'none';
        }).length"""
    )
    assert moving == 0


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
@pytest.mark.parametrize("slash", ["/", ""], ids=["stripping", "leaving"])
def test_behind_a_prefix_all_of_it_loads(serve: Serve, open_page: Open, slash: str) -> None:
    app = serve(root_path=ROOT, trusted_proxies="127.0.0.1").app
    given = f"location {ROOT}/ {{\n proxy_pass http://resnet{slash};"
    metrics = {"location = /metrics {": f"location = {ROOT}/metrics {{"}
    changed = {"location / {\n            proxy_pass http://resnet;": given, **metrics}
    with behind_nginx(app, changed) as port:
        visit = open_page(f"http://127.0.0.1:{port}", path=f"{ROOT}/")
        failed: list[str] = []
        visit.page.on("response", lambda one: failed.append(one.url) if one.status >= 400 else None)
        visit.open()
        visit.choose(picture("red"))
        expect(visit.card("red.png").locator(".winner .label")).to_have_text("red")
        expect(visit.page.locator("#readiness-words")).to_have_text("Ready")
        expect(visit.page.locator("#intake")).to_have_css("border-radius", "12px")
        visit.button("curl and Python").click()
        expect(visit.page.locator("pre").first).to_contain_text(f":{port}{ROOT}/predict")
        assert failed == []
