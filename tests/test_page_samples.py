"""The page's Samples view: a real TensorBoard, a real browser, a log that was made up.

Where samples lie is known from the log, and through what the page looks at the plane it says itself; the rest is done as a
person does it, with the pointer and the keys, and looked at as pixels.
"""

from __future__ import annotations

import base64
import dataclasses
import io
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser

from featwatch.reader import load
from featwatch.records import Clustering, Embedding, GridMap, ProbeRecord, Record
from tests.browsers import Tab, chromium
from tests.synthetic import write_log
from tests.synthetic_embeddings import Evolution
from tests.synthetic_features import Features, Training
from tests.tensorboards import tensorboards

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror='window.hacked=1'><script>window.hacked=1</script>"
SAMPLES, COLUMNS = 60, 8
LAYER = "dense"
# Samples 0 … 9 lie in a ring of their own around sample 10, far from the others.
RINGED, CENTRE = range(10), 10


class Planted(Evolution):
    """A layer in which samples lie where the test knows them, and so at every epoch; cells are those that a shuffle gives."""

    def told(self, story: Training, record: Record) -> Iterator[Record]:
        for told in super().told(story, record):
            if told.layer == LAYER and isinstance(told, Embedding):
                told = dataclasses.replace(told, points=places(told.epoch), largest=np.arange(SAMPLES, dtype=np.int32) % 12)
            if told.layer == LAYER and isinstance(told, GridMap):
                told = dataclasses.replace(told, cells=cells(), columns=COLUMNS, rows=COLUMNS, left=-7.0, bottom=-7.0, cell=2.0)
            yield told


