"""The gallery and a filter's page in a real browser: what is drawn is what was recorded, and what was not is said."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Locator

from featwatch.reader import Run, load
from featwatch.records import ExemplarMaps, FeatureArrangement, FeatureImages, Record
from featwatch.writers import MemoryWriter
from tests.browsers import Tab, chromium, rgba
from tests.synthetic import Story, write_log
from tests.synthetic_features import Features, Telling
from tests.synthetic_features_images import FeaturePictures
from tests.synthetic_filters import Deeds
from tests.tensorboards import tensorboards

pytestmark = pytest.mark.browser

EPOCHS, LAYER = 10, "block1/conv1"
SIZE: dict[str, Any] = {"epochs": EPOCHS, "layers": 3, "samples": 60}
HOSTILE = "<img src=x onerror='window.hacked=1'><script>window.hacked=1</script>"


def pictures() -> FeaturePictures:
    return FeaturePictures(refreshed=16, alerts=2)


@dataclasses.dataclass(frozen=True)
class Spoilt(FeaturePictures):
    """Records that cannot be what they say, each in its own way, and markup wherever there are words."""

    def told(self, story: Any, record: Record) -> Iterator[Record]:
        for made in super().told(story, record):
            if isinstance(made, FeatureImages):
                steps = np.sort(made.snapshot_steps)[::-1]
                nobody = np.full(len(made.filtered_filters), -9)
                made = dataclasses.replace(made, snapshot_steps=steps, filtered_filters=nobody, note=HOSTILE, init=HOSTILE)
            elif isinstance(made, FeatureArrangement):
                made = dataclasses.replace(made, cells=np.zeros(len(made.cells)), note=HOSTILE)
            elif isinstance(made, ExemplarMaps):
                made = dataclasses.replace(made, full_size=(-1, 10**12), low=np.full(len(made.low), np.nan), note=HOSTILE)
            yield made


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Run]]:
    """The address of a TensorBoard over runs of several kinds, and the whole one as the reader reads it."""
    logs, notes = tmp_path_factory.mktemp("logs"), tmp_path_factory.mktemp("notes")
    write_log(logs / "whole", filters=24, features=pictures(), deeds=Deeds(), **SIZE)
    small: dict[str, Any] = {"filters": 6, "layers": 2, "samples": 30}
    write_log(logs / "bare", features=Features(images=False, alerts=0), epochs=1, thumbnails=False, **small)
    write_log(logs / "plain", features=Features(alerts=0), epochs=5, **small)
    write_log(logs / "odd", features=Spoilt(every=1), epochs=2, **small)
    many = FeaturePictures(refreshed=2048, maps=0, exemplars=False, alerts=0, filtered=0, snapshots=())
    write_log(logs / "wide", filters=2048, features=many, epochs=0, layers=1, samples=10, names=("wide",))
    with tensorboards({"one": [f"--logdir={logs}"]}, notes) as boards:
        yield boards["one"].address, load(logs / "whole")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def tab(browser: Browser, shown: tuple[str, Run]) -> Iterator[Tab]:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    yield Tab(context.new_page(), shown[0])
    context.close()


@functools.cache
def told() -> list[Record]:
    """Every record of the run "whole", as it was written: the reader puts earlier images beside those of an epoch."""
    story, kept = Story(filters=24, **SIZE), MemoryWriter()
    writer = Telling(story, Deeds(), Telling(story, pictures(), kept))
    writer.write(story.session(0, 0.0))
    for epoch in range(EPOCHS + 1):
        for record in story.records(epoch):
            writer.write(record)
    return kept.records


def written(kind: type[Record], epoch: int = EPOCHS) -> Any:
    return next(record for record in told() if isinstance(record, kind) and record.layer == LAYER and record.epoch == epoch)


def test_similar_images_are_neighbours_in_the_recorded_grid(tab: Tab, shown: tuple[str, Run]) -> None:
    run = shown[1]
    _choose(tab, "whole", LAYER)
    tab.at("gallery-order").get_by_text("Similarity").click()
    record = run.arrangement(LAYER, EPOCHS)
    drawn = run.feature_images(LAYER, EPOCHS)
    reached = set(drawn.filters[drawn.reached].tolist())
    tab.until(lambda _: "arranged at epoch 10" in tab.at("gallery-summary").inner_text())
    tiles = {int(tile.get_attribute("data-feature")): _place(tile) for tile in tab.frame.locator("[data-feature]").all()}
    places = {int(f): divmod(int(cell), record.columns) for f, cell in zip(record.filters, record.cells, strict=True)}
    cells = {number: place for number, place in places.items() if number in reached}
    assert len(cells) > 12 and set(cells) < set(tiles)
    seen, meant = np.array([tiles[number] for number in cells], float), np.array(list(cells.values()), float)
    seen, meant = seen - seen.min(0), meant - meant.min(0)
    assert (meant.max(0) >= 3).all()                            # a grid of two directions
    np.testing.assert_allclose(seen, meant * seen.max(0) / meant.max(0), atol=1)
    lowest = max(tiles[f][0] for f in cells)
    assert all(tiles[f][0] > lowest for f in set(tiles) - set(cells))           # who has no place stands below
    assert "without a place" in tab.at("gallery").inner_text()
    assert tab.errors == []


def test_filtered_images_are_shown_of_those_that_have_one(tab: Tab) -> None:
    _choose(tab, "whole", LAYER)
    tab.at("gallery-pictured").get_by_text("Filtered").click()
    newest: dict[int, tuple[np.ndarray, float]] = {}
    for epoch in (0, 5, 10):
        record = written(FeatureImages, epoch)
        pairs = zip(record.filtered_pixels, record.preserved, strict=True)
        newest |= {int(f): (p, float(kept)) for f, (p, kept) in zip(record.filtered_filters, pairs, strict=True)}
    tab.until(lambda _: f"Filtered images of {len(newest)} of 24 filters" in tab.at("gallery-summary").inner_text())
    tiles = tab.frame.locator("[data-feature]")
    assert sorted(int(tile.get_attribute("data-feature")) for tile in tiles.all()) == sorted(newest)
    for number, (pixels, _) in newest.items():
        np.testing.assert_array_equal(rgba(tab.frame.locator(f"[data-feature='{number}'] canvas"))[..., :1], pixels)
    tab.at("gallery-order").get_by_text("Preserved").click()
    order = [int(tile.get_attribute("data-feature")) for tile in tiles.all()]
    assert order == sorted(newest, key=lambda number: -newest[number][1])
    assert tab.errors == []


def test_a_filters_page_shows_its_ascent_its_filtering_and_its_development(tab: Tab) -> None:
    record = written(FeatureImages)
    row = next(r for r, f in enumerate(record.filters) if f in record.filtered_filters and record.stopped[r] == record.steps)
    at = int(np.flatnonzero(record.filtered_filters == record.filters[row])[0])
    _choose(tab, "whole", LAYER)
    tab.frame.locator(f"[data-feature='{record.filters[row]}']").click()
    tab.at("filtered").wait_for()
    taken = tab.at("ascent").locator("canvas")
    assert taken.count() == len(record.snapshot_steps) + 1
    for i, canvas in enumerate(taken.all()):
        expected = record.pixels[row] if i == len(record.snapshot_steps) else record.snapshot_pixels[row, i]
        np.testing.assert_array_equal(rgba(canvas)[..., :1], expected)
    assert tab.at("ascent").inner_text().split() == ["1", "→", "8", "→", "32", "→", "64"]
    before, after = (rgba(canvas)[..., :1] for canvas in tab.at("filtered").locator("canvas").all())
    np.testing.assert_array_equal(before, record.whole_pixels[at])
    np.testing.assert_array_equal(after, record.filtered_pixels[at])
    assert f"{100 * record.preserved[at]:.0f} %" in tab.at("filtered").inner_text()

    curve = tab.at("class-curves")
    curve.wait_for()
    strip = tab.at("development").get_by_role("button")
    tab.until(lambda _: strip.count() > 1)
    strip.first.click()
    tab.until(lambda s: s["epoch"] < EPOCHS)
    assert tab.at("filter-page").get_attribute("data-filter") == str(record.filters[row])
    assert tab.errors == []


def test_an_ascent_that_ended_early_says_so(tab: Tab) -> None:
    record = written(FeatureImages)
    row = next(r for r in range(len(record.filters)) if record.stopped[r] < record.steps and record.reached[r])
    _choose(tab, "whole", LAYER)
    tab.frame.locator(f"[data-feature='{record.filters[row]}']").click()
    tab.at("ascent").wait_for()
    assert tab.at("ascent").inner_text().split()[-1] == "24" and tab.at("ascent").locator("canvas").count() == 3
    assert "stopped after 24 of 64 steps" in tab.at("feature-image").inner_text()


def test_maps_lie_over_the_exemplars_where_they_belong(tab: Tab, shown: tuple[str, Run]) -> None:
    run = shown[1]
    maps, exemplars = written(ExemplarMaps), run.exemplars(LAYER, EPOCHS)
    chosen = int(run.feature_images(LAYER, EPOCHS).filters[0])
    _choose(tab, "whole", LAYER)
    tab.frame.locator(f"[data-feature='{chosen}']").click()
    cards = tab.at("exemplar")
    cards.locator("[data-heat]").first.wait_for()
    mapped = [card.locator("[data-heat]").count() for card in cards.all()]
    assert mapped == [1, 1, 1] + [0] * (len(mapped) - 3)        # over the sample; the part of it that is enlarged has its colours
    for rank in range(3):
        card = cards.nth(rank)
        sample = int(card.get_attribute("data-sample"))
        assert sample == exemplars.samples[chosen, rank] == maps.samples[chosen, rank]
        heat = rgba(card.locator("[data-heat]").first)
        assert heat.shape[:2] == maps.pixels.shape[2:]
        peak = np.unravel_index(heat[..., 3].argmax(), heat.shape[:2])          # the most opaque
        assert maps.pixels[chosen, rank][peak] == maps.pixels[chosen, rank].max()
        # On the screen the peak lies in the red frame: map and frame come from different arrays.
        box, frame = card.locator("[data-heat]").first.bounding_box(), card.locator("i").first.bounding_box()
        assert box is not None and frame is not None
        x = box["x"] + (peak[1] + 0.5) / heat.shape[1] * box["width"]
        y = box["y"] + (peak[0] + 0.5) / heat.shape[0] * box["height"]
        assert frame["x"] - 2 <= x <= frame["x"] + frame["width"] + 2 and frame["y"] - 2 <= y <= frame["y"] + frame["height"] + 2
    assert "averaged over squares of positions" in tab.at("maps-about").inner_text()
    tab.at("overlay").get_by_text("Plain").click()
    assert tab.frame.locator("[data-heat]").count() == 0
    assert tab.errors == []


def test_a_filters_page_is_there_after_a_reload_and_follows_what_is_selected(tab: Tab, shown: tuple[str, Run]) -> None:
    chosen = int(shown[1].feature_images(LAYER, EPOCHS).filters[3])
    _choose(tab, "whole", LAYER)
    tab.frame.locator(f"[data-feature='{chosen}']").click()
    tab.at("filter-page").wait_for()
    tab.page.reload()
    tab.until(lambda s: s["run"] == "whole/featwatch" and s["layer"] == LAYER)
    tab.frame.locator(f"[data-testid=filter-page][data-filter='{chosen}']").wait_for()
    tab.frame.locator(f"[data-testid=filter-card][data-filter='{chosen}']").wait_for()
    tab.at("tab-filters").click()
    tab.at("tab-features").click()
    tab.at("filter-page").wait_for()
    tab.at("features-images").click()
    tab.at("filter-page").wait_for(state="detached")
    # The gallery goes on from the tile that was opened.
    tab.frame.locator(f"[data-testid=gallery] [data-feature='{chosen}'][aria-pressed=true]:focus").wait_for()
    assert tab.errors == []


def test_playing_takes_the_gallery_along_and_images_say_from_when_they_are(tab: Tab, shown: tuple[str, Run]) -> None:
    _choose(tab, "whole", LAYER)
    tab.page.keyboard.press("Home")
    tab.until(lambda s: s["epoch"] == 0)
    tiles = tab.frame.locator("[data-feature]")
    tab.until(lambda _: tiles.count() == 16)
    tab.at("play").click()
    tab.until(lambda s: s["epoch"] == EPOCHS)
    tab.until(lambda _: tiles.count() == len(shown[1].feature_images(LAYER, EPOCHS).filters))
    drawn = shown[1].feature_images(LAYER, EPOCHS)
    health = shown[1].health(LAYER, EPOCHS)
    for number, refreshed in zip(drawn.filters, drawn.refreshed, strict=True):
        said = tab.frame.locator(f"[data-feature='{number}']").inner_text()
        if health.dead[number]:
            assert "dead" in said
        elif refreshed < EPOCHS and drawn.reached[list(drawn.filters).index(number)]:
            assert f"epoch {refreshed}" in said
    assert tab.errors == []


def test_thousands_of_filters_are_few_tiles(tab: Tab) -> None:
    _choose(tab, "wide", "wide")
    tiles = tab.frame.locator("[data-feature]")
    tiles.first.wait_for()
    assert "2,048 filters" in tab.at("gallery-summary").inner_text() and tiles.count() < 200
    tab.at("gallery-size").get_by_text("S", exact=True).click()
    tab.at("gallery-order").get_by_text("Similarity").click()
    tab.until(lambda _: "arranged" in tab.at("gallery-summary").inner_text())
    assert int(tab.at("gallery").get_attribute("data-columns")) > 40 and 100 < tiles.count() < 1000
    tab.at("gallery").evaluate("e => { e.scrollTop = 1e6; e.scrollLeft = 1e6; }")
    tab.page.wait_for_timeout(300)
    assert 0 < tiles.count() < 1000
    tiles.last.click()
    tab.at("filter-page").wait_for()
    assert tab.at("filter-strip").locator("[data-feature]").count() < 60
    assert tab.errors == []


def test_what_was_not_recorded_is_said_piece_by_piece(tab: Tab) -> None:
    _choose(tab, "bare", "block1/conv1")
    assert tab.at("features-exemplars").get_attribute("aria-selected") == "true"        # what is there comes first
    tab.frame.locator("[data-feature]").first.click()
    page = tab.at("filter-page")
    page.wait_for()
    said = page.inner_text()
    assert "No feature images were recorded" in said and "No means by class were recorded" in said
    assert "no pictures of them were kept" in said
    tab.page.keyboard.press("Escape")
    _choose(tab, "plain", "block1/conv1")
    tab.at("features-images").click()
    assert tab.at("gallery-pictured").count() == 0              # nothing is offered that is not there
    tab.at("gallery-order").get_by_text("Similarity").click()
    tab.until(lambda _: "most alike" in tab.at("gallery-summary").inner_text())
    tab.frame.locator("[data-feature]:not(:has(.hollow))").first.click()
    said = tab.at("feature-image").inner_text()
    assert "No snapshots of the ascent" in said and "No filtered images" in said
    assert "No maps of them were recorded" in tab.at("filter-page").inner_text()
    assert tab.errors == []


def test_records_that_cannot_be_so_are_left_out_and_markup_is_text(tab: Tab) -> None:
    _choose(tab, "odd", "block1/conv1")
    tab.at("gallery-order").get_by_text("Similarity").click()
    tab.until(lambda _: "the arrangement cannot be read" in tab.at("gallery-summary").inner_text())
    assert tab.at("gallery-pictured").count() == 0
    tab.frame.locator("[data-feature]:not(:has(.hollow))").first.click()
    page = tab.at("filter-page")
    page.wait_for()
    tab.at("exemplar").first.wait_for()
    tab.page.wait_for_timeout(500)
    assert HOSTILE in tab.at("feature-image").inner_text()
    assert tab.at("ascent").count() == 0 and tab.at("filtered").count() == 0
    assert HOSTILE in tab.at("maps-about").inner_text()
    tab.dark(True)
    assert tab.frame.evaluate("() => window.hacked ?? window.parent.hacked ?? null") is None
    assert tab.frame.locator("img[src=x]").count() == 0
    assert tab.errors == []


def _place(tile: Locator) -> tuple[int, int]:
    """Where a tile stands, in whole pixels: from the top, from the left."""
    box = tile.bounding_box()
    assert box is not None
    return round(box["y"]), round(box["x"])


def _choose(tab: Tab, run: str, layer: str) -> None:
    tab.until(lambda s: s["run"])
    tab.at("run-picker").select_option(f"{run}/featwatch")
    tab.until(lambda s: s["run"] == f"{run}/featwatch" and s["newest"] is not None)
    tab.at(f"layer-row-{layer}").click()
    tab.at("tab-features").click()
    tab.frame.locator("[data-feature]").first.wait_for()
