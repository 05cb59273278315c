"""The stage Prune in a real browser: what is drawn and said was recorded, and the plan that it gives applies to the model."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser

from featwatch.prune import Plan
from featwatch.records import Journal, ModelSize, Pruning, PruningOutlook, Record
from featwatch.writers import EventFileWriter
from tests.browsers import Tab, chromium
from tests.synthetic import Story, write_log
from tests.synthetic_pruning import Net, Prunings, hostile, unreadable
from tests.tensorboards import tensorboards
from tests.test_numbering import LAYER, WHO, numbered_records, values

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror='window.hacked=1'><script>window.hacked=1</script>"
SIZE: Any = {"width": 1440, "height": 1000}
NAMES = ("first", "second", "third", "hidden", "scores")
EPOCHS = 14
SMALL: dict[str, Any] = {"samples": 40, "filters": 16}
TOLD = Prunings(pruned=(3, 5), undone=(8,), proposed=(2,), refused=(11,), every=5)
REASON = "LayerNormalization couples all channels."
REFUSAL = "there is no outlook on pruning: the model is subclassed; build it with keras.Model(inputs, outputs)"
LAST = 10               # the epoch of the newest outlook


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    logs = tmp_path_factory.mktemp("logs")
    write_log(logs / "whole", layers=5, epochs=EPOCHS, names=NAMES, prunings=TOLD, **SMALL)
    alone = ("outlook",)
    unlabelled = Prunings(labelled=False, drawn=False, recorded=alone)
    write_log(logs / "unlabelled", layers=3, epochs=5, labelled=False, prunings=unlabelled, **SMALL)
    write_log(logs / "frozen", layers=3, epochs=5, prunings=Prunings(frozen=REASON, recorded=alone), **SMALL)
    write_log(logs / "bare", layers=3, epochs=3, **SMALL)
    write_log(logs / "single", layers=3, epochs=3, prunings=Prunings(ratios=(0, 0.5), measured=False, recorded=alone), **SMALL)
    write_log(logs / "deep", layers=2, epochs=5, prunings=Prunings(deep=50, pruned=(2,), undone=(), refused=()), **SMALL)
    resized = EventFileWriter(logs / "resized", 0)
    for record in sorted(numbered_records(), key=lambda one: one.epoch):
        resized.write(record)
    resized.close()
    refused = Journal(epoch=0, entries=({"kind": "note", "epoch": 0, "recorder": "pruning_outlook", "text": REFUSAL},))
    for name, records in (("hostile", list(hostile(HOSTILE, 2))), ("empty", [unreadable(2)]), ("subclassed", [refused])):
        story = Story(layers=2, epochs=2, samples=20, filters=8)
        writer = EventFileWriter(logs / name, 0)
        session = dataclasses.replace(story.session(0, 0.0), recorders={"pruning_outlook": {}})
        usual = (one for epoch in range(3) for one in story.records(epoch))
        for record in (session, story.probe(0), *usual, *records):
            writer.write(record)
        writer.close()
    return logs


@pytest.fixture(scope="module")
def told() -> list[Record]:
    """What was recorded of pruning in the run "whole"."""
    story = Story(layers=5, epochs=EPOCHS, names=NAMES, **SMALL)
    net = Net(TOLD.parts(story), TOLD.seed)
    history = TOLD.history(net, EPOCHS)
    return [one for epoch in range(EPOCHS + 1) for one in TOLD.of_epoch(net, history, epoch, story.progress(epoch))]


@pytest.fixture(scope="module")
def outlook(told: list[Record]) -> PruningOutlook:
    return next(one for one in told if isinstance(one, PruningOutlook) and one.epoch == LAST)


@pytest.fixture(scope="module")
def address(logs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with tensorboards({"one": [f"--logdir={logs}"]}, tmp_path_factory.mktemp("notes")) as boards:
        yield boards["one"].address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def shared(browser: Browser, address: str) -> Iterator[Tab]:
    context = browser.new_context(viewport=SIZE, permissions=["clipboard-read", "clipboard-write"])
    yield Tab(context.new_page(), address)
    context.close()


@pytest.fixture
def tab(shared: Tab) -> Iterator[Tab]:
    """The stage of the run "whole" at the newest epoch, half of the units chosen."""
    show(shared, "whole")
    shared.page.keyboard.press("l")
    shared.frame.locator('[data-testid="outlook"]').wait_for()
    shared.until(lambda s: s["epoch"] == EPOCHS)
    at_share(shared, 0)
    yield shared
    assert shared.errors == []


def show(tab: Tab, run: str) -> None:
    tab.until(lambda s: s["run"])
    picker = tab.at("run-picker")
    value = picker.evaluate("(e, part) => [...e.options].find(o => o.value.startsWith(part)).value", run)
    if tab.state()["run"] != value:
        picker.select_option(value)
    tab.until(lambda s: s["run"] == value and s["newest"] is not None)
    tab.at("tab-prune").click()
    tab.page.wait_for_timeout(300)


def at_share(tab: Tab, steps: int) -> None:
    """The playhead of the shares so many steps from the left end."""
    tab.at("tradeoff").focus()
    tab.page.keyboard.press("Home")
    for _ in range(steps):
        tab.page.keyboard.press("ArrowRight")
    tab.page.wait_for_timeout(100)


def go(tab: Tab, epoch: int) -> None:
    """The playhead at an epoch."""
    tab.frame.locator('[data-testid="timeline"]').focus()
    tab.page.keyboard.press("Home")
    for _ in range(epoch):
        tab.page.keyboard.press("ArrowRight")
    tab.until(lambda s: s["epoch"] == epoch)
    tab.page.wait_for_timeout(300)


def bars(tab: Tab, attribute: str) -> dict[str, int]:
    return dict(tab.at("skyline").evaluate(
        "(e, name) => [...e.querySelectorAll('[data-layer]')].map(g => [g.dataset.layer, Number(g.dataset[name])])", attribute
    ))  # fmt: skip


def fact(tab: Tab, name: str) -> str:
    return tab.at("prune-facts").locator(f'[data-fact="{name}"]').inner_text()


def test_bars_are_the_layers_that_make_units_as_recorded(tab: Tab, outlook: PruningOutlook, told: list[Record]) -> None:
    first = next(one for one in told if isinstance(one, PruningOutlook))
    own = {str(name): i for i, name in enumerate(outlook.layers) if outlook.mixes[i]}
    for at in (0, 6, 12):
        at_share(tab, at)
        assert bars(tab, "going") == {name: outlook.going[at, i] for name, i in own.items()}
    assert bars(tab, "units") == {name: outlook.units[i] for name, i in own.items()}
    assert bars(tab, "original") == {name: first.units[i] for name, i in own.items()}
    assert any(first.units[i] > outlook.units[i] for i in own.values())


def test_lengths_are_in_proportion(tab: Tab, outlook: PruningOutlook) -> None:
    at_share(tab, 10)
    assert tab.at("skyline").get_attribute("data-square") == "false"
    tall = tab.at("skyline").evaluate("""e => {
      const height = (g, name) => g.querySelector('.' + name)?.getBBox().height ?? 0;
      const heights = g => Object.fromEntries(['kept', 'goes', 'fixed'].map(name => [name, height(g, name)]));
      return Object.fromEntries([...e.querySelectorAll('[data-layer]')].map(g => [g.dataset.layer, heights(g)]));
    }""")
    index = list(outlook.layers).index
    unit = tall["third"]["kept"] / (outlook.units[index("third")] - outlook.going[10, index("third")])
    for name in NAMES[:-1]:
        i = index(name)
        assert tall[name]["goes"] == pytest.approx(unit * outlook.going[10, i], abs=0.2)
        assert tall[name]["fixed"] == pytest.approx(unit * outlook.fixed[i], abs=0.2)
    assert tall["scores"]["fixed"] == pytest.approx(10 * unit, abs=0.2) and not tall["scores"]["kept"]


def test_the_share_is_chosen_by_keys_and_pointer_and_the_numbers_follow(tab: Tab, outlook: PruningOutlook) -> None:
    at_share(tab, 8)
    slider = tab.at("tradeoff")
    assert slider.get_attribute("aria-valuetext") == "40 %"
    assert fact(tab, "parameters").startswith(f"−{100 * (1 - outlook.parameters[8] / outlook.parameters[0]):.0f} %")
    assert fact(tab, "accuracy").startswith(f"{100 * outlook.accuracy[8]:.1f} %")
    assert fact(tab, "units").startswith(str(int(outlook.going[8][outlook.mixes].sum())))
    assert tab.state()["epoch"] == EPOCHS                                               # these keys are the slider's own
    box = slider.bounding_box()
    x = lambda share: box["x"] + 40 + share / 0.9 * (box["width"] - 168 - 40)           # noqa: E731
    tab.page.mouse.move(x(0.4), box["y"] + 60)
    tab.page.mouse.down()
    tab.page.mouse.move(x(0.71), box["y"] + 60)
    tab.page.mouse.up()
    assert slider.get_attribute("aria-valuetext") == "70 %"
    tab.page.mouse.move(5, 5)


def test_what_goes_at_random_is_drawn_beside_it_where_it_was_measured(tab: Tab, shared: Tab, outlook: PruningOutlook) -> None:
    for at in (4, 12):
        at_share(tab, at)
        label = tab.at("line-random").locator("text").text_content()
        assert label.startswith(f"at random {100 * outlook.random_accuracy[at]:.1f} %")
    assert tab.at("no-better").count() == 0
    # Both lines are drawn on one scale: where two values of both are known, two places of both are.
    places = [
        tab.at(f"line-{name}").locator(".here").evaluate("e => Number(e.getAttribute('cy'))") for name in ("accuracy", "random")
    ]
    values = outlook.accuracy[12], outlook.random_accuracy[12]
    at_share(tab, 2)
    other = tab.at("line-accuracy").locator(".here").evaluate("e => Number(e.getAttribute('cy'))")
    pixels = (places[0] - other) / (values[0] - outlook.accuracy[2])
    assert places[1] - places[0] == pytest.approx(pixels * (values[1] - values[0]), abs=0.1)
    show(shared, "unlabelled")
    assert shared.at("line-accuracy").count() == 1 and shared.at("line-random").count() == 0


def test_layers_that_lose_units_together_are_joined_and_named(shared: Tab) -> None:
    show(shared, "deep")
    shared.at("skyline").locator('[data-layer="block2_3_conv"] .target').click(position={"x": 1, "y": 150})
    shared.page.mouse.move(5, 5)
    stage = [f"block{block}_3_conv" for block in range(1, 14)]
    assert shared.at("joined").get_attribute("data-layers") == " ".join(stage)
    said = shared.at("prune-layer").inner_text()
    assert "together with block1_3_conv, block3_3_conv, block4_3_conv, block5_3_conv and 8 more" in said
    assert "along with them: block1_3_bn, block2_3_bn" in said
    shared.at("skyline").locator('[data-layer="block2_2_conv"] .target').click(position={"x": 1, "y": 150})
    shared.page.mouse.move(5, 5)
    assert shared.at("joined").count() == 0 and shared.at("prune-tied").count() == 0
    assert "along with them: block2_2_bn" in shared.at("prune-layer").inner_text()


def test_filters_are_followed_through_what_was_pruned(shared: Tab) -> None:
    """The same filter, whatever its number; where it is not, nothing is said of it."""
    show(shared, "resized")
    shared.at("tab-filters").click()
    shared.at("filters-development").click()
    go(shared, 0)
    shared.at("pruned-here").first.wait_for()
    assert shared.at("pruned-here").count() == 5
    shared.at("development-rows").click(position={"x": 20, "y": 5.5 * 20})     # number 5 of eight, in rows of 20 pixels
    for epoch, who in WHO.items():
        go(shared, epoch)
        shared.page.mouse.move(5, 5)
        if 5 not in who:
            assert shared.at("filter-card").count() == 0
            continue
        card = shared.at("filter-card")
        card.wait_for()
        assert card.get_attribute("data-filter") == str(who.index(5))
        energy = f"{values(epoch)[who.index(5)]:.0f}"
        card.get_by_text(energy, exact=True).wait_for()
        assert ("number 5 before pruning" in card.inner_text()) == (who.index(5) != 5)
    go(shared, 2)
    said = shared.at(f"layer-row-{LAYER}").inner_text()
    assert "8×8×8" in said and "dead 4/8" in said


def test_it_begins_with_what_hardly_costs_anything(tab: Tab, outlook: PruningOutlook) -> None:
    loss = outlook.accuracy[0] - outlook.accuracy
    safe = int(np.argmax(loss > 0.01)) - 1
    assert safe > 0
    assert f"Up to {100 * outlook.ratios[safe]:.0f} % can go" in tab.at("verdict").inner_text()


def test_a_click_on_a_bar_chooses_the_layer_everywhere(tab: Tab) -> None:
    at_share(tab, 10)
    tab.at("skyline").locator('[data-layer="second"] .target').click()
    tab.until(lambda s: s["layer"] == "second")
    said = tab.at("prune-layer").inner_text()
    assert "second" in said and "4 cannot go" in said and "second_bn" in said
    tab.at("layer-row-scores").click()
    tab.page.mouse.move(5, 5)
    tab.page.wait_for_timeout(100)
    assert "none can go: It gives what the model gives" in tab.at("prune-layer").inner_text()


def test_the_outlook_follows_the_playhead(tab: Tab) -> None:
    tab.frame.locator('[data-testid="timeline"]').focus()
    tab.page.keyboard.press("Home")
    tab.until(lambda s: s["epoch"] == 0)
    tab.frame.locator('[data-testid="outlook"][data-epoch="0"]').wait_for()
    assert bars(tab, "units") == bars(tab, "original")
    for _ in range(7):
        tab.page.keyboard.press("ArrowRight")
    tab.frame.locator('[data-testid="outlook"][data-epoch="5"]').wait_for()
    assert "as of epoch 5, before its step" in tab.at("outlook").inner_text()           # the watch records before units go
    at_share(tab, 4)
    assert "for the model of epoch 5, before its step" in tab.at("prune-text").inner_text()


def test_every_step_is_marked_and_told(tab: Tab, told: list[Record]) -> None:
    steps = [one for one in told if isinstance(one, Pruning)]
    marks = tab.at("prune-history").locator('[data-testid="step-mark"]')
    assert [marks.nth(i).get_attribute("data-action") for i in range(marks.count())] == [one.action for one in steps]
    rows = tab.at("step-row")
    assert [rows.nth(i).get_attribute("data-action") for i in range(rows.count())] == [one.action for one in reversed(steps)]
    texts = [rows.nth(i).inner_text() for i in range(rows.count())]
    for step, text in zip(reversed(steps), texts, strict=True):
        assert step.reason in text
        if step.units_after >= 0:
            assert f"{step.units_before} → {step.units_after}" in text
    taken = next(text for step, text in zip(reversed(steps), texts, strict=True) if step.epoch == 5)
    assert "Undone at epoch 8." in taken
    line = tab.frame.locator('[data-testid="timeline-step"]')
    assert [line.nth(i).get_attribute("data-action") for i in range(line.count())] == ["pruned", "pruned", "undone"]


def test_sizes_over_epochs_are_those_recorded(tab: Tab, told: list[Record]) -> None:
    sizes = [one for one in told if isinstance(one, ModelSize)]
    values = tab.at("history-value").all_text_contents()
    assert any(f"{100 * (1 - sizes[-1].parameters / sizes[0].parameters):.0f} %" in value for value in values)
    tab.at("step-row").last.click()
    tab.until(lambda s: s["epoch"] == 2)
    tab.page.keyboard.press("l")


def test_the_plan_is_read_by_featwatch_and_applies(tab: Tab, outlook: PruningOutlook, tmp_path: Path) -> None:
    import keras

    at_share(tab, 8)
    tab.at("prune-takes").locator('[data-value="plan"]').click()
    at_share(tab, 8)                                                                    # past nothing: the choice stays
    tab.at("prune-text-copy").click()
    tab.page.wait_for_timeout(200)
    text = tab.frame.evaluate("navigator.clipboard.readText()")
    assert tab.at("prune-text-copy").inner_text() == "Copied"
    path = tmp_path / "plan.json"
    path.write_text(text, encoding="utf-8")
    plan = Plan.load(path)
    units = dict(zip(map(str, outlook.layers), map(int, outlook.units), strict=True))
    inner = keras.Input((28, 28, 1))
    x = inner
    for name in NAMES[:3]:
        x = keras.layers.Conv2D(units[name], 3, padding="same", name=name)(x)
        x = keras.layers.ReLU()(keras.layers.BatchNormalization(name=f"{name}_bn")(x))
    x = keras.layers.Dense(units["hidden"], activation="relu", name="hidden")(keras.layers.GlobalAveragePooling2D()(x))
    model = keras.Model(inner, keras.layers.Dense(units["scores"], name="scores")(x), name="synthetic_cnn")
    small = plan.apply(model)
    for i, name in enumerate(map(str, outlook.layers)):
        layer = small.get_layer(name)
        assert layer.get_weights()[-1].shape[-1] == outlook.units[i] - outlook.going[8, i], name
    assert plan.savings.parameters_after == round(outlook.parameters[8])
    tab.at("prune-takes").locator('[data-value="python"]').click()
    assert 'fw.prune.Plan.load("plan.json")' in tab.at("prune-text").inner_text()


def test_without_labels_it_says_how_much_the_outputs_change(shared: Tab) -> None:
    show(shared, "unlabelled")
    assert "no labels" in shared.at("no-accuracy").inner_text()
    assert "change of the outputs" in fact(shared, "change")
    assert shared.at("step-table").count() == 0


def test_where_nothing_can_go_the_reason_is_a_click_away(shared: Tab) -> None:
    show(shared, "frozen")
    assert "No unit of this model can go" in shared.at("all-frozen").inner_text()
    assert shared.at("tradeoff").count() == 0 and shared.at("prune-take").count() == 0
    shared.at("skyline").locator("[data-layer] .target").first.click()
    assert REASON in shared.at("prune-layer").inner_text()


def test_where_nothing_was_recorded_it_says_how(shared: Tab) -> None:
    show(shared, "bare")
    assert "fw.PruningOutlook()" in shared.at("outlook-code").inner_text()
    assert "fw.AutoPrune(watch)" in shared.at("outlook-code").inner_text()


def test_a_model_that_nothing_can_be_said_of_is_told_why(shared: Tab) -> None:
    show(shared, "subclassed")
    assert REFUSAL[1:] + "." in shared.at("why-absent").inner_text()
    assert shared.at("outlook-code").count() == 0


def test_one_share_and_nothing_measured(shared: Tab) -> None:
    show(shared, "single")
    assert "not measured" in shared.at("not-measured").inner_text()
    assert "One share was looked at" in shared.at("outlook").inner_text()


def test_three_hundred_layers_have_a_bar_each_and_are_reached(shared: Tab) -> None:
    show(shared, "deep")
    assert len(bars(shared, "going")) == 152
    shared.at("skyline").locator('[data-layer="predictions"] .target').click()
    assert "1,000 units" in shared.at("prune-layer").inner_text()
    width = shared.at("skyline").bounding_box()["width"]
    drawn = shared.at("skyline").locator("svg").nth(1).bounding_box()["width"]
    assert drawn <= width


def test_what_makes_no_sense_is_shown_as_text_and_harms_nothing(shared: Tab) -> None:
    show(shared, "hostile")
    shared.at("prune-steps").wait_for()
    assert HOSTILE in shared.at("step-row").first.inner_text()
    assert shared.frame.evaluate("() => window.hacked") is None
    assert shared.at("no-plan").count() == 1 or shared.at("prune-take").count() == 0
    for word in ("NaN", "Infinity", "undefined"):
        assert word not in shared.at("prune").inner_text()
    show(shared, "empty")
    assert "it names no layers" in shared.at("outlook-damaged").inner_text()
    assert shared.errors == []