def places(epoch: int) -> np.ndarray:
    """(samples, 2) float32: a ring, its centre, and a lattice beside them; everything moves up a little with every epoch."""
    angles = np.linspace(0, 2 * np.pi, len(RINGED), endpoint=False)
    ring = np.stack([-6 + 1.5 * np.cos(angles), 4 + 1.5 * np.sin(angles)], 1)
    others = np.arange(SAMPLES - CENTRE - 1)
    lattice = np.stack([others % 7 * 1.1 - 1.0, others // 7 * 1.1 - 6.0], 1)
    return np.concatenate([ring, [[-6, 4]], lattice]).astype(np.float32) + np.float32([0, 0.2 * epoch])


def cells() -> np.ndarray:
    return np.random.default_rng(3).permutation(COLUMNS * COLUMNS)[:SAMPLES].astype(np.int32)


def centre_of(sample: int) -> np.ndarray:
    cell = cells()[sample]
    return np.array([-7.0 + cell % COLUMNS * 2.0, -7.0 + cell // COLUMNS * 2.0])


class Hostile(Features):
    """Markup and nonsense among the attributes."""

    def annotated(self, probe: ProbeRecord) -> ProbeRecord:
        columns = {HOSTILE: tuple(f"{HOSTILE}{i % 3}" for i in range(SAMPLES)), "__proto__": ("a",) * SAMPLES}
        return dataclasses.replace(probe, attributes=columns, class_names=(HOSTILE,) * 10)


class Odd(Evolution):
    """Cells and identities that are none."""

    def told(self, story: Training, record: Record) -> Iterator[Record]:
        for told in super().told(story, record):
            if isinstance(told, GridMap):
                told = dataclasses.replace(told, cells=np.full(SAMPLES, 10**6, np.int32), cell=float("inf"))
            if isinstance(told, Clustering) and told.identities is not None:
                told = dataclasses.replace(told, identities=np.full(len(told.identities), -5, np.int32))
            if isinstance(told, Embedding):
                told = dataclasses.replace(told, largest=np.full(SAMPLES, -(2**31), np.int32))
            yield told


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Any]]:
    """The address of a TensorBoard, and the plain run as the reader reads it."""
    logs, notes = tmp_path_factory.mktemp("logs"), tmp_path_factory.mktemp("notes")
    size: dict[str, Any] = {"layers": 2, "samples": SAMPLES, "filters": 12, "names": ("conv", LAYER)}
    told = Features(images=False, exemplars=False, alerts=0)
    write_log(logs / "plain", epochs=3, embeddings=Planted(), features=told, **size)
    write_log(logs / "old", epochs=1, **size)
    write_log(logs / "odd", epochs=1, embeddings=Odd(), features=Hostile(images=False, exemplars=False, alerts=0), **size)
    write_log(logs / "bare", epochs=1, labelled=False, thumbnails=False, **size)
    with tensorboards({"one": [f"--logdir={logs}"]}, notes) as boards:
        yield boards["one"].address, load(logs / "plain")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def tab(browser: Browser, shown: tuple[str, Any]) -> Iterator[Tab]:
    context = browser.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
    yield Tab(context.new_page(), shown[0])
    context.close()


def test_a_lasso_selects_exactly_what_it_is_drawn_around_and_the_selection_stays(tab: Tab, shown: tuple[str, Any]) -> None:
    _, run = shown
    _open(tab, "plain")
    outline = [(-8.2, 2.2), (-3.8, 2.2), (-3.8, 7.0), (-8.2, 7.0)]
    _draw(tab, "lasso", outline)
    assert _selected(tab) == [*RINGED, CENTRE]
    _charts_are(tab, run, 3, [*RINGED, CENTRE])

    # The hole in the middle: a circle with alt takes its centre away; shift adds samples of the lattice by a rectangle.
    _draw(tab, "circle", [(-6, 4.6), (-5.2, 4.6)], "Alt")
    assert _selected(tab) == list(RINGED)
    lattice = [CENTRE + 1, CENTRE + 2]
    _draw(tab, "rectangle", [(-1.4, -5.0), (0.5, -5.8)], "Shift")
    assert _selected(tab) == [*RINGED, *lattice]

    tab.page.keyboard.press("ArrowLeft")
    tab.until(lambda s: s["epoch"] == 2 and s["shown"] == 2)
    assert _selected(tab) == [*RINGED, *lattice]
    _charts_are(tab, run, 2, [*RINGED, *lattice])  # what is predicted is that of the epoch
    tab.at("layer-row-conv").click()
    tab.until(lambda s: s["layer"] == "conv")
    assert _selected(tab) == [*RINGED, *lattice]

    # A bar keeps its own; Esc clears, and a shape that is half drawn before it.
    label = int(run.probe.labels[0])
    bar = tab.frame.locator("[data-testid=distribution][data-name='True class'] .bar").nth(label)
    bar.click()
    assert _selected(tab) == [i for i in (*RINGED, *lattice) if run.probe.labels[i] == label]
    tab.page.keyboard.press("Escape")
    tab.at("selection-card").wait_for(state="detached")
    assert tab.errors == []


def test_a_click_selects_and_the_card_tells_who_is_near_in_the_picture(tab: Tab, shown: tuple[str, Any]) -> None:
    _, run = shown
    _open(tab, "plain")
    x, y = _pixel(tab, places(3)[CENTRE])
    tab.page.mouse.click(x, y)
    card = tab.at("sample-card")
    card.wait_for()
    assert f"sample of the probe\n{CENTRE}" in card.inner_text()
    near = _pictured(card)
    assert set(near) < set(RINGED) and len(near) == 8
    tab.page.mouse.click(*_pixel(tab, places(3)[3]))
    assert "sample of the probe\n3" in card.inner_text()
    tab.page.keyboard.down("Shift")
    tab.page.mouse.click(*_pixel(tab, places(3)[CENTRE]))
    tab.page.keyboard.up("Shift")
    assert _selected(tab) == [3, CENTRE]
    assert str(run.predictions(3).classes[3]) in tab.at("selection-card").inner_text()
    assert tab.errors == []


def test_the_slider_brings_every_sample_to_its_cell_where_its_image_is(tab: Tab, shown: tuple[str, Any]) -> None:
    _, run = shown
    _open(tab, "plain")
    _show(tab, "marks", "Images")
    for share, expected in (("50", lambda i: (places(3)[i] + centre_of(i)) / 2), ("100", centre_of)):
        tab.at("grid-slider").fill(share)
        tab.page.wait_for_timeout(500)
        for sample in (0, 17, 59):
            tab.page.mouse.move(*_pixel(tab, expected(sample)), steps=2)
            assert f"sample of the probe\n{sample}" in tab.at("sample-card").inner_text()

    # Every image is the sample's own, inside its cell, and no cell reaches into the next.
    tab.page.mouse.move(5, 5)
    tab.page.wait_for_timeout(300)
    _show(tab, "region-style", "Off")
    picture = tab.pixels("embedding").astype(float)
    sheet = np.asarray(Image.open(io.BytesIO(run.probe.thumbnails)).convert("L"), float)
    view, right = tab.state()["view"], 0
    side = int(2.0 * view["scale"])
    for sample in range(SAMPLES):
        x, y = _in_picture(view, centre_of(sample))
        own = picture[round(y) - side // 3 : round(y) + side // 3, round(x) - side // 3 : round(x) + side // 3].mean(-1)
        scores = [_alike(own, _thumbnail(sheet, run.probe, other)) for other in range(SAMPLES)]
        right += int(np.argmax(scores) == sample)
    assert right >= 0.9 * SAMPLES  # some digits are nearly the same
    x, y = _in_picture(view, centre_of(0))
    between = picture[round(y), round(x + side / 2 - 1) : round(x + side / 2 + 2)]
    assert between.max() > 240  # the background shows between two images
    tab.page.keyboard.press("ArrowLeft")
    tab.until(lambda s: s["shown"] == 2)
    assert tab.at("grid-slider").input_value() == "100"
    assert tab.errors == []


def test_decision_regions_are_drawn_and_follow_the_points(tab: Tab, shown: tuple[str, Any]) -> None:
    _, run = shown
    _open(tab, "plain")
    lines = _canvas(tab)
    assert 0.001 < (lines[..., 3] > 0).mean() < 0.1  # a boundary: thin lines on nothing
    _show(tab, "region-style", "Filled")
    filled = _canvas(tab)
    assert (filled[..., 3] > 20).mean() > 0.98
    # Under a sample whose neighbours are of one class there is that class's hue: the same as under others like it.
    points, classes, view = places(3), run.predictions(3).classes, tab.state()["view"]
    hues: dict[int, set[tuple[int, ...]]] = {}
    for sample in range(SAMPLES):
        nearest = np.argsort(((points - points[sample]) ** 2).sum(1))[:5]
        if len({*classes[nearest].tolist()}) == 1:
            x, y = _in_picture(view, points[sample])
            hues.setdefault(int(classes[sample]), set()).add(tuple(filled[round(y), round(x), :3] // 16))
    assert all(len(found) == 1 for found in hues.values())
    tab.at("grid-slider").fill("100")
    tab.page.wait_for_timeout(900)
    assert (np.abs(_canvas(tab).astype(int) - filled).max(-1) > 20).mean() > 0.1
    _show(tab, "region-style", "Off")
    assert not _canvas(tab).any()
    # Where hues mean something else, a fill would lie.
    _show(tab, "region-style", "Filled")
    tab.at("colour-by").get_by_text("Cluster").click()
    tab.page.wait_for_timeout(400)
    assert (_canvas(tab)[..., 3] > 0).mean() < 0.2
    assert tab.errors == []


def test_the_legend_selects_and_the_largest_filter_has_a_hue(tab: Tab, shown: tuple[str, Any]) -> None:
    _, run = shown
    _open(tab, "plain")
    labels = np.asarray(run.probe.labels)
    tab.frame.locator("[data-select='4']").click()
    assert _selected(tab) == np.flatnonzero(labels == 4).tolist()
    tab.frame.locator("[data-select='2']").click(modifiers=["Shift"])
    assert _selected(tab) == np.flatnonzero((labels == 4) | (labels == 2)).tolist()
    tab.at("colour-by").get_by_text("Largest").click()
    legend = tab.at("legend").inner_text()
    filters, counts = np.unique(run.embedding(LAYER, 3).largest % run.session.layers[-1]["filters"], return_counts=True)
    named = filters[np.argsort(-counts, kind="stable")][:8]
    assert len(filters) > 8 and all(f"filter {one}\n" in legend for one in named) and f"{len(filters) - 8} others" in legend
    tab.frame.locator(f"[data-select='{named[2]}']").click()
    assert _selected(tab) == np.flatnonzero(run.embedding(LAYER, 3).largest == named[2]).tolist()
    tab.frame.locator(f"[data-key='{named[0]}']").click()
    tab.frame.get_by_text("Show all").click()
    assert tab.errors == []


def test_a_trail_leads_to_where_the_sample_is(tab: Tab) -> None:
    _open(tab, "plain")
    _show(tab, "region-style", "Off")
    assert not _canvas(tab).any()
    tab.page.mouse.click(*_pixel(tab, places(3)[CENTRE]))
    tab.page.mouse.move(5, 5)
    tab.page.wait_for_timeout(1500)
    marks = _canvas(tab)[..., 3] > 0
    assert marks.any()
    # Straight up, from the first epoch's place to this one's.
    view = tab.state()["view"]
    (x, top), (_, bottom) = _in_picture(view, places(3)[CENTRE]), _in_picture(view, places(0)[CENTRE])
    rows, columns = np.nonzero(marks)
    assert abs(columns - x).max() <= 4 and top - 4 <= rows.min() and abs(rows.max() - bottom) <= 4
    _show(tab, "trails", "Off")
    assert not _canvas(tab).any()
    assert tab.errors == []


def test_an_old_log_has_no_grid_and_says_so_and_a_bare_one_has_no_images(tab: Tab) -> None:
    _open(tab, "old")
    slider = tab.at("grid-slider")
    assert slider.is_disabled() and "grid" in slider.locator("xpath=..").get_attribute("title")
    assert tab.at("colour-by").get_by_text("Largest").count() == 0
    _open(tab, "bare")
    tab.at("show").click()
    assert "no images" in tab.at("show-panel").inner_text() and tab.at("marks").count() == 0
    tab.page.keyboard.press("Escape")
    tab.at("show-panel").wait_for(state="detached")
    _draw(tab, "rectangle", [(-99, -99), (99, 99)])
    assert len(_selected(tab, pictures=False)) == SAMPLES
    assert tab.errors == []


def test_markup_and_nonsense_are_shown_as_text_or_not_at_all(tab: Tab) -> None:
    _open(tab, "odd")
    assert tab.at("grid-slider").is_disabled()
    _draw(tab, "rectangle", [(-99, -99), (99, 99)])
    card = tab.at("selection-card")
    card.wait_for()
    assert HOSTILE in card.inner_text()
    for choice in ("Cluster", "Largest", "Attribute", "True class"):
        tab.at("colour-by").get_by_text(choice).click()
        tab.page.wait_for_timeout(200)
    tab.page.keyboard.press("Escape")
    tab.page.mouse.click(*_pixel(tab, (tab.state()["view"]["x"], tab.state()["view"]["y"])))
    assert tab.frame.evaluate("() => window.hacked ?? window.parent.hacked ?? null") is None
    assert tab.frame.locator("img[src=x]").count() == 0
    assert tab.errors == []


def _open(tab: Tab, run: str) -> None:
    tab.until(lambda s: s["run"])
    tab.at("run-picker").select_option(f"{run}/featwatch")
    tab.until(lambda s: s["run"] == f"{run}/featwatch" and s["newest"] is not None)
    tab.at(f"layer-row-{LAYER}").click()
    tab.at("tab-samples").click()
    tab.until(lambda s: s["points"] == SAMPLES and s["shown"] == s["epoch"])
    tab.page.wait_for_timeout(400)


def _show(tab: Tab, what: str, choice: str) -> None:
    tab.at("show").click()
    tab.at(what).get_by_text(choice, exact=True).click()
    tab.page.keyboard.press("Escape")
    tab.at("show-panel").wait_for(state="detached")
    tab.page.wait_for_timeout(500)


def _in_picture(view: dict[str, float], place: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """Pixels from the picture's top left of a place in the plane."""
    x, y = (float(value) for value in place)
    return view["width"] / 2 + (x - view["x"]) * view["scale"], view["height"] / 2 - (y - view["y"]) * view["scale"]


def _pixel(tab: Tab, place: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """The same in the whole page, held inside the picture."""
    box, view = tab.at("embedding").bounding_box(), tab.state()["view"]
    x, y = _in_picture(view, place)
    return box["x"] + min(max(x, 60), view["width"] - 2), box["y"] + min(max(y, 2), view["height"] - 2)


def _draw(tab: Tab, tool: str, corners: Sequence[tuple[float, float]], key: str = "") -> None:
    """Draws through the corners with one of the tools, a key held down."""
    tab.at("tools").locator(f"[data-value={tool}]").click()
    if key:
        tab.page.keyboard.down(key)
    first, *others = (_pixel(tab, corner) for corner in corners)
    tab.page.mouse.move(*first)
    tab.page.mouse.down()
    for corner in others:
        tab.page.mouse.move(*corner, steps=8)
    tab.page.mouse.up()
    if key:
        tab.page.keyboard.up(key)
    tab.at("tools").locator("[data-value=move]").click()


def _selected(tab: Tab, pictures: bool = True) -> list[int]:
    """The selected samples, as the card shows them."""
    card = tab.at("selection-card")
    card.wait_for()
    if not pictures:
        return list(range(int(card.locator("p.name").inner_text().split()[0])))
    return sorted(_pictured(card))


def _pictured(card: Any) -> list[int]:
    """The samples whose pictures are on a card, by their titles."""
    titles = card.locator(".thumbs button").evaluate_all("all => all.map(e => e.title)")
    return [int(title.split(",")[0].split()[1]) for title in titles]


def _charts_are(tab: Tab, run: Any, epoch: int, samples: list[int]) -> None:
    """The card's bars of true and predicted classes count what the log holds."""
    tab.page.wait_for_timeout(300)
    for name, values in (("True class", np.asarray(run.probe.labels)), ("Predicted", run.predictions(epoch).classes)):
        bars = tab.frame.locator(f"[data-testid=distribution][data-name='{name}'] .bar")
        said = bars.evaluate_all("all => all.map(e => e.ariaLabel)")
        counts = {one.split(":")[0]: int(one.split(": ")[1].split()[0]) for one in said}
        expected = {str(key): int(np.sum(values[samples] == key)) for key in np.unique(values)}
        assert counts == expected, name


def _canvas(tab: Tab) -> np.ndarray:
    """(height, width, 4) uint8: what lies under the points."""
    tab.page.wait_for_timeout(400)
    data = tab.at("regions").evaluate("canvas => canvas.toDataURL()")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data.split(",")[1]))).convert("RGBA"))


def _thumbnail(sheet: np.ndarray, probe: Any, sample: int) -> np.ndarray:
    """(height, width): a sample's own picture, without its margin."""
    row, column = divmod(sample, probe.thumbnail_columns)
    side = probe.thumbnail_width
    own = sheet[row * side : (row + 1) * side, column * side : (column + 1) * side]
    margin = side // 12
    return own[margin:-margin, margin:-margin]


def _alike(seen: np.ndarray, own: np.ndarray) -> float:
    """Correlation of two pictures, brought to one size."""
    same = np.asarray(Image.fromarray(own.astype(np.uint8)).resize(seen.shape[::-1], Image.Resampling.BILINEAR), float)
    return float(np.corrcoef(same.ravel(), seen.ravel())[0, 1])
