"""Attributions in a real browser: what is drawn was recorded, on the scale that is said."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from featwatch.records import Attributions, Record
from featwatch.writers import EventFileWriter
from tests.browsers import Tab, chromium, rgba
from tests.explained_page import Opening, cell, choose, everything, opened_at, recorded, settle, slide
from tests.synthetic_explained import SIDE
from tests.tensorboards import tensorboards

pytestmark = pytest.mark.browser

BLUE, WHITE, ORANGE = np.array([33, 102, 172]), np.array([245, 245, 245]), np.array([217, 95, 2])


@pytest.fixture(scope="module")
def told() -> list[Record]:
    return everything()


@pytest.fixture(scope="module")
def opened(told: list[Record], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    """One page for all tests: opening it takes longest."""
    logs, notes = tmp_path_factory.mktemp("logs"), tmp_path_factory.mktemp("notes")
    writer = EventFileWriter(logs / "whole", 0)
    for record in told:
        writer.write(record)
    writer.close()
    with tensorboards({"one": [f"--logdir={logs}"]}, notes) as boards, chromium() as browser:
        tab = Tab(browser.new_page(viewport={"width": 1280, "height": 800}), boards["one"].address)
        tab.until(lambda s: s["run"])
        yield tab


@pytest.fixture
def open_view(opened: Tab) -> Iterator[Opening]:
    yield lambda view: opened_at(opened, view)
    assert opened.errors == []


def plain(tab: Tab, shown: str = "map", columns: str = "methods") -> None:
    """The settings that a test starts from, whatever another has left."""
    choose(tab, "attribution-shown", shown)
    choose(tab, "attribution-columns", columns)
    slide(tab, "attribution-smoothing", 0)
    if not tab.at("attribution-twin-switch").is_checked():
        tab.at("attribution-twin-switch").check()
    settle(tab)


def diverging(values: np.ndarray) -> np.ndarray:
    """(…, 3): blue to white to orange for −1 … 1, as the page's palette says."""
    share = np.abs(values)[..., None]
    return WHITE + share * (np.where(values[..., None] < 0, BLUE, ORANGE) - WHITE)


def maps(record: Attributions, *, twin: bool = False) -> np.ndarray:
    """(methods, filters, samples, rows, columns)"""
    pixels, reach = (record.twin_pixels, record.twin_reach) if twin else (record.pixels, record.reach)
    return (pixels.astype(float) - 128) / 127 * reach[..., None, None]


def test_a_row_a_sample_and_a_column_a_method_on_a_shared_scale_that_is_said(open_view: Opening, told: list[Record]) -> None:
    tab, record = open_view("attributions"), recorded(told, Attributions)
    plain(tab)
    table = tab.at("attribution-table")
    assert table.locator(".row").count() == len(record.samples)
    columns = tab.at("attribution-column")
    assert columns.locator("b").all_text_contents() == ["Saliency", "Occlusion", "Guided backprop"]
    full = np.abs(maps(record)[:, 0]).max((1, 2, 3))
    assert [float(columns.nth(i).get_attribute("data-full") or "nan") for i in range(3)] == pytest.approx(list(full), rel=1e-5)
    for sample in (0, 3):
        drawn = rgba(cell(tab, sample, 1).locator("canvas.map"))
        expected = diverging(maps(record)[1, 0, sample] / full[1])
        np.testing.assert_allclose(drawn[..., :3], expected, atol=1)
        assert (drawn[..., 3] == 255).all()


def test_without_a_sign_bright_is_much(open_view: Opening, told: list[Record]) -> None:
    tab, record = open_view("attributions"), recorded(told, Attributions)
    plain(tab)
    drawn = rgba(cell(tab, 0, 0).locator("canvas.map"))
    light, values = drawn[..., :3].astype(float) @ (0.2126, 0.7152, 0.0722), maps(record)[0, 0, 0]
    order = np.argsort(values, axis=None)
    assert np.corrcoef(light.ravel()[order], np.sort(values, axis=None))[0, 1] > 0.98


def test_the_random_network_has_a_scale_of_its_own_and_can_be_put_away(open_view: Opening, told: list[Record]) -> None:
    tab, record = open_view("attributions"), recorded(told, Attributions)
    plain(tab)
    table = tab.at("attribution-table")
    twin = maps(record, twin=True)[1, 0]
    drawn = rgba(cell(tab, 2, 1, twin=True).locator("canvas.map"))
    np.testing.assert_allclose(drawn[..., :3], diverging(twin[2] / np.abs(twin).max()), atol=1)
    assert "learnt nothing" in (tab.frame.locator(".foot").text_content() or "")
    tab.at("attribution-twin-switch").uncheck()
    settle(tab)
    assert table.get_by_test_id("attribution-twin").count() == 0
    assert table.get_by_test_id("attribution-map").count() == len(record.samples) * len(record.methods)


