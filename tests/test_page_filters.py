"""The views on filters in a real browser: what is drawn is what was recorded."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser

from featwatch.records import Histograms, LayerHealth, Similarity, Specificity
from featwatch.writers import EventFileWriter
from tests.browsers import Tab, chromium, colours
from tests.synthetic import Story, write_log
from tests.synthetic_filters import Deeds
from tests.tensorboards import tensorboards

pytestmark = pytest.mark.browser

NAMES = ("wide", "few linear", "scores")
EPOCHS = 5
Opening = Callable[[str, str, str], Tab]        # run, layer, view


@pytest.fixture(scope="module")
def story() -> Story:
    return Story(layers=3, epochs=EPOCHS, samples=60, filters=48, names=NAMES, histograms=True)


@pytest.fixture(scope="module")
def shown(story: Story, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a TensorBoard over three runs: whole, without histograms, and with some missing and some spoilt."""
    logs, notes = tmp_path_factory.mktemp("logs"), tmp_path_factory.mktemp("notes")
    write_log(logs / "whole", layers=3, epochs=EPOCHS, samples=60, filters=48, names=NAMES, histograms=True)
    write_log(logs / "bare", layers=1, epochs=1, samples=12)
    write_log(logs / "crowd", layers=1, epochs=1, samples=30, filters=700, names=("crowd",), histograms=True)
    write_log(logs / "deeds", layers=3, epochs=EPOCHS, samples=60, filters=48, names=NAMES, deeds=Deeds())
    writer = EventFileWriter(logs / "gaps", 0)
    writer.write(story.session(0, 0.0))
    writer.write(story.probe(0))
    for epoch in range(4):
        for record in story.records(epoch):
            if isinstance(record, Histograms) and record.layer == "scores":
                record = dataclasses.replace(record, edges=np.full_like(record.edges, np.nan))
            if not isinstance(record, Histograms) or epoch % 2 == 0:
                writer.write(record)
    writer.close()
    with tensorboards({"one": [f"--logdir={logs}"]}, notes) as boards:
        yield boards["one"].address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def open_view(browser: Browser, shown: str) -> Iterator[Opening]:
    contexts = []

    def opening(run: str, layer: str, view: str) -> Tab:
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        contexts.append(context)
        tab = Tab(context.new_page(), shown)
        tab.until(lambda s: s["run"])
        if run not in tab.state()["run"]:
            picker = tab.at("run-picker")
            picker.select_option(picker.evaluate("(e, part) => [...e.options].find(o => o.value.includes(part)).value", run))
        tab.until(lambda s: run in s["run"] and s["newest"] is not None)
        tab.at(f"layer-row-{layer}").click()
        tab.until(lambda s: s["layer"] == layer)
        tab.at("tab-filters").click()
        tab.at(f"filters-{view}").click()
        return tab

    yield opening
    for context in contexts:
        context.close()


def told(story: Story, kind: type, layer: str = "wide", epoch: int = EPOCHS) -> Any:
    """What is recorded of a layer in the run "deeds"."""
    number = NAMES.index(layer)
    return next(record for record in Deeds().of_layer(story, number, epoch) if isinstance(record, kind))


def selected(tab: Tab) -> set[int]:
    """The filters that the table marks, of those in sight."""
    rows = tab.frame.locator("[data-testid=filters-table] [data-filter][aria-selected=true]")
    return {int(row) for row in rows.evaluate_all("rows => rows.map((row) => row.dataset.filter)")}


def recorded(story: Story, layer: str, epoch: int = EPOCHS) -> Histograms:
    return next(record for record in story.records(epoch) if isinstance(record, Histograms) and record.layer == layer)


