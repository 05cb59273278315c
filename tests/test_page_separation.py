"""The page around the samples in a real browser: curves, alignment, clusters over epochs, events, quality, replay.

What is read there is compared with what the log's reader reads, or with what was planted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser

from featwatch.reader import Run, load
from tests.browsers import Tab, chromium
from tests.synthetic import write_log
from tests.synthetic_embeddings import Evolution
from tests.tensorboards import tensorboards

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror='window.hacked=1'><script>window.hacked=1</script>"
NAMES = ("stem", "conv2", "dense", "scores")
EPOCHS = 12
SIZE: Any = {"width": 1440, "height": 1000}
Telling = Callable[[dict[str, Any]], Tab]
LEFT, RIGHT = 40, 116           # pixels of a picture over epochs before the first and behind the last


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    logs = tmp_path_factory.mktemp("logs")
    size: dict[str, Any] = {"samples": 200, "filters": 8}
    write_log(logs / "plain", layers=4, epochs=EPOCHS, names=NAMES, embeddings=Evolution(stages=4, doubtful="conv2"), **size)
    write_log(logs / "old", layers=2, epochs=3, samples=40, filters=8)
    write_log(logs / "unlabelled", layers=2, epochs=3, samples=40, filters=8, labelled=False, embeddings=Evolution())
    write_log(logs / "odd", layers=2, epochs=3, samples=40, filters=8, names=(HOSTILE, "conv"), embeddings=Evolution(stages=2))
    return logs


@pytest.fixture(scope="module")
def address(logs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with tensorboards({"one": [f"--logdir={logs}"]}, tmp_path_factory.mktemp("notes")) as boards:
        yield boards["one"].address


@pytest.fixture(scope="module")
def run(logs: Path) -> Run:
    return load(logs / "plain")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def shared(browser: Browser, address: str) -> Iterator[Tab]:
    context = browser.new_context(viewport=SIZE)
    yield Tab(context.new_page(), address)
    context.close()


@pytest.fixture
def tab(shared: Tab) -> Tab:
    """The tab with nothing selected, at the newest epoch."""
    choose(shared, "plain", "overview")
    shared.at("events").wait_for()
    for key in ("Escape", "l"):
        shared.page.keyboard.press(key)
    shared.until(lambda s: s["epoch"] == s["newest"] == EPOCHS)
    shared.errors.clear()
    return shared


@pytest.fixture
def told(browser: Browser, address: str) -> Iterator[Telling]:
    """Opens a tab in which the plugin's answer about events is another one."""
    context = browser.new_context(viewport=SIZE)

    def opening(answer: dict[str, Any]) -> Tab:
        page = context.new_page()
        page.route("**/events?*", lambda route: route.fulfill(json=answer))
        return Tab(page, address)

    yield opening
    context.close()


def choose(tab: Tab, part: str, view: str) -> None:
    tab.until(lambda s: s["run"])
    if part not in tab.state()["run"]:
        picker = tab.at("run-picker")
        picker.select_option(picker.evaluate("(e, part) => [...e.options].find(o => o.value.includes(part)).value", part))
    tab.until(lambda s: part in s["run"] and s["newest"] is not None)
    tab.at(f"tab-{view}").click()


def hover(tab: Tab, where: Any, x: float, y: float) -> None:
    """Moves the pointer to a place in an element, in pixels from its upper left corner."""
    where.scroll_into_view_if_needed()
    box = where.bounding_box()
    tab.page.mouse.move(box["x"] + x, box["y"] + y)
    tab.page.wait_for_timeout(60)


def column(width: float, epoch: int) -> float:
    """Where an epoch stands in a picture over epochs."""
    return LEFT + (width - RIGHT - LEFT) * epoch / EPOCHS


def test_curves_say_what_was_recorded(tab: Tab, run: Run) -> None:
    choose(tab, "plain", "layers")
    tab.at("layer-row-dense").click()
    curves = tab.at("curves-epochs").locator("svg")
    curves.wait_for()
    for epoch in (2, 9):
        hover(tab, curves, column(curves.bounding_box()["width"], epoch), 60)
        said, recorded = curves.text_content(), run.separation("dense", epoch)
        assert f"kNN {recorded.knn_accuracy:.2f}" in said and f"linear probe {recorded.probe_accuracy:.2f}" in said
        assert f"silhouette {recorded.silhouette:.2f}".replace("-", "−") in said
    tab.page.mouse.down()
    tab.page.mouse.up()
    tab.until(lambda s: s["epoch"] == 9)
    over_layers = tab.at("curves-layers").locator("svg")
    assert f"kNN {run.separation('dense', 9).knn_accuracy:.2f}" in over_layers.text_content()
    width = over_layers.bounding_box()["width"]
    hover(tab, over_layers, LEFT + (width - RIGHT - LEFT) / 3, 60)
    assert f"kNN {run.separation('conv2', 9).knn_accuracy:.2f}" in over_layers.text_content()
    tab.page.mouse.down()
    tab.page.mouse.up()
    tab.until(lambda s: s["layer"] == "conv2")
    assert tab.errors == []


