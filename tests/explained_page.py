"""What tests of the pages about explained filters share: a run that was made up, its records, and how to open and read a view."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from featwatch.records import Record
from featwatch.writers import MemoryWriter
from tests.browsers import Tab
from tests.synthetic import Story
from tests.synthetic_explained import Explained
from tests.synthetic_features import Telling

NAMES, LAYER, DENSE, EPOCH = ("first", "second", "hidden", "scores"), "second", "hidden", 4
EXPLAINED = Explained(every=EPOCH)
Opening = Callable[..., Tab]
R = TypeVar("R", bound=Record)


def everything() -> list[Record]:
    """Every record of a run that has all of them."""
    story, kept = Story(layers=4, epochs=EPOCH, samples=60, filters=16, names=NAMES), MemoryWriter()
    writer = Telling(story, EXPLAINED, kept)
    for record in (story.session(0, 0.0), story.probe(0), *(one for epoch in range(EPOCH + 1) for one in story.records(epoch))):
        writer.write(record)
    return kept.records


def recorded(told: list[Record], kind: type[R], layer: str = LAYER) -> R:
    return next(one for one in told if isinstance(one, kind) and one.layer == layer and one.epoch == EPOCH)


def opened_at(tab: Tab, view: str, layer: str = LAYER, run: str = "whole") -> Tab:
    """The page with one of the views of what filters look for, at the last epoch."""
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
