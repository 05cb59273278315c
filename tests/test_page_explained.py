"""Attributions, groups, images of clusters, class maps and maximising images in a real browser: what is drawn was recorded."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np
import pytest

from featwatch.records import (
    Attributions,
    ClassActivation,
    ClusterImages,
    Clustering,
    Embedding,
    FactorGroups,
    MaximisingImages,
    Predictions,
    Record,
)
from featwatch.writers import EventFileWriter
from tests.browsers import Tab, chromium
from tests.synthetic import Story, write_log
from tests.synthetic_explained import SIDE, Explained
from tests.synthetic_features import Features, Telling
from tests.tensorboards import tensorboards

pytestmark = pytest.mark.browser

NAMES, LAYER, DENSE, EPOCH = ("first", "second", "hidden", "scores"), "second", "hidden", 4
EXPLAINED = Explained(every=EPOCH)
VIEWS = ("attributions", "groups", "clusters", "classmaps", "maximising")
CODE = {
    "attributions": "fw.Attributions([0, 3], 6)", "groups": "fw.FactorGroups()", "clusters": "fw.ClusterImages()",
    "classmaps": "fw.ClassActivation()", "maximising": "fw.MaximisingImages()",
}  # fmt: skip
HOSTILE = "<img src=x onerror='window.hacked=1'><script>window.hacked=1</script>"
EIGHT = np.array([(0, 114, 178), (230, 159, 0), (0, 158, 115), (204, 121, 167), (86, 180, 233)])
BLUE, WHITE, ORANGE = np.array([33, 102, 172]), np.array([245, 245, 245]), np.array([217, 95, 2])
PIXELS = "e => [e.width, e.height, ...e.getContext('2d').getImageData(0, 0, e.width, e.height).data]"
Opening = Callable[..., Tab]
R = TypeVar("R", bound=Record)


class Kept:
    """A writer that keeps what it is given."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def write(self, record: Record) -> int:
        self.records.append(record)
        return 0

    def flush(self) -> None: ...
    def close(self) -> None: ...


@pytest.fixture(scope="module")
def told() -> list[Record]:
    """Every record of the run "whole"."""
    story, kept = Story(layers=4, epochs=EPOCH, samples=60, filters=16, names=NAMES), Kept()
    writer = Telling(story, EXPLAINED, kept)
    for record in (story.session(0, 0.0), story.probe(0), *(one for epoch in range(EPOCH + 1) for one in story.records(epoch))):
        writer.write(record)
    return kept.records


def spoilt(record: Record) -> Record:
    """A record with markup for words and numbers that cannot be."""
    full: dict[str, Any] = {"note": HOSTILE}
    if isinstance(record, Attributions):
        full |= {"methods": np.array([HOSTILE, "__proto__", "constructor"]), "input_shape": (0, -3)}
        full |= {"reach": np.full_like(record.reach, np.nan)}
    elif isinstance(record, FactorGroups):
        full |= {"weights": np.full_like(record.weights, np.nan), "share": np.full_like(record.share, np.inf)}
        full |= {"unexplained": np.nan}
    elif isinstance(record, ClusterImages):
        full |= {"of": 77, "samples": np.full_like(record.samples, -5), "weights": record.weights[:, :0]}
    elif isinstance(record, ClassActivation):
        full |= {"method": HOSTILE, "classes": np.full_like(record.classes, -3), "samples": record.samples + 100_000}
        full |= {"influence": np.full_like(record.influence, np.nan)}
    elif isinstance(record, MaximisingImages):
        full |= {"pixels": record.pixels[:, :0]}
    else:
        return record
    return dataclasses.replace(record, **full)