def test_a_cell_of_the_alignment_says_its_value_and_selects_the_layer(tab: Tab, run: Run) -> None:
    choose(tab, "plain", "layers")
    canvas = tab.at("cka").locator("canvas")
    canvas.wait_for()
    recorded = run.cka(EPOCHS)
    side = canvas.bounding_box()["width"] / len(NAMES)
    for row, other in ((2, 0), (3, 1), (1, 0)):
        hover(tab, canvas, (other + 0.5) * side, (row + 0.5) * side)
        tip = tab.at("cka").locator(".tip").inner_text()
        assert f"{recorded.matrix[row, other]:.2f}" in tip and NAMES[row] in tip and NAMES[other] in tip
        tab.page.mouse.down()
        tab.page.mouse.up()
        tab.until(lambda s, row=row: s["layer"] == NAMES[row])
    same = [(NAMES[at], NAMES[at + 1]) for at in range(3) if recorded.matrix[at, at + 1] >= 0.98]
    reading = tab.at("alignment-reading").inner_text()
    assert same == [("conv2", "dense")] and re.search(r"conv2 and dense\s+do nearly the same", reading)
    assert tab.at("alignment-reading").locator(".run").count() == 1
    assert tab.errors == []


def test_the_flow_shows_the_planted_merge_and_split(tab: Tab, run: Run) -> None:
    together = Evolution().together(Planted())
    after = together[-1] + 1
    split = next(change for change in run.clusters("scores", after).changes if change["kind"] == "split")
    assert any(change["kind"] == "merge" for change in run.clusters("scores", together[0]).changes)

    choose(tab, "plain", "layers")
    tab.at("layer-row-scores").click()
    canvas = tab.at("cluster-flow").locator("canvas")
    canvas.wait_for()
    tab.frame.wait_for_function("() => !document.querySelector('[data-testid=clusters]').innerText.includes('not there yet')")
    canvas.evaluate("e => e.scrollIntoView({ block: 'center' })")
    box = canvas.bounding_box()
    found = {}
    for epoch in (after - 1, after):
        x, seen = column(box["width"], epoch), {}
        for y in range(1, 190, 3):
            tab.page.mouse.move(box["x"] + x, box["y"] + y)
            said = re.search(r"cluster (\d+)\s+(\d+) samples?", tab.at("cluster-flow").locator(".tip").inner_text())
            if said:
                seen[int(said[1])] = (int(said[2]), y)
        found[epoch] = seen
        record = run.clusters("scores", epoch)
        sizes = dict(zip(record.identities.tolist(), np.bincount(record.labels[record.labels >= 0]).tolist(), strict=True))
        assert {key: size for key, (size, _) in seen.items()}.items() <= sizes.items()
    parent, (new,) = split["from"][0], set(split["into"]) - set(split["from"])
    assert parent in found[after - 1] and new not in found[after - 1] and {parent, new} <= set(found[after])

    hover(tab, canvas, column(box["width"], after), found[after][new][1])
    tab.page.mouse.down()
    tab.page.mouse.up()
    tab.until(lambda s: s["epoch"] == after)
    tab.at("cluster-list").locator(f'[data-cluster="{new}"][aria-pressed=true]').wait_for(timeout=8000)
    assert tab.errors == []


def test_an_event_leads_to_its_sample_and_epoch(tab: Tab, run: Run) -> None:
    choose(tab, "plain", "overview")
    events = tab.at("events")
    events.wait_for()
    events.locator("[data-chip=forgotten]").click()
    assert set(events.get_by_test_id("event").evaluate_all("all => all.map(e => e.dataset.kind)")) == {"forgotten"}
    event = events.get_by_test_id("event").first
    sample, epoch = (int(event.get_attribute(f"data-{name}")) for name in ("sample", "epoch"))
    before, now = run.predictions(epoch - 1).classes[sample], run.predictions(epoch).classes[sample]
    assert before == run.probe.labels[sample] != now
    assert re.search(rf"{before}\s*→\s*{now}", event.inner_text())
    event.click()
    state = tab.until(lambda s: s["epoch"] == epoch and s["points"] == 200)
    assert state["epoch"] == epoch and tab.at("tab-samples").get_attribute("aria-selected") == "true"
    card = tab.at("sample-card")
    card.wait_for()
    assert re.search(rf"\b{sample}\b", card.inner_text())
    assert tab.errors == []


