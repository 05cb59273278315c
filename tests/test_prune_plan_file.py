"""Plans as files: written, read, edited by hand, and refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import featwatch as fw
from featwatch.prune.plan_file import KEYS
from featwatch.prune.planned import EDITED, UNPROVEN
from featwatch.prune.savings import Savings
from tests import nets

Plan = fw.prune.Plan


@pytest.fixture(scope="module")
def residual() -> Any:
    return nets.functional()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "plan.json"


def same(one: Any, other: Any) -> bool:
    fields = ("frozen", "savings", "units", "model", "criterion", "along")
    alike = all(getattr(one, name) == getattr(other, name) for name in fields)
    return alike and dict(one.removed) == dict(other.removed) and tuple(one.notes) == tuple(other.notes)


@pytest.mark.parametrize("arguments", [{"units": {"last": [3, 0], "block/inner": [2]}}, {"ratio": 0.5}, {"ratio": 0.0}])
def test_a_plan_comes_back_as_it_was(residual: Any, path: Path, arguments: dict[str, Any]) -> None:
    plan = fw.prune.plan(residual, **arguments)
    plan.save(path)
    assert same(Plan.load(path), plan)
    assert list(path.parent.iterdir()) == [path]        # nothing else is left
    assert max(map(len, path.read_text().splitlines())) < 200
    assert tuple(json.loads(path.read_text())) == KEYS


names = st.text(max_size=12)
units = st.dictionaries(names, st.lists(st.integers(0, 2**20), min_size=1, max_size=6, unique=True).map(sorted), max_size=4)


@settings(max_examples=40, deadline=None)
@given(
    chosen=units, along=units, frozen=st.dictionaries(names, names, max_size=3),
    counts=st.dictionaries(names, st.integers(1, 2**20), max_size=3), notes=st.lists(names, max_size=3), model=names,
    savings=st.tuples(*[st.integers(-1, 2**62)] * 4),
)  # fmt: skip
def test_any_plan_comes_back(
    tmp_path_factory: Any, chosen: Any, along: Any, frozen: Any, counts: Any, notes: Any, model: str, savings: Any
) -> None:
    along = {name: sorted(set(each) - set(chosen.get(name, ()))) for name, each in along.items()}
    along = {name: each for name, each in along.items() if each}
    removed = {name: sorted({*chosen.get(name, ()), *along.get(name, ())}) for name in {**chosen, **along}}
    plan = Plan(removed, frozen, Savings(*savings), counts, model, "l2", tuple(notes), along)
    where = tmp_path_factory.mktemp("plan") / "plan.json"
    plan.save(where)
    assert same(Plan.load(where), plan)


def edited(path: Path, **changes: Any) -> Path:
    entries = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in entries.items() if value is not None}))
    return path


def test_a_unit_that_is_taken_out_by_hand_stays_everywhere(residual: Any, path: Path) -> None:
    fw.prune.plan(residual, units={"stem": [0, 2]}).save(path)
    plan = Plan.load(edited(path, removed={"stem": [2]}, frozen={"lost": "it was there"}))
    assert plan.removed == {"stem": [2]} and EDITED in plan.notes
    assert plan.savings == Savings()                    # of another plan
    whole = plan.fitted(residual)
    assert list(whole.frozen) == ["scores"]
    assert whole.removed == {"stem": [2], "norm": [2], "block/inner": [2]} and EDITED not in whole.notes
    assert whole.savings == fw.prune.plan(residual, units={"stem": [2]}).savings
    assert plan.apply(residual).get_layer("norm").gamma.shape == (3,)


def test_what_a_file_says_once_it_says_once(residual: Any, path: Path) -> None:
    plan = fw.prune.plan(residual, units={"stem": [0, 2], "last": [1]})
    plan.save(path)
    removed = json.loads(path.read_text())["removed"]
    turned = Plan.load(edited(path, removed=dict(reversed(removed.items()))))       # layers in another order are no edit
    assert Plan.load(edited(path, removed={"stem": [2, 0], "last": [1]})).along == plan.along        # nor are units
    assert turned.along == plan.along and EDITED not in turned.notes and turned.savings == plan.savings
    assert Plan.load(edited(path, removed={"stem": [2]}, notes=[EDITED])).notes == (EDITED,)
    assert Plan.load(edited(path, along=None, along_of=None, notes=[UNPROVEN])).notes == (UNPROVEN,)


def test_the_least_that_a_plan_needs(residual: Any, path: Path) -> None:
    path.write_text('{"format": "featwatch pruning plan", "version": 1, "removed": {"last": [5]}}')
    assert Plan.load(path).apply(residual).get_layer("last").filters == 5


def test_what_is_sent_without_marks_counts_as_named(residual: Any, path: Path) -> None:
    """As the page writes it: everything under `removed`."""
    removed = {"stem": [1], "norm": [1], "block/inner": [1]}
    savings = {"parameters_after": 7}
    path.write_text(json.dumps({"format": "featwatch pruning plan", "version": 1, "removed": removed, "savings": savings}))
    plan = Plan.load(path)
    assert plan.savings.parameters_after == 7 and plan.notes == (UNPROVEN,)
    whole = plan.fitted(residual)
    assert whole.removed == removed and not whole.notes and whole.savings.parameters_after > 7


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"remvoed": {}}, "nothing called 'remvoed' in a plan .did you mean 'removed'"),
        ({"format": None}, "is missing"),
        ({"version": 2}, "version 2 is not known; this featwatch reads version 1"),
        ({"version": True}, "version True"),
        ({"removed": None}, "'removed' is missing"),
        ({"removed": [1]}, "an object with layers' names"),
        ({"removed": {"last": 1}}, r"removed\['last'\] is 1: a list"),
        ({"removed": {"last": ["1"]}}, "has '1': a whole number"),
        ({"removed": {"last": [1.0]}}, "has 1.0: a whole number"),
        ({"removed": {"last": [True]}}, "has True"),
        ({"removed": {"last": [-1]}}, "has -1: a whole number of 0 or more"),
        ({"removed": {"last": [10**30]}}, "a whole number"),
        ({"removed": {"last": [2, 2]}}, "unit 2 more than once"),
        ({"units": {"last": 0}}, "a whole number of 1 or more"),
        ({"units": 3}, "an object"),
        ({"frozen": {"scores": 1}}, "a text is expected"),
        ({"savings": {"flops": 1}}, "nothing called 'flops' in savings"),
        ({"notes": "none"}, "a list of texts"),
        ({"model": 3}, "a text"),
        ({"criterion": ["l2"]}, "a text"),
    ],
)  # fmt: skip
def test_files_that_are_no_plan(residual: Any, path: Path, changes: dict[str, Any], said: str) -> None:
    fw.prune.plan(residual, units={"last": [1]}).save(path)
    with pytest.raises(ValueError, match=said) as found:
        Plan.load(edited(path, **changes))
    assert str(path) in str(found.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "cannot be read as a plan"),
        ("nonsense", "cannot be read as a plan"),
        ("[1, 2]", "a JSON object is expected"),
        ('{"format": "x"}', "is no plan"),
        ('{"format": "featwatch pruning plan", "version": 1, "removed": {"a": [NaN]}}', "NaN, which is no number"),
        ('{"format": "featwatch pruning plan", "version": 1, "removed": {"a": [1e999]}}', "not finite"),
        ('{"format": "featwatch pruning plan", "version": 1, "removed": {"a": [1], "a": [2]}}', "has 'a' twice"),
        ("[" * 100_000, "cannot be read as a plan"),
        ('{"format": "featwatch pruning plan", "version": 1, "removed": {"a": ' + "[" * 900 + "]" * 900 + "}}", "a whole number"),
        ('{"format": "featwatch pruning plan", "version": 1, "removed": {"a": [' + "9" * 5000 + "]}}", "cannot be read|whole"),
    ],
)  # fmt: skip
def test_hostile_files(path: Path, text: str, said: str) -> None:
    path.write_text(text)
    with pytest.raises(ValueError, match=said) as found:
        Plan.load(path)
    assert len(str(found.value)) < 600


def test_other_things_that_are_no_file(path: Path) -> None:
    with pytest.raises(ValueError, match="there is no file"):
        Plan.load(path)
    with pytest.raises(ValueError, match="cannot be read"):
        Plan.load(path.parent)
    path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(ValueError, match="cannot be read"):
        Plan.load(path)
    with open(path, "wb") as file:
        file.truncate(65 * 2**20)
    with pytest.raises(ValueError, match="more than any has"):
        Plan.load(path)


def test_there_is_no_folder_to_write_into(residual: Any, path: Path) -> None:
    with pytest.raises(ValueError, match="there is no folder .* to write 'plan.json' into"):
        fw.prune.plan(residual, ratio=0.3).save(path.parent / "no" / "plan.json")


def other_model() -> Any:
    return nets.sequential()


def narrower() -> Any:
    return fw.prune.plan(nets.functional(), units={"last": [0]}).apply(nets.functional())


@pytest.mark.parametrize(
    ("make", "changes", "said"),
    [
        (other_model, {}, "for another model .'residual'.: this one, 'small', has no layer with units called 'stem'"),
        (narrower, {}, "a model in which 'last' has 6 units; here it has 5 .was it pruned already..; make a plan"),
        (nets.functional, {"removed": {"lost": [1]}}, "no layer with units called 'lost' .did you mean 'last'"),
        (nets.functional, {"removed": {"last": [6]}}, r"removed\['last'\]: there is no unit 6; the layer has 6"),
        (nets.functional, {"removed": {"last": [0, 1, 2, 3, 4, 5]}}, "would lose all of its 6 units"),
        (nets.functional, {"removed": {"scores": [0]}}, "cannot go: .*softmax"),
    ],
)  # fmt: skip
def test_plans_that_do_not_fit(residual: Any, path: Path, make: Callable[[], Any], changes: dict[str, Any], said: str) -> None:
    fw.prune.plan(residual, units={"last": [1]}).save(path)
    plan, model = Plan.load(edited(path, **changes)), make()
    before = [value.copy() for value in model.get_weights()]
    for act in (plan.apply, plan.apply_inplace, plan.fitted):
        with pytest.raises(ValueError, match=said):
            act(model)
    assert all(np.array_equal(one, other) for one, other in zip(before, model.get_weights(), strict=True))


def test_applied_in_place_and_anew_it_gives_the_same(residual: Any) -> None:
    x, y = nets.images(16)
    probe = fw.Probe(x, y)
    for arguments in ({}, {"probe": probe}, {"probe": probe, "compensate": False}):
        # Of a clone's nested Sequential there is another graph about, of its first layers only.
        model = nets.functional() if arguments else nets.compiled(keras.models.clone_model(residual))
        model.set_weights(residual.get_weights())
        plan = fw.prune.plan(model, ratio=0.4)
        small = plan.apply(model, **arguments)
        surgery = plan.apply_inplace(model, **arguments)
        np.testing.assert_allclose(small(x), model(x), atol=1e-6)
        surgery.undo()
        np.testing.assert_array_equal(model(x), residual(x))
    with pytest.raises(TypeError, match="probe is a ndarray; make one with"):
        plan.apply(residual, probe=x)


def test_units_that_have_to_stay_for_others_are_said() -> None:
    """Constant ones: where zeros are read around them, one carries all."""
    layers = keras.layers
    model = keras.Sequential([
        keras.Input((5, 5, 1)), layers.Conv2D(4, 3, activation="relu", name="made"), layers.Conv2D(2, 3, padding="same"),
        layers.Flatten(), layers.Dense(2),
    ])  # fmt: skip
    made = model.get_layer("made")
    made.kernel.assign(made.kernel.numpy() * [1, 1, 0, 0])
    made.bias.assign([0.1, 0.1, 0.7, 1.5])
    plan = fw.prune.plan(model, units={"made": [2, 3]})
    x = np.random.default_rng(0).normal(size=(20, 5, 5, 1)).astype(np.float32)
    with pytest.warns(UserWarning, match="1 of the plan's units stays: unit 2 of 'made' stays: it is constant"):
        small = plan.apply(model, fw.Probe(x))
    np.testing.assert_allclose(small(x), model(x), atol=1e-4)
    assert plan.apply(model, fw.Probe(x), compensate=False).get_layer("made").filters == 2