@pytest.fixture(scope="module")
def shown(told: list[Record], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a TensorBoard over runs: whole, without any of it, with as little as may be, and a hostile one."""
    logs, notes = tmp_path_factory.mktemp("logs"), tmp_path_factory.mktemp("notes")
    for run, change in {"whole": lambda record: record, "odd": spoilt}.items():
        writer = EventFileWriter(logs / run, 0)
        for record in told:
            writer.write(change(record))
        writer.close()
    write_log(logs / "bare", layers=1, epochs=1, samples=12, features=Features(images=False, alerts=0))
    least = Explained(methods=("saliency",), chosen=(2,), shown=1, twin=False, groups=1, every=1)
    size = {"layers": 1, "epochs": 1, "samples": 3, "classes": 3, "filters": 4}
    write_log(logs / "least", thumbnails=False, names=("only",), explained=least, **size)
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
    def opening(view: str, layer: str = LAYER, run: str = "whole") -> Tab:
        tab = opened
        if run not in tab.state()["run"]:
            picker = tab.at("run-picker")
            picker.select_option(picker.evaluate("(e, part) => [...e.options].find(o => o.value.includes(part)).value", run))
        tab.until(lambda s: run in s["run"] and s["newest"] is not None)
        tab.page.keyboard.press("End")
        if layer:
            tab.at(f"layer-row-{layer}").click()
            tab.until(lambda s: s["layer"] == layer)
        tab.at("tab-features").click()
        tab.at(f"features-{view}").click()
        tab.page.keyboard.press("Escape")
        if run == "whole":
            tab.at(f"{view}-summary").wait_for()
        return tab

    yield opening
    assert opened.errors == []


def recorded(told: list[Record], kind: type[R], layer: str = LAYER) -> R:
    return next(one for one in told if isinstance(one, kind) and one.layer == layer and one.epoch == EPOCH)


def rgba(canvas: Any) -> np.ndarray:
    """(height, width, 4) uint8: what a canvas holds."""
    canvas.wait_for()
    width, height, *values = canvas.evaluate(PIXELS)
    return np.array(values, np.uint8).reshape(height, width, 4)


def settle(tab: Tab) -> None:
    tab.page.wait_for_timeout(250)


def choose(tab: Tab, choice: str, value: str) -> None:
    tab.at(choice).locator(f'[data-value="{value}"]').click()


def slide(tab: Tab, slider: str, value: float) -> None:
    moved = "(e, value) => { e.value = value; e.dispatchEvent(new Event('input', { bubbles: true })); }"
    tab.at(slider).evaluate(moved, str(value))


def cell(tab: Tab, row: int, column: int, *, twin: bool = False) -> Any:
    """The picture of one sample by one method, or of one filter."""
    name = "attribution-twin" if twin else "attribution-map"
    return tab.at("attribution-table").locator(".row").nth(row).get_by_test_id(name).nth(column)


def attributes(found: Any, name: str) -> list[str | None]:
    return [found.nth(i).get_attribute(name) for i in range(found.count())]


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


def test_groups_act_in_their_hues_where_the_record_says(open_view: Opening, told: list[Record]) -> None:
    tab, record = open_view("groups"), recorded(told, FactorGroups)
    groups = tab.at("group")
    assert groups.count() == len(record.weights)
    for group in (0, 2):
        drawn = rgba(groups.nth(group).get_by_test_id("group-map").nth(1).locator("canvas.map"))
        np.testing.assert_allclose(drawn[..., 3], 0.88 * record.maps[1, group], atol=1)
        strong = drawn[..., 3] > 120
        np.testing.assert_allclose(drawn[strong][:, :3], np.broadcast_to(EIGHT[group], (strong.sum(), 3)), atol=3)
    whole = rgba(tab.at("groups-table").locator(".head canvas.map").nth(1))
    np.testing.assert_allclose(whole[..., 3], 0.88 * record.maps[1].max(0), atol=1)
    text = tab.frame.locator(".foot").text_content() or ""
    assert f"{100 * record.unexplained:.0f} % is in no group" in text
    assert groups.nth(len(record.weights) - 1).locator(".hollow").count() == 1        # no gradient: no grey square
    assert tab.at("group-new").count() == int((record.likeness < 0.5).sum())


def test_a_groups_heaviest_filters_are_listed_and_selected_everywhere(open_view: Opening, told: list[Record]) -> None:
    tab, record = open_view("groups"), recorded(told, FactorGroups)
    rows = tab.at("group").nth(0).get_by_test_id("group-weights").locator("button")
    heaviest = np.argsort(-record.weights[0], kind="stable")[: rows.count()]
    assert attributes(rows, "data-filter") == [str(f) for f in heaviest]
    assert rows.locator(".num").all_text_contents() == [f"{record.weights[0, f]:.2f}" for f in heaviest]
    rows.nth(0).click()
    settle(tab)
    assert rows.nth(0).get_attribute("aria-pressed") == "true"
    tab.at("features-maximising").click()
    if heaviest[0] < 12:
        assert tab.at("maximising-list").locator(f'.number[data-filter="{heaviest[0]}"]').get_attribute("aria-pressed") == "true"


def test_a_layer_without_positions_has_groups_too(open_view: Opening, told: list[Record]) -> None:
    tab, record = open_view("groups", layer=DENSE), recorded(told, FactorGroups, DENSE)
    assert tab.at("group").count() == len(record.weights)
    assert "no positions" in (tab.at("groups-summary").text_content() or "")
    assert rgba(tab.at("group").nth(0).get_by_test_id("group-map").nth(0).locator("canvas.map")).shape[:2] == (1, 1)


def test_clusters_have_their_image_their_samples_and_what_sets_them_apart(open_view: Opening, told: list[Record]) -> None:
    layer = next(one.layer for one in reversed(told) if isinstance(one, ClusterImages) and one.epoch == EPOCH)
    tab, record = open_view("clusters", layer=layer), recorded(told, ClusterImages, layer)
    clustering, sections = recorded(told, Clustering, layer), tab.at("cluster-image")
    order = sorted(range(len(record.clusters)), key=lambda i: (-record.samples[i], record.clusters[i]))
    assert attributes(sections, "data-cluster") == [str(record.clusters[i]) for i in order]
    first = order[0]
    assert f"{record.samples[first]} samples" in (sections.nth(0).text_content() or "")
    assert record.samples[first] == np.count_nonzero(clustering.labels == record.clusters[first])
    if record.reached[first]:
        drawn = rgba(sections.nth(0).locator(".image canvas"))
        np.testing.assert_array_equal(drawn[..., 0], record.pixels[first, ..., 0])
    heaviest = int(record.weights[first].argmax())
    assert sections.nth(0).get_by_test_id("cluster-weights").locator("button").first.get_attribute("data-filter") == str(heaviest)
    assert f"clustering at epoch {EPOCH}" in (tab.at("clusters-summary").text_content() or "")
    noise = int(np.count_nonzero(clustering.labels < 0))
    assert f"{noise} sample" in (tab.at("cluster-noise").text_content() or "")


def test_in_the_embedding_a_sample_of_a_cluster_is_shown_with_the_clusters_image(open_view: Opening, told: list[Record]) -> None:
    layer = next(one.layer for one in reversed(told) if isinstance(one, ClusterImages) and one.epoch == EPOCH)
    tab, record = open_view("clusters", layer=layer), recorded(told, ClusterImages, layer)
    points, labels = recorded(told, Embedding, layer).points, recorded(told, Clustering, layer).labels
    place = next(i for i in np.argsort(-record.samples, kind="stable") if record.reached[i])
    inside = np.flatnonzero(labels == record.clusters[place])
    middle = int(inside[np.linalg.norm(points[inside] - points[inside].mean(0), axis=1).argmin()])
    tab.at("tab-samples").click()
    tab.until(lambda state: state["points"] == len(points))
    tab.at("colour-by").get_by_text("Cluster").click()
    box, view = tab.at("embedding").bounding_box(), tab.state()["view"]
    x = view["width"] / 2 + (points[middle, 0] - view["x"]) * view["scale"]
    y = view["height"] / 2 - (points[middle, 1] - view["y"]) * view["scale"]
    tab.page.mouse.move(float(box["x"] + x), float(box["y"] + y), steps=3)
    drawn = rgba(tab.at("cluster-picture").locator("canvas"))
    np.testing.assert_array_equal(drawn[..., 0], record.pixels[place, ..., 0])
    tab.page.mouse.move(5, 5)


def test_class_maps_name_the_class_and_say_whether_it_was_predicted(open_view: Opening, told: list[Record]) -> None:
    tab, record = open_view("classmaps"), recorded(told, ClassActivation)
    predicted = next(one for one in told if isinstance(one, Predictions) and one.epoch == EPOCH).classes
    buttons = tab.at("class-maps").locator("button")
    assert buttons.count() == len(record.samples)
    drawn = rgba(buttons.nth(0).locator("canvas.map"))
    light, values = drawn[..., :3].astype(float) @ (0.2126, 0.7152, 0.0722), record.pixels[0].astype(float)
    assert drawn.shape[:2] == values.shape and np.corrcoef(light.ravel(), values.ravel())[0, 1] > 0.98
    buttons.locator(".said", has_text="predicted").first.wait_for()
    for i, (sample, label) in enumerate(zip(record.samples, record.classes, strict=True)):
        text = buttons.nth(i).locator(".said").text_content() or ""
        assert text.startswith(str(label)) and ("not predicted" in text) == (predicted[sample] != label), text


def test_filters_are_ranked_by_their_influence(open_view: Opening, told: list[Record]) -> None:
    tab, record = open_view("classmaps"), recorded(told, ClassActivation)
    rows = tab.at("influence").locator("button")
    order = np.argsort(-record.influence, kind="stable")
    assert attributes(rows, "data-filter") == [str(f) for f in order]
    assert rows.nth(0).locator(".num").text_content() == f"{100 * record.influence[order[0]]:.1f} %"
    half = int(np.searchsorted(np.cumsum(record.influence[order].astype(float)), 0.5)) + 1
    assert f"{half} of 16 filters have half" in (tab.frame.locator(".ranking").text_content() or "")
    tab.at("class-maps").locator("button").nth(1).hover()
    settle(tab)
    bars = rows.nth(0).locator(".signed i")
    weight = record.weights[1, order[0]] / np.abs(record.weights[1]).max()
    length, against = bars.evaluate("e => [parseFloat(e.style.width), e.style.right !== '']")
    assert (length, against) == (pytest.approx(50 * abs(weight), abs=0.1), bool(weight < 0))
    tab.page.mouse.move(5, 5)


def test_a_sample_is_led_to_an_image_and_what_is_brightest_of_it_is_kept(open_view: Opening, told: list[Record]) -> None:
    tab, record = open_view("maximising"), recorded(told, MaximisingImages)
    strips = tab.at("maximising")
    strips.first.wait_for()
    assert strips.count() == len(record.filters)
    made, kept = (rgba(strips.nth(3).locator("figure canvas").nth(i)) for i in range(2))
    np.testing.assert_array_equal(made[..., 0], record.pixels[3, ..., 0])
    np.testing.assert_array_equal(kept[..., 0] == 255, record.thresholded[3, ..., 0])
    assert set(np.unique(kept[..., 0])) <= {0, 255}
    assert f"after {record.steps} steps" in (tab.at("maximising-summary").text_content() or "")


def test_a_sample_that_is_selected_is_selected_in_every_view(open_view: Opening, told: list[Record]) -> None:
    tab, record = open_view("attributions"), recorded(told, Attributions)
    sample = int(record.samples[2])
    tab.at("attribution-table").locator(f'.row[data-sample="{sample}"] .input').click()
    tab.at("features-groups").click()
    assert tab.at("groups-table").locator(f'[data-sample="{sample}"][aria-pressed="true"]').count() == 1
    tab.at("features-classmaps").click()
    assert tab.at("class-maps").locator(f'[data-sample="{sample}"]').get_attribute("aria-pressed") == "true"


@pytest.mark.parametrize("view", VIEWS)
def test_what_was_not_recorded_says_how_to_have_it(open_view: Opening, view: str) -> None:
    tab = open_view(view, layer="", run="bare")
    assert CODE[view] in (tab.at("why-absent").text_content() or "")


@pytest.mark.parametrize("view", VIEWS)
def test_one_of_everything_without_pictures_is_shown(open_view: Opening, view: str) -> None:
    tab = open_view(view, layer="only", run="least")
    settle(tab)
    if view == "attributions":
        assert tab.at("attribution-table").get_attribute("data-mode") == "map"
        assert tab.at("attribution-map").count() == 1 and tab.at("attribution-twin").count() == 0
        assert "twin=True" in (tab.frame.locator(".foot").text_content() or "")
    elif view == "groups":
        assert tab.at("group").count() == 1
    elif view == "classmaps":
        assert tab.at("class-maps").locator("button").count() == 1
    elif view == "maximising":
        assert tab.at("maximising").count() == 4
    else:
        assert tab.at("empty-state").is_visible() or tab.at("cluster-image").count() >= 1


@pytest.mark.parametrize("view", VIEWS)
def test_a_hostile_record_is_words_and_nothing_else(open_view: Opening, view: str) -> None:
    tab = open_view(view, layer="", run="odd")
    for layer in NAMES:
        tab.at(f"layer-row-{layer}").click()
        settle(tab)
    assert tab.frame.evaluate("() => window.hacked") is None
    assert tab.frame.locator("#fw-view script, #fw-view img").count() == 0
    assert tab.frame.locator("#fw-view").is_visible()
