"""The page's gallery, alerts, cost, axes, attributes and keys: a real TensorBoard, a real browser, a log that was made up.

What is drawn is compared with what was written, not with what the page says of itself.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Route

from featwatch.reader import load
from featwatch.records import FeatureImages
from tests.browsers import Tab, chromium, colours, rgba
from tests.synthetic import Story, write_log
from tests.synthetic_features import Features, Training, costs
from tests.tensorboards import tensorboards

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror='window.hacked=1'><script>window.hacked=1</script>"
PLAIN = Features(alerts=4, resolved=1, channels=2, refreshed=10)


@dataclass(frozen=True)
class Hostile(Features):
    """Markup wherever a log holds words."""

    def alert(self, story: Training, number: int, epoch: int, rng: np.random.Generator) -> Any:
        plain = super().alert(story, number, epoch, rng)
        words = {name: HOSTILE for name in ("text", "suggestion", "kind", "view")}
        return dataclasses.replace(plain, **words, id=f"{HOSTILE}{number}", evidence={HOSTILE: HOSTILE, "deep": [[{"a": []}]]})

    def annotated(self, probe: Any) -> Any:
        return dataclasses.replace(probe, attributes={HOSTILE: (HOSTILE,) * len(probe), "__proto__": ("a",) * len(probe)})

    def images_of(self, *arguments: Any) -> FeatureImages:
        made = super().images_of(*arguments)
        odd = {"activation": np.full(len(made.filters), np.nan, np.float32), "filters": np.full(len(made.filters), -7, np.int32)}
        return dataclasses.replace(made, **odd, box=(5, 1, 2), note=HOSTILE, basis=HOSTILE)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Any, Story]]:
    """The address of a TensorBoard, and the plain run as the reader reads it."""
    logs, notes = tmp_path_factory.mktemp("logs"), tmp_path_factory.mktemp("notes")
    size = {"layers": 3, "samples": 60, "filters": 24}
    story = write_log(logs / "plain", epochs=10, features=PLAIN, **size)
    write_log(logs / "steps", epochs=3, features=Features(steps=50, epochs=False, alerts=0), **size)
    write_log(logs / "both", epochs=3, features=Features(steps=50, alerts=0), **size)
    write_log(logs / "odd", epochs=2, features=Hostile(every=1), names=(HOSTILE, "conv"), layers=2, samples=20, filters=4)
    with tensorboards({"one": [f"--logdir={logs}"]}, notes) as boards:
        yield boards["one"].address, load(logs / "plain"), story


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def tab(browser: Browser, shown) -> Iterator[Tab]:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    yield Tab(context.new_page(), shown[0])
    context.close()


def test_the_gallery_draws_each_filters_newest_image_and_opens_with_its_exemplars(tab: Tab, shown) -> None:
    _, run, story = shown
    layer = story.layer_infos[0].name
    _choose(tab, "plain", "features", layer)
    drawn = run.feature_images(layer, 10)
    tiles = tab.frame.locator("[data-feature]")
    tiles.nth(len(drawn.filters) - 1).wait_for()
    assert tiles.count() == len(drawn.filters) < 24
    assert f"{len(drawn.filters)} of 24 filters made so far" in tab.at("gallery-summary").inner_text()
    assert len(set(drawn.refreshed.tolist())) > 1               # made at different epochs

    for row in np.flatnonzero(drawn.reached)[::5]:
        seen = rgba(tab.frame.locator(f"[data-feature='{drawn.filters[row]}']"))
        np.testing.assert_array_equal(seen[..., :2], drawn.pixels[row])         # two channels: red and green
        assert not seen[..., 2].any() and (seen[..., 3] == 255).all()
    dead = drawn.filters[~drawn.reached]
    assert len(dead) and "no gradient" in tab.frame.locator(f"[data-feature='{dead[0]}']").inner_text()

    chosen = int(drawn.filters[drawn.reached][0])
    tab.frame.locator(f"[data-feature='{chosen}']").click()
    tab.at("filter-page").wait_for()
    expected = run.exemplars(layer, 10).samples[chosen]
    cards = tab.at("exemplar")
    cards.first.wait_for()
    assert [int(card.get_attribute("data-sample")) for card in cards.all()] == expected.tolist()
    cards.nth(2).click()
    card = tab.at("sample-card")
    card.wait_for()
    assert str(run.probe.attributes["age"][expected[2]]) in card.inner_text()
    assert tab.at("filter-card").count() == 1

    strip = tab.at("development").get_by_role("button")
    strip.first.click()
    tab.until(lambda s: s["epoch"] < 10)
    assert tab.state()["epoch"] in (0, 5)
    assert tab.errors == []


def test_a_gallery_can_be_ordered_and_walked_with_the_arrows(tab: Tab, shown) -> None:
    _, run, story = shown
    layer = story.layer_infos[0].name
    _choose(tab, "plain", "features", layer)
    tiles = tab.frame.locator("[data-feature]")
    drawn = run.feature_images(layer, 10)
    tiles.nth(len(drawn.filters) - 1).wait_for()
    tab.at("gallery-order").get_by_text("Activation").click()
    ratio = np.where(drawn.reached, drawn.activation / drawn.natural, -np.inf)
    expected = drawn.filters[np.lexsort((drawn.filters, -ratio))]
    order = [int(tile.get_attribute("data-feature")) for tile in tiles.all()]
    assert order == expected.tolist()

    tab.page.keyboard.press("Home")                             # the button that was clicked has the focus still
    tab.page.keyboard.press("Space")
    tab.until(lambda s: s["epoch"] == 10)
    tiles.first.focus()
    tiles.first.press("ArrowRight")
    second = tab.frame.locator(f"[data-feature='{order[1]}'][aria-pressed=true]")
    second.wait_for()
    assert tab.state()["epoch"] == 10                           # the arrows went through the gallery, not the epochs
    assert tab.at("filter-page").count() == 0
    second.press("Enter")
    tab.frame.locator(f"[data-testid=filter-page][data-filter='{order[1]}']").wait_for()
    tab.frame.locator(f"[data-testid=filter-strip] [data-feature='{order[1]}']:focus").press("Shift+ArrowRight")
    tab.frame.locator(f"[data-testid=filter-page][data-filter='{order[2]}']").wait_for()
    assert tab.state()["epoch"] == 10
    tab.page.keyboard.press("ArrowLeft")                        # without shift epochs, as everywhere
    tab.until(lambda s: s["epoch"] == 9)
    assert tab.at("filter-page").get_attribute("data-filter") == str(order[2])
    tab.page.keyboard.press("ArrowRight")
    tab.page.keyboard.press("Escape")
    tab.at("filter-page").wait_for(state="detached")
    tab.frame.locator(f"[data-feature='{order[2]}'][aria-pressed=true]").wait_for()
    assert tab.state()["epoch"] == 10 and tab.errors == []


def test_alerts_come_in_order_and_jump_to_where_they_show(tab: Tab, shown) -> None:
    _, run, _ = shown
    _choose(tab, "plain", "overview")
    rows = tab.at("alert")
    rows.first.wait_for()
    open_ones = [alert for alert in run.alerts if alert.open]
    assert len(open_ones) == 3
    assert rows.count() == 3 and "1 resolved" in tab.at("alerts").inner_text()
    said = [row.inner_text() for row in rows.all()]
    assert all(alert.text in text and alert.suggestion in text for alert, text in zip(open_ones, said, strict=True))
    assert tab.at("alert-badge").inner_text().strip() == "3"
    assert tab.at("alert-mark").count() >= 2
    layers = {alert.layer for alert in open_ones}
    assert tab.at("layer-alerts").count() == len(layers)

    about_filters = next(alert for alert in open_ones if alert.view == "filters")
    rows.filter(has_text=about_filters.text).get_by_role("button").first.click()
    tab.until(lambda s: s["layer"] == about_filters.layer and s["epoch"] == about_filters.updated)
    assert tab.at("tab-filters").get_attribute("aria-selected") == "true"
    card = tab.at("filter-card")
    card.wait_for()
    assert f"{len(about_filters.filters)} filters selected" in card.inner_text().replace("units", "filters")
    assert tab.errors == []


def test_the_cost_is_the_one_that_was_measured(tab: Tab) -> None:
    _choose(tab, "plain", "overview")
    cost = tab.at("cost")
    cost.wait_for()
    rows = [row.inner_text() for row in cost.locator("tbody tr").all()]
    assert len(rows) == len(costs(10)) + 1
    dearest = max(costs(10), key=lambda name: costs(10)[name]["blocked_seconds"])
    assert rows[0].startswith(dearest) and f"{costs(10)[dearest]['blocked_seconds']:.1f} s" in rows[0]
    assert f"{sum(one['bytes'] for one in costs(10).values()) / 1e6:.1f} MB" in rows[-1]


def test_a_run_by_step_starts_on_its_steps_and_one_with_both_can_switch(tab: Tab) -> None:
    _choose(tab, "steps", "samples")
    tab.until(lambda s: s["newest"] == 150 and s["points"] == 60)
    assert tab.at("axis").count() == 0
    _choose(tab, "both", "overview")
    tab.until(lambda s: s["newest"] == 3)
    tab.at("axis").get_by_text("by step").click()
    tab.until(lambda s: s["newest"] == 150)
    tab.at("layer-row-block1/conv1").click()
    tab.at("tab-features").click()
    tab.frame.locator("[data-feature]").first.wait_for()
    tab.page.keyboard.press("ArrowLeft")
    tab.until(lambda s: s["epoch"] == 100)
    assert tab.errors == []


def test_samples_are_coloured_by_an_attribute(tab: Tab) -> None:
    _choose(tab, "plain", "samples")
    tab.until(lambda s: s["points"] == 60)
    tab.at("colour-by").get_by_text("Attribute").click()
    tab.at("legend").wait_for()
    tab.page.wait_for_timeout(600)
    by_age = tab.pixels("embedding")
    tab.at("colour-column").select_option("site")
    tab.frame.get_by_text("Leiden").first.wait_for()
    tab.page.wait_for_timeout(600)
    by_site = tab.pixels("embedding")
    assert not np.array_equal(by_age, by_site) and colours(by_site) >= 2
    assert tab.errors == []


def test_the_keys_are_on_a_sheet_and_work(tab: Tab) -> None:
    _choose(tab, "plain", "overview")
    press = tab.page.keyboard.press
    press("?")
    tab.at("key-sheet").wait_for()
    press("Escape")
    tab.at("key-sheet").wait_for(state="detached")
    press("5")
    assert tab.at("tab-features").get_attribute("aria-selected") == "true"
    before = tab.state()["layer"]
    press("k")
    tab.until(lambda s: s["layer"] != before)
    press("j")
    tab.until(lambda s: s["layer"] == before)
    press("]")
    press("1")
    assert tab.frame.locator("[data-testid=alert].current").count() == 1
    for _ in range(40):                                         # everything that is reached is seen to be
        press("Tab")
        ring = tab.frame.evaluate("() => document.activeElement && getComputedStyle(document.activeElement).outlineStyle")
        assert ring != "none" or tab.frame.evaluate("() => document.activeElement === document.body")
    assert tab.errors == []


def test_markup_and_nonsense_in_a_log_are_shown_as_text_or_not_at_all(tab: Tab) -> None:
    def spoilt(route: Route) -> None:
        answer = route.fetch()
        body, replaced = re.subn(rb'("samples": ?{"dtype": ?")<i4', rb"\1<f4", answer.body())
        assert replaced == 1
        route.fulfill(response=answer, body=body)

    tab.page.route("**/records?*kind=exemplars*", spoilt)
    _choose(tab, "odd", "overview")
    tab.at("alert").first.wait_for()
    assert HOSTILE in tab.at("alert").first.inner_text()
    tab.at("alert").first.get_by_text("Evidence").click()
    tab.at("alert").first.get_by_role("button").first.click()
    for name in ("samples", "features", "filters", "overview"):
        tab.at(f"tab-{name}").click()
        tab.page.wait_for_timeout(250)
    tab.at("tab-features").click()
    tab.at("features-images").click()
    empty = tab.at("empty-state")                               # filter −7, and samples that are no whole numbers
    empty.wait_for()
    assert "not described as they should be" in empty.inner_text()
    tab.at("tab-samples").click()
    tab.at("colour-by").get_by_text("Attribute").click()
    tab.page.wait_for_timeout(400)
    assert tab.frame.evaluate("() => window.hacked ?? window.parent.hacked ?? null") is None
    assert tab.frame.locator("img[src=x]").count() == 0
    assert tab.errors == []


def _choose(tab: Tab, run: str, view: str, layer: str = "") -> None:
    tab.until(lambda s: s["run"])
    tab.at("run-picker").select_option(f"{run}/featwatch")
    tab.until(lambda s: s["run"] == f"{run}/featwatch" and s["newest"] is not None)
    if layer:
        tab.at(f"layer-row-{layer}").click()
    tab.at(f"tab-{view}").click()