def test_each_map_on_its_own_scale_says_so(open_view: Opening, told: list[Record]) -> None:
    tab, record = open_view("attributions"), recorded(told, Attributions)
    plain(tab)
    choose(tab, "attribution-scale", "map")
    settle(tab)
    own = maps(record)[1, 0, 4]
    drawn = rgba(cell(tab, 4, 1).locator("canvas.map"))
    np.testing.assert_allclose(drawn[..., :3], diverging(own / np.abs(own).max()), atol=1)
    assert "cannot be compared" in (tab.at("attributions-summary").text_content() or "")
    choose(tab, "attribution-scale", "column")


def test_filters_side_by_side_are_those_that_are_selected_anywhere(open_view: Opening, told: list[Record]) -> None:
    tab, record = open_view("attributions"), recorded(told, Attributions)
    plain(tab, columns="filters")
    tab.at("attribution-method").select_option("occlusion")
    columns = tab.at("attribution-column")
    assert columns.locator("b").all_text_contents() == [f"Filter {f}" for f in record.filters]
    full = np.abs(maps(record)[1]).max()
    assert float(columns.nth(0).get_attribute("data-full") or "nan") == pytest.approx(full, rel=1e-5)       # one scale for all
    tab.at("attribution-filters").locator('[data-filter="3"]').click()
    settle(tab)
    assert columns.count() == 1
    drawn = rgba(cell(tab, 0, 0).locator("canvas.map"))
    alone = maps(record)[1, 1]
    np.testing.assert_allclose(drawn[..., :3], diverging(alone[0] / np.abs(alone).max()), atol=1)
    tab.at("features-groups").click()
    tab.at("features-attributions").click()
    assert tab.at("attribution-filters").locator('[aria-pressed="true"]').all_text_contents() == ["3"]
    choose(tab, "attribution-columns", "methods")


def test_over_the_picture_what_says_nothing_is_transparent(open_view: Opening, told: list[Record]) -> None:
    tab, record = open_view("attributions"), recorded(told, Attributions)
    plain(tab, shown="overlay")
    slide(tab, "attribution-opacity", 0.5)
    settle(tab)
    drawn = rgba(cell(tab, 0, 1).locator("canvas.map"))
    share = np.abs(maps(record)[1, 0, 0]) / np.abs(maps(record)[1, 0]).max()
    np.testing.assert_allclose(drawn[..., 3], 255 * 0.5 * np.sqrt(share), atol=1)
    assert cell(tab, 0, 1).locator("canvas").count() == 2


def test_important_areas_hold_all_from_the_share_on_and_nothing_below_half_of_it(open_view: Opening, told: list[Record]) -> None:
    tab, record = open_view("attributions"), recorded(told, Attributions)
    plain(tab, shown="areas")
    for share in (0.5, 0.8):
        slide(tab, "attribution-share", share)
        settle(tab)
        found = cell(tab, 1, 1)
        inside = rgba(found.locator("canvas.map"))[..., 3] < 100
        size = np.abs(maps(record)[1, 0, 1])
        size /= size.max()
        assert inside[size >= share].all() and not inside[size <= share / 2].any() and inside.any()
        assert found.locator("svg path").count() == 2
    assert "watershed" in (tab.frame.locator(".foot").text_content() or "")


def test_receptive_fields_stand_where_the_record_says(open_view: Opening, told: list[Record]) -> None:
    tab, record = open_view("attributions"), recorded(told, Attributions)
    plain(tab)
    boxes = [box for box in record.boxes[0, 0] if box[0] >= 0]
    frames = tab.at("attribution-table").locator(".row").nth(0).locator(".input .stack > i")
    for style, filled in (("empty", False), ("filled", True)):
        choose(tab, "attribution-boxes", style)
        assert frames.count() == len(boxes)
        for i, (top, bottom, left, right) in enumerate(boxes):
            got = frames.nth(i).evaluate("e => ['left', 'top', 'width', 'height'].map(name => parseFloat(e.style[name]))")
            expected = np.array([left, top, right + 1 - left, bottom + 1 - top]) * 100 / SIDE
            np.testing.assert_allclose(got, expected, atol=0.01)
        background = frames.nth(0).evaluate("e => getComputedStyle(e).backgroundColor")
        assert ("0.3" in background) is filled, background
    choose(tab, "attribution-boxes", "off")
    assert frames.count() == 0
    choose(tab, "attribution-boxes", "empty")