def test_every_bin_is_drawn_where_it_was_counted(story: Story, open_view: Opening) -> None:
    record = recorded(story, "wide")
    tab = open_view("whole", "wide", "histograms")
    rows = tab.at("histogram-rows")
    rows.wait_for()
    tab.page.mouse.move(5, 5)
    tab.page.wait_for_timeout(300)
    heat = rows.locator("xpath=..")
    low, high = float(heat.get_attribute("data-low")), float(heat.get_attribute("data-high"))
    tall = int(rows.get_attribute("data-row-height"))
    canvas = rows.locator("canvas")
    box, outer = canvas.bounding_box(), rows.bounding_box()
    pixels = tab.pixels("histogram-rows").astype(int)[:, round(box["x"] - outer["x"]) :]
    width = box["width"] - 20                                       # what is left beside the scale is for arrows
    middles = (record.edges[1:] + record.edges[:-1]) / 2
    at = (middles - low) / (high - low) * width
    inside = np.flatnonzero((at > 3) & (at < width - 3))
    checked = 0
    for row in range(min(len(record.counts), int(outer["height"]) // tall)):
        for column in inside:
            ends = np.array([record.minimum[row], record.maximum[row]])
            if np.abs((ends - low) / (high - low) * width - at[column]).min() < 4:
                continue                                            # a tick stands here
            red, green, blue = pixels[row * tall + tall // 2, round(at[column])]
            drawn = max(red, green, blue) < 250 or max(red, green, blue) - min(red, green, blue) > 20
            assert drawn == (record.counts[row, column] > 0), (row, column, (red, green, blue))
            checked += 1
    assert checked > 300
    assert tab.errors == []


def test_one_filter_is_chosen_everywhere_and_its_history_moves_the_playhead(story: Story, open_view: Opening) -> None:
    record = recorded(story, "wide")
    tab = open_view("whole", "wide", "histograms")
    tab.at("histogram-rows").wait_for()
    tab.at("histogram-order").get_by_text("maximum").click()
    box = tab.at("histogram-rows").bounding_box()
    tab.page.mouse.click(box["x"] + 300, box["y"] + 2)               # the first row
    top = int(np.argmax(record.maximum))
    card = tab.at("filter-card")
    card.wait_for()
    assert card.get_attribute("data-filter") == str(top)
    assert f"{record.maximum[top]:.3g}" in card.inner_text()
    assert tab.at("filter-histogram").count() == 1

    strips = tab.at("histogram-history")
    for strip in strips.all():
        strip.scroll_into_view_if_needed()
        tab.page.wait_for_timeout(100)
        assert strip.get_attribute("data-columns") == str(EPOCHS + 1)
    tab.until(lambda s: strips.first.get_attribute("data-loaded") == str(EPOCHS + 1), 20)
    plot = strips.first.locator("canvas").bounding_box()
    tab.page.mouse.click(plot["x"] + 4, plot["y"] + plot["height"] / 2)
    tab.until(lambda s: s["epoch"] == 0)
    assert card.get_attribute("data-filter") == str(top)             # the selection survives
    assert tab.errors == []


def test_the_keyboard_reaches_rows_and_leaves_the_epoch_alone(open_view: Opening) -> None:
    tab = open_view("whole", "wide", "histograms")
    rows = tab.at("histogram-rows")
    rows.focus()
    epoch = tab.state()["epoch"]
    for expected in ("0", "1"):
        tab.page.keyboard.press("ArrowDown")
        assert tab.at("filter-card").get_attribute("data-filter") == expected
    assert tab.state()["epoch"] == epoch and tab.state()["layer"] == "wide"
    tab.page.keyboard.press("Escape")
    assert tab.at("filter-card").count() == 0

    tab.at("layer-row-scores").click()                               # so few that they are ridges
    ridges = tab.at("histogram-ridges")
    ridges.wait_for()
    assert ridges.locator("g[data-row]").count() == 10
    ridges.focus()
    tab.page.keyboard.press("ArrowUp")
    assert tab.at("filter-card").get_attribute("data-filter") == "9"
    assert tab.errors == []


def test_a_crowd_is_shown_in_groups_that_unfold(open_view: Opening) -> None:
    tab = open_view("crowd", "crowd", "histograms")
    rows = tab.at("histogram-rows")
    rows.wait_for()
    folded = rows.evaluate("e => e.scrollHeight")
    group = rows.locator("[role=option]", has_text="×").first
    size = int(group.inner_text().split("×")[1])
    tall = int(rows.get_attribute("data-row-height"))
    at, box = group.bounding_box(), rows.bounding_box()
    tab.page.mouse.click(box["x"] + 10, at["y"] + at["height"] / 2)
    tab.page.wait_for_timeout(300)
    assert rows.evaluate("e => e.scrollHeight") - folded == pytest.approx((size - 1) * tall, abs=1)
    tab.at("histogram-groups").click()
    tab.page.wait_for_timeout(300)
    assert rows.evaluate("e => e.scrollHeight") == 700 * int(rows.get_attribute("data-row-height"))
    assert tab.errors == []


def test_maxima_stack_to_both_sides_and_say_whether_they_may_be_ranked(story: Story, open_view: Opening) -> None:
    record = recorded(story, "few linear")
    tab = open_view("whole", "few linear", "maxima")
    rows = tab.at("maxima-rows")
    rows.wait_for()
    verdict = tab.at("maxima-verdict").inner_text()
    assert ("are enough" if record.enough_inputs else "do not rank") in verdict

    totals = record.maxima.sum(0)
    assert (totals < 0).any() and (totals > 0).any()
    tall = int(rows.get_attribute("data-row-height"))
    box = rows.bounding_box()
    tab.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + tall / 2)
    assert tab.at("filter-card").get_attribute("data-filter") == str(int(np.argmax(totals)))
    tab.page.mouse.move(5, 5)
    tab.page.wait_for_timeout(300)
    assert colours(tab.pixels("maxima-rows")) >= 6

    pixels = tab.pixels("maxima-rows").astype(int)
    vivid = (pixels.max(-1) - pixels.min(-1)) > 40
    above, below = record.maxima.clip(min=0).sum(0), record.maxima.clip(max=0).sum(0)
    scale = (box["width"] - 80) / (above.max() - below.min())
    order = np.argsort(-totals, kind="stable")
    visible = order[: int(box["height"]) // tall]
    both = max(range(1, len(visible)), key=lambda row: min(above[visible[row]], -below[visible[row]]))
    for row in (1, 5, both, len(visible) - 2):
        filter_ = visible[row]
        columns = np.flatnonzero(vivid[row * tall + tall // 2])
        ends = 60 + (np.array([below[filter_], above[filter_]]) - below.min()) * scale
        assert (columns[0], columns[-1] + 1) == pytest.approx(tuple(ends), abs=4), (row, filter_)
    assert -below[visible[both]] * scale > 8                         # so that a bar to the wrong side would be seen
    assert tab.errors == []


def test_what_is_missing_or_spoilt_is_said_with_a_way_on(open_view: Opening) -> None:
    tab = open_view("bare", "block1/conv1", "histograms")
    tab.at("why-absent").wait_for()          # as soon as the page knows the session
    assert "fw.ActivationHistograms()" in tab.at("empty-state").inner_text()

    tab = open_view("gaps", "wide", "maxima")
    said = tab.at("empty-state")
    said.wait_for()
    assert "No maxima of wide at epoch 3" in said.inner_text()
    said.get_by_text("Go to epoch 2").click()
    tab.at("maxima-rows").wait_for()

    tab.at("layer-row-scores").click()
    tab.at("filters-histograms").click()
    said.wait_for()
    assert "cannot be read" in said.inner_text()
    assert tab.errors == []


def test_dragging_over_the_map_of_weights_selects_those_filters_everywhere(story: Story, open_view: Opening) -> None:
    plane = told(story, Similarity).weight_map[:, 0]
    middle = (plane.min() + plane.max()) / 2
    tab = open_view("deeds", "wide", "health")
    field = tab.at("filters-map")
    field.wait_for()
    tab.page.wait_for_timeout(600)                                   # the marks have arrived
    box = field.bounding_box()
    tab.page.mouse.move(box["x"] + 2, box["y"] + 2)
    tab.page.mouse.down()
    tab.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] - 30, steps=5)
    tab.page.mouse.up()
    left = set(np.flatnonzero(plane < middle).tolist())
    assert f"{len(left)} filters selected" in tab.at("filter-card").inner_text()
    everyone = set(range(48))
    for top in range(0, 48 * 24, 120):                               # the table holds only the rows in sight
        tab.at("filters-table").evaluate("(e, top) => (e.scrollTop = top)", top)
        tab.page.wait_for_timeout(60)
        rows = tab.frame.locator("[data-testid=filters-table] [data-filter]")
        seen = {int(row) for row in rows.evaluate_all("rows => rows.map((row) => row.dataset.filter)")}
        assert selected(tab) == left & seen
        everyone -= seen
    assert not everyone
    tab.page.keyboard.press("Escape")
    tab.page.wait_for_timeout(100)
    assert tab.at("filter-card").count() == 0 and selected(tab) == set()
    assert tab.errors == []


def test_a_card_says_what_a_filter_is_a_double_or_a_sum_of_and_leads_there(story: Story, open_view: Opening) -> None:
    record, health = told(story, Similarity), told(story, LayerHealth)
    total = int(np.flatnonzero(record.removable & (record.terms[:, 0] >= 0))[0])
    terms = [int(term) for term in record.terms[total] if term >= 0]
    double = int(np.flatnonzero((record.group >= 0) & (record.keep != np.arange(48)))[0])
    tab = open_view("deeds", "wide", "health")
    tab.at("filters-table").locator("[data-key=index]").click()

    def choose(filter_: int) -> str:
        tab.at("filters-table").evaluate("(e, top) => (e.scrollTop = top)", 24 * filter_)
        tab.at("filters-table").locator(f"[data-filter='{filter_}']").click()
        tab.page.mouse.move(5, 5)
        tab.frame.locator(f"[data-testid=filter-card][data-filter='{filter_}']").wait_for()
        return str(tab.at("filter-card").inner_text())

    card = choose(total)
    assert "A sum of others" in card and f"leaves {100 * record.unexplained[total]:.1f} %" in card
    tab.at("filter-card").locator("button.link").nth(1).click()
    tab.frame.locator(f"[data-testid=filter-card][data-filter='{terms[1]}']").wait_for()
    assert f"A double: {record.factor[double]:.3g}" in choose(double)
    dead = int(np.flatnonzero(health.dead)[0])
    card = choose(dead)
    assert f"Dead: {health.cause[dead]}" in card and ("proven" in card) == bool(health.proven[dead])
    tab.at("life-line").wait_for()
    deaths = [epoch for epoch in range(1, EPOCHS + 1) if dead in told(story, LayerHealth, epoch=epoch).died]
    words = tab.at("life-line").inner_text().lower()
    assert all(f"died at {epoch}" in words for epoch in deaths)
    assert tab.errors == []


def test_classes_are_drawn_as_multiples_and_specific_filters_come_first(story: Story, open_view: Opening) -> None:
    record = told(story, Specificity)
    one = np.flatnonzero(record.modality == 1)
    strength = record.means[record.first, np.arange(48)] / np.where(record.overall > 0, record.overall, 1)
    order = sorted(one, key=lambda f: (record.first[f], -strength[f]))
    tab = open_view("deeds", "wide", "classes")
    rows = tab.at("class-rows")
    rows.wait_for()
    tab.page.mouse.move(5, 5)
    tab.page.wait_for_timeout(300)
    tall = int(rows.get_attribute("data-row-height"))
    pixels, width = tab.pixels("class-rows").astype(int), rows.bounding_box()["width"]
    cell = min(72, (width - 48 - 104) / 10)
    for row, filter_ in enumerate(order[: min(len(order), 12)]):
        for label in range(10):
            ratio = record.means[label, filter_] / record.overall[filter_]
            red, _, blue = pixels[row * tall + tall // 2, round(48 + label * cell + cell * 0.25)]
            if abs(ratio - 1) > 0.1:
                assert (red > blue) == (ratio > 1), (filter_, label, ratio)
    box = rows.bounding_box()
    tab.page.mouse.click(box["x"] + 100, box["y"] + tall // 2)
    card = tab.at("filter-card")
    card.wait_for()
    assert card.get_attribute("data-filter") == str(order[0])
    assert f"class {record.first[order[0]]}" in card.inner_text()
    assert tab.at("class-curves").locator("circle.specific").count() == 1
    assert tab.errors == []


def test_development_shows_every_epoch_and_a_click_goes_there(story: Story, open_view: Opening) -> None:
    tab = open_view("deeds", "wide", "development")
    rows = tab.at("development-rows")
    rows.wait_for()
    tab.until(lambda s: tab.at("development").get_attribute("data-epochs") == str(EPOCHS + 1), 20)
    tab.page.mouse.move(5, 5)
    tab.page.wait_for_timeout(300)
    tall, cell = int(rows.get_attribute("data-row-height")), float(tab.at("development").get_attribute("data-cell"))
    pixels = tab.pixels("development-rows").astype(int)
    drawn, values = [], []
    for epoch in range(EPOCHS + 1):
        health = told(story, LayerHealth, epoch=epoch)
        for row in range(min(48, pixels.shape[0] // tall)):
            if not health.dead[row]:
                colour = pixels[row * tall + tall // 2, round(52 + (epoch + 0.75) * cell)]
                drawn.append(colour.sum())
                values.append(health.active_fraction[row])
    assert np.corrcoef(np.argsort(np.argsort(drawn)), np.argsort(np.argsort(values)))[0, 1] > 0.99   # brighter is more active
    box = rows.bounding_box()
    tab.page.mouse.click(box["x"] + 52 + 1.5 * cell, box["y"] + 3.5 * tall)
    tab.until(lambda s: s["epoch"] == 1)
    assert tab.at("filter-card").get_attribute("data-filter") == "3"
    tab.page.mouse.move(5, 5)
    rows.focus()
    tab.page.keyboard.press("ArrowDown")                             # a key moves the selection, not the playhead
    assert tab.at("filter-card").get_attribute("data-filter") == "4" and tab.state()["epoch"] == 1
    assert tab.errors == []


def test_an_alert_leads_to_its_filters(story: Story, open_view: Opening) -> None:
    spare = np.flatnonzero(told(story, Similarity).removable)
    tab = open_view("deeds", "scores", "maxima")
    tab.at("tab-overview").click()
    if tab.at("all-alerts").count():
        tab.at("all-alerts").click()
    words = f"{len(spare)} of 48 filters of wide say what others say"
    tab.frame.locator("[data-testid=alert]", has_text=words).locator("button").first.click()
    tab.at("filters-map").wait_for()
    assert tab.state()["layer"] == "wide"
    assert f"{len(spare)} filters selected" in tab.at("filter-card").inner_text()
    assert tab.errors == []


def test_a_run_without_similarity_classes_or_deaths_says_how_to_have_them(open_view: Opening) -> None:
    tab = open_view("bare", "block1/conv1", "health")
    tab.at("why-absent").wait_for()
    assert "fw.FilterSimilarity()" in tab.at("empty-state").inner_text()
    tab.at("filters-classes").click()
    tab.at("empty-state").get_by_text("No class means").wait_for()
    assert "fw.ClassSpecificity()" in tab.at("empty-state").inner_text()
    tab.at("filters-development").click()
    tab.at("development-rows").wait_for()                            # health alone is enough for it
    assert tab.errors == []
