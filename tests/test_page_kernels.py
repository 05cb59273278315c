"""Kernels and maps in a real browser: what is drawn is what was recorded; and what alerts, events and the rail say of filters."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
import pytest
from PIL import Image

from featwatch.records import Kernels, LayerHealth, Maps, Record, Similarity
from featwatch.writers import EventFileWriter, MemoryWriter
from tests.browsers import Tab, chromium
from tests.synthetic import Story, write_log
from tests.synthetic_features import Telling
from tests.synthetic_filters import Deeds
from tests.tensorboards import tensorboards

pytestmark = pytest.mark.browser

NAMES = ("first", "second", "hidden", "scores")
EPOCHS, SPARSE = 6, 4
DEEDS = Deeds(every=SPARSE, doomed=0.3)
BLUE, WHITE, ORANGE = np.array([33, 102, 172]), np.array([245, 245, 245]), np.array([217, 95, 2])
Opening = Callable[[str, str, str], Tab]        # run, layer, view
R = TypeVar("R", bound=Record)


@pytest.fixture(scope="module")
def told() -> list[Record]:
    """Every record of the run "whole"."""
    story, kept = Story(layers=4, epochs=EPOCHS, samples=40, filters=24, names=NAMES), MemoryWriter()
    writer = Telling(story, DEEDS, kept)
    writer.write(story.session(0, 0.0))
    writer.write(story.probe(0))
    for epoch in range(EPOCHS + 1):
        for record in story.records(epoch):
            writer.write(record)
    return kept.records


@pytest.fixture(scope="module")
def shown(told: list[Record], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a TensorBoard over three runs: whole, without any of it, and with 700 filters."""
    logs, notes = tmp_path_factory.mktemp("logs"), tmp_path_factory.mktemp("notes")
    writer = EventFileWriter(logs / "whole", 0)
    for record in told:
        if isinstance(record, Kernels) and record.layer == "second":
            record = dataclasses.replace(record, pixels=record.pixels[:, :, :0])
        writer.write(record)
    writer.close()
    write_log(logs / "bare", layers=1, epochs=1, samples=12)
    write_log(logs / "crowd", layers=1, epochs=1, samples=30, filters=700, names=("crowd",), deeds=Deeds())
    with tensorboards({"one": [f"--logdir={logs}"]}, notes) as boards:
        yield boards["one"].address


@pytest.fixture(scope="module")
def opened(shown: str) -> Iterator[Tab]:
    """One page for all tests: opening it takes longest."""
    with chromium() as browser:
        tab = Tab(browser.new_page(viewport={"width": 1280, "height": 800}), shown)
        tab.until(lambda s: s["run"])
        yield tab


@pytest.fixture
def open_view(opened: Tab) -> Iterator[Opening]:
    def opening(run: str, layer: str, view: str) -> Tab:
        tab = opened
        if run not in tab.state()["run"]:
            picker = tab.at("run-picker")
            picker.select_option(picker.evaluate("(e, part) => [...e.options].find(o => o.value.includes(part)).value", run))
        tab.until(lambda s: run in s["run"] and s["newest"] is not None)
        tab.page.keyboard.press("End")
        tab.page.keyboard.press("Escape")
        if layer:
            tab.at(f"layer-row-{layer}").click()
            tab.until(lambda s: s["layer"] == layer)
        tab.at("tab-filters" if layer else "tab-overview").click()
        if view:
            tab.at(f"filters-{view}").click()
        return tab

    yield opening
    assert opened.errors == []


def recorded(told: list[Record], kind: type[R], layer: str, epoch: int = SPARSE) -> R:
    return next(one for one in told if isinstance(one, kind) and one.layer == layer and one.epoch == epoch)


def tile(tab: Tab, name: str, filter_: int) -> np.ndarray:
    """(height, width, 3) int: what is drawn in a filter's tile."""
    tab.page.mouse.move(5, 5)
    tab.page.wait_for_timeout(150)
    box = tab.at(name)
    outer, scrolled = box.bounding_box(), box.evaluate("box => box.scrollTop")
    span = box.locator(f'[data-filter="{filter_}"]')
    left, top, width = span.evaluate("one => ['left', 'top', 'width'].map(name => parseFloat(one.style[name]))")
    height = span.locator("i").evaluate("one => parseFloat(one.style.height)")
    # A canvas stands on whole pixels, whatever its box does.
    x, y = round(outer["x"]) + round(left), round(outer["y"]) + round(top - scrolled)
    pixels = np.asarray(Image.open(io.BytesIO(tab.page.screenshot())).convert("RGB")).astype(int)
    return pixels[y : y + round(height), x : x + round(width)]


