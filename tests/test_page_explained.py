"""Groups, images of clusters, class maps and maximising images in a real browser: what is drawn was recorded."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

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
from tests.browsers import Tab, chromium, rgba
from tests.explained_page import DENSE, EPOCH, LAYER, NAMES, Opening, attributes, everything, opened_at, recorded, settle
from tests.synthetic import write_log
from tests.synthetic_explained import Explained
from tests.synthetic_features import Features
from tests.tensorboards import tensorboards

pytestmark = pytest.mark.browser

VIEWS = ("attributions", "groups", "clusters", "classmaps", "maximising")
CODE = {
    "attributions": "fw.Attributions([0, 3], 6)", "groups": "fw.FactorGroups()", "clusters": "fw.ClusterImages()",
    "classmaps": "fw.ClassActivation()", "maximising": "fw.MaximisingImages()",
}  # fmt: skip
HOSTILE = "<img src=x onerror='window.hacked=1'><script>window.hacked=1</script>"
EIGHT = np.array([(0, 114, 178), (230, 159, 0), (0, 158, 115), (204, 121, 167), (86, 180, 233)])


@pytest.fixture(scope="module")
def told() -> list[Record]:
    return everything()


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
    yield lambda view, layer=LAYER, run="whole": opened_at(opened, view, layer, run)
    assert opened.errors == []


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
    share = record.pixels[0] / 255
    np.testing.assert_allclose(drawn[..., 3], 255 * 0.8 * share**0.7, atol=1)       # where there is nothing, the picture
    strong = share > 0.5
    assert (drawn[strong][:, 0] > 1.4 * drawn[strong][:, 2].astype(float)).all()      # in yellow
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