def test_a_thousand_events_are_scrolled_a_few_at_a_time(told: Telling) -> None:
    flip = {"kind": "flip", "size": 0.5, "before": 1, "after": 2}
    many = [{**flip, "epoch": 1 + i % 9, "sample": i % 200, "rank": 1 - i / 1000} for i in range(1000)]
    answer = {"events": many, "counts": {"flip": [[1, 2000]]}, "problems": []}
    tab = told(answer)
    choose(tab, "plain", "overview")
    events = tab.at("event-list")
    events.wait_for()
    assert events.get_by_test_id("event").count() < 30
    events.evaluate("e => (e.scrollTop = e.scrollHeight)")
    tab.page.wait_for_timeout(300)
    assert events.get_by_test_id("event").last.get_attribute("data-sample") == "199"
    assert "2,000 events, 1,000 listed" in tab.at("events").inner_text()
    assert tab.errors == []


def test_a_picture_that_is_not_to_be_believed_says_why(tab: Tab) -> None:
    choose(tab, "plain", "overview")
    doubt = tab.frame.get_by_text("neighbourhoods are poorly kept")
    doubt.wait_for()
    assert doubt.count() == 1
    assert "Look at conv2" in (doubt.locator("xpath=ancestor::button").get_attribute("title") or "")


def test_beside_a_layout_stands_how_steady_it_is_and_its_optimisation_is_replayed(tab: Tab, run: Run) -> None:
    choose(tab, "plain", "samples")
    tab.at("layer-row-dense").click()
    tab.until(lambda s: s["points"] == 200 and s["layer"] == "dense")
    recorded = run.embedding("dense", EPOCHS)
    said = tab.at("quality").inner_text()
    assert f"r {recorded.stability:.2f}" in said and f"ρ {recorded.stability_rank:.2f}" in said and f"epoch {EPOCHS - 1}" in said
    tab.page.wait_for_timeout(700)
    finished = tab.pixels("embedding")
    slider = tab.at("replay").get_by_role("slider")
    slider.fill("0")
    assert f"round {recorded.rounds[0]} of {recorded.rounds[-1]}" in tab.at("replay").inner_text()
    tab.page.wait_for_timeout(700)
    assert not np.array_equal(tab.pixels("embedding"), finished)
    slider.fill(str(len(recorded.rounds)))
    assert "finished" in tab.at("replay").inner_text()
    slider.fill("1")
    tab.page.keyboard.press("Escape")
    tab.at("layer-row-stem").click()                            # another layout: its own end
    tab.until(lambda s: s["layer"] == "stem")
    tab.frame.wait_for_function("() => document.querySelector('[data-testid=replay]')?.innerText.includes('finished')")
    tab.page.keyboard.press("Home")
    tab.until(lambda s: s["shown"] == 0)
    assert "fresh start" in tab.at("quality").inner_text() and tab.at("stability").count() == 0
    assert tab.errors == []


def test_an_old_log_has_no_empty_sections(tab: Tab) -> None:
    choose(tab, "old", "layers")
    tab.at("curves-epochs").wait_for()
    tab.at("cluster-list").wait_for()
    assert "linear probe" not in tab.at("separation").inner_text()
    for name in ("alignment", "cluster-flow"):
        assert tab.at(name).count() == 0
    tab.at("tab-overview").click()
    tab.at("heatmap").wait_for()
    assert tab.at("events").count() == 0 and tab.frame.get_by_role("button", name="Probe", exact=True).count() == 0
    tab.at("tab-samples").click()
    tab.at("quality").wait_for()
    assert tab.at("replay").count() == 0 and tab.at("stability").count() == 0
    assert tab.errors == []


def test_a_probe_without_labels_says_what_needs_none(tab: Tab) -> None:
    choose(tab, "unlabelled", "layers")
    tab.at("cka").wait_for()
    assert tab.at("curves-epochs").count() == 0
    assert tab.frame.get_by_text("The probe has no labels").count() == 1
    assert tab.errors == []


def test_nothing_from_a_log_becomes_html(told: Telling) -> None:
    hostile = {"kind": HOSTILE, "epoch": 1, "sample": 1}
    known = {"kind": "travelled", "epoch": 1, "sample": 3, "size": 2, "rank": 1, "layer": HOSTILE}
    answer = {"events": [hostile, known], "counts": {HOSTILE: [[1, 1]]}, "problems": [HOSTILE]}
    tab = told(answer)
    choose(tab, "odd", "layers")
    tab.at("cka").wait_for()
    canvas = tab.at("cka").locator("canvas")
    hover(tab, canvas, 10, canvas.bounding_box()["height"] - 10)
    assert HOSTILE in tab.at("cka").locator(".tip").inner_text()
    tab.at("tab-overview").click()
    tab.at("event").click()
    tab.at("quality").wait_for()
    assert tab.frame.evaluate("() => window.hacked ?? window.parent.hacked ?? null") is None
    assert tab.frame.locator("img[src=x], script:not([src]):not([type])").filter(has_text="hacked").count() == 0
    assert tab.errors == []


class Planted:
    """As much of the story as says when the two clusters are one."""

    epochs = EPOCHS