def cells(picture: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """(rows, columns, 3): the colours in the middles of equal cells."""
    height, width = picture.shape[:2]
    down, right = ((np.arange(n) + 0.5) * size / n for n, size in ((rows, height), (columns, width)))
    return picture[down.astype(int)][:, right.astype(int)]


def diverging(values: np.ndarray) -> np.ndarray:
    """(…, 3): blue to white to orange for −1 … 1, as the page's palette says."""
    share = np.abs(values)[..., None]
    return WHITE + share * (np.where(values[..., None] < 0, BLUE, ORANGE) - WHITE)


def weights(record: Kernels) -> np.ndarray:
    """(filters, shown, rows, columns)"""
    return (record.pixels.astype(float) - 128) / 127 * record.largest[:, None, None, None]


def test_kernels_are_drawn_as_recorded_on_one_scale_or_on_their_own(told: list[Record], open_view: Opening) -> None:
    record = recorded(told, Kernels, "first")
    tab = open_view("whole", "first", "kernels")
    tab.at("kernel-tiles").wait_for()
    assert f"recorded at epoch {SPARSE}" in tab.at("kernels-summary").inner_text()
    full = np.abs(weights(record)).max()
    for choice, scale in (("layer", np.full(len(record.largest), full)), ("filter", record.largest)):
        tab.at("kernel-scale").locator(f"[data-value={choice}]").click()
        for number in (0, 7, 23):
            drawn = cells(tile(tab, "kernel-tiles", number), 5, 5)
            expected = diverging(weights(record)[number, 0] / scale[number])
            assert np.abs(drawn - expected).max() < 6, (choice, number)     # the strength of a colour comes in 128 steps


def test_filters_stand_in_order_of_energy_and_the_selection_is_one_everywhere(told: list[Record], open_view: Opening) -> None:
    record = recorded(told, Kernels, "first")
    tab = open_view("whole", "first", "kernels")
    tiles = tab.at("kernel-tiles")
    tiles.wait_for()
    tab.at("kernel-order").locator("[data-value=energy]").click()
    order = tiles.locator("[data-filter]").evaluate_all("all => all.map(one => Number(one.dataset.filter))")
    energy = (weights(record) ** 2).sum((1, 2, 3)) / record.covered
    assert (np.diff(energy[order]) <= 1e-4 * energy.max()).all()
    assert sorted(order) == list(range(24))

    tiles.focus()
    tab.page.keyboard.press("ArrowRight")
    tab.page.keyboard.press("ArrowRight")
    card = tab.at("filter-card")
    assert card.get_attribute("data-filter") == str(order[1])
    assert tab.at("kernel-chain").get_attribute("data-filter") == str(order[1])
    epoch = tab.state()["epoch"]
    tab.at("filters-maps").click()
    assert tab.at("map-tiles").locator("[aria-selected=true]").get_attribute("data-filter") == str(order[1])
    tab.at("map-tiles").locator('[data-filter="5"]').hover()
    assert card.get_attribute("data-filter") == "5"
    assert tab.state()["epoch"] == epoch


def test_of_the_first_convolution_it_is_seen_what_a_filter_makes_of_the_sample_that_is_chosen(
    told: list[Record], open_view: Opening
) -> None:
    record = recorded(told, Maps, "first")
    tab = open_view("whole", "first", "kernels")
    tab.at("kernels-on").locator("[data-value=sample]").click()
    tab.at("map-samples").locator(f'[data-sample="{record.samples[2]}"]').click()
    alive = int(np.flatnonzero(record.high > 0)[1])
    drawn = tile(tab, "kernel-tiles", alive)
    side = drawn.shape[0]
    response, output = drawn[:, side + 2 : 2 * side + 2], drawn[:, 2 * (side + 2) :]
    rows, columns = record.pixels.shape[1:3]
    bare = (record.convolved[2, :, :, alive].astype(float) - 128) / 127
    assert np.abs(cells(response, rows, columns) - diverging(bare)).max() < 6
    light = cells(output, rows, columns) @ [0.2126, 0.7152, 0.0722]
    order = np.argsort(record.pixels[2, :, :, alive], axis=None, kind="stable")
    assert (np.diff(light.ravel()[order]) > -2).all()       # cividis grows lighter all the way
    assert light.max() - light.min() > 100
    assert tab.at("kernels-on").locator("[aria-pressed=true]").inner_text() == "on a sample"


def test_maps_are_drawn_as_recorded_and_flat_ones_are_hollow(told: list[Record], open_view: Opening) -> None:
    record = recorded(told, Maps, "second")
    tab = open_view("whole", "second", "maps")
    tiles = tab.at("map-tiles")
    tiles.wait_for()
    flat = np.flatnonzero(record.high <= record.low)
    assert len(flat)
    hollow = tiles.locator(".hollow").evaluate_all("all => all.map(one => Number(one.dataset.filter))")
    assert hollow == flat.tolist()
    assert f"{len(flat)} flat" in tab.at("maps-summary").inner_text()
    sample = 3
    tab.at("map-samples").locator(f'[data-sample="{record.samples[sample]}"]').click()
    rows, columns = record.pixels.shape[1:3]
    for number in np.flatnonzero(record.high > record.low)[:3]:
        light = cells(tile(tab, "map-tiles", int(number)), rows, columns) @ [0.2126, 0.7152, 0.0722]
        order = np.argsort(record.pixels[sample, :, :, number], axis=None, kind="stable")
        assert (np.diff(light.ravel()[order]) > -2).all(), number


def test_the_layers_side_by_side_lead_from_one_to_the_next(open_view: Opening) -> None:
    tab = open_view("whole", "second", "maps")
    strip = tab.at("layer-strip")
    strip.wait_for()
    assert strip.locator("[data-layer]").evaluate_all("all => all.map(one => one.dataset.layer)") == ["first", "second"]
    strip.locator("canvas").nth(2).wait_for()               # the sample and both layers
    strip.locator("[data-layer=first]").click()
    assert tab.until(lambda s: s["layer"] == "first")
    tab.at("layer-row-hidden").click()
    empty = tab.at("empty-state").inner_text()
    assert "no positions" in empty
    tab.at("empty-state").get_by_role("button").click()
    assert tab.until(lambda s: s["layer"] in ("first", "second"))


def test_what_is_missing_or_spoilt_is_said(open_view: Opening) -> None:
    tab = open_view("bare", "block1/conv1", "kernels")
    assert "fw.KernelPictures()" in tab.at("why-absent").inner_text()
    tab.at("filters-maps").click()
    assert "fw.ActivationMaps()" in tab.at("why-absent").inner_text()
    spoilt = open_view("whole", "second", "kernels")
    assert "cannot be read" in spoilt.at("empty-state").inner_text()


def test_of_700_filters_only_those_in_sight_are_in_the_page(open_view: Opening) -> None:
    tab = open_view("crowd", "crowd", "kernels")
    tab.at("kernel-order").locator("[data-value=index]").click()
    for view, name in (("kernels", "kernel-tiles"), ("maps", "map-tiles")):
        tab.at(f"filters-{view}").click()
        tiles = tab.at(name)
        tiles.wait_for()
        tab.page.wait_for_timeout(200)
        assert 0 < tiles.locator("[data-filter]").count() < 450
        tiles.evaluate("box => (box.scrollTop = box.scrollHeight)")
        last = tiles.locator('[data-filter="699"]')
        last.wait_for()
        last.click()
        assert tab.at("filter-card").get_attribute("data-filter") == "699"
        tab.page.keyboard.press("Escape")


def test_alerts_say_what_pruning_saves(told: list[Record], open_view: Opening) -> None:
    tab = open_view("whole", "", "")
    alerts = tab.at("alerts")
    alerts.wait_for()
    dead = recorded(told, LayerHealth, "first", EPOCHS).dead_count
    row = alerts.get_by_test_id("alert").filter(has_text=f"{dead} of 24 filters of first never answered")
    assert f"−{9 * dead}" in row.get_by_test_id("alert-savings").inner_text()
    assert tab.at("prunable").inner_text().startswith("Pruning all that is named would save up to")
    row.get_by_text("Evidence").click()
    assert "filters" in row.locator("dl").inner_text()
    row.locator(".jump").click()
    assert tab.until(lambda s: s["layer"] == "first" and s["epoch"] == EPOCHS)
    assert tab.at("tab-filters").get_attribute("aria-selected") == "true"


def test_events_of_filters_lead_to_them_and_the_rail_counts_them(told: list[Record], open_view: Opening) -> None:
    tab = open_view("whole", "", "")
    healths = [one for one in told if isinstance(one, LayerHealth)]
    died = sum(len(one.died) for one in healths)
    chip = tab.frame.locator('[data-chip="died"]')
    chip.wait_for()
    assert chip.inner_text().split() == ["died", str(died)]
    chip.click()
    event = tab.at("event").first
    number, epoch = int(event.get_attribute("data-filter")), int(event.get_attribute("data-epoch"))
    event.click()
    tab.until(lambda s: s["epoch"] == epoch)
    layer = tab.state()["layer"]
    assert number in recorded(told, LayerHealth, layer, epoch).died
    assert tab.at("filter-card").get_attribute("data-filter") == str(number)

    tab.page.keyboard.press("End")
    tab.until(lambda s: s["epoch"] == EPOCHS)
    newest = recorded(told, LayerHealth, "first", EPOCHS)
    doubles = recorded(told, Similarity, "first", EPOCHS).removable_count
    rail = tab.at("layer-row-first").inner_text()
    assert f"dead {newest.dead_count}/24" in rail and f"double {doubles}" in rail
