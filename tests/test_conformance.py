"""What holds for every recorder: those that are there now, and those that will be."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import pkgutil
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import featwatch as fw
import featwatch.recorders
from featwatch import wire
from featwatch.errors import FeatwatchWarning
from featwatch.recorders import default_recorders
from featwatch.recorders.base import AcrossRecorder, ExplainingRecorder, LayerSnapshot, Look, NothingToSay, Recorder
from featwatch.records import Record
from featwatch.schedule import as_schedule
from tests.fits import PROBE, fit
from tests.nets import afresh, sequential

KINDS = [type(recorder) for recorder in default_recorders()]
BASES = {base: [each for each in KINDS if base in each.builds_on] for base in KINDS}


def made(kind: type[Recorder], **options: Any) -> Recorder:
    """A recorder that takes the time it needs, and little of it."""
    return kind(**options, **({"seconds": None, "steps": 2} if kind is fw.FeatureImages else {}))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[str, int]]:
    """How often each recorder was asked for anything: (name, epoch, or −step) -> times."""
    seen: Counter[tuple[str, int]] = Counter()
    for kind in KINDS:
        if issubclass(kind, ExplainingRecorder):

            def explain(self: Any, look: Look, _original: Any = kind.explain) -> Iterator[Any]:
                seen[self.name, look.epoch if look.step < 0 else -look.step] += 1
                yield from _original(self, look)

            monkeypatch.setattr(kind, "explain", explain)
        elif issubclass(kind, AcrossRecorder):

            def across(self: Any, snapshots: list[LayerSnapshot], _original: Any = kind.analyse_layers) -> Any:
                seen[self.name, snapshots[0].epoch if snapshots[0].step < 0 else -snapshots[0].step] += 1
                return _original(self, snapshots)

            monkeypatch.setattr(kind, "analyse_layers", across)
        else:

            def analyse(self: Any, snapshot: LayerSnapshot, _original: Any = kind.analyse) -> Any:
                seen[self.name, snapshot.epoch if snapshot.step < 0 else -snapshot.step] += 1
                return _original(self, snapshot)

            monkeypatch.setattr(kind, "analyse", analyse)
    return seen


def recorded(run: Any, kind: type[Recorder], axis: str = "epochs") -> list[int]:
    return run._axes[axis].positions(kind.produces.kind, "conv" if kind.produces.per_layer else "")


def method_of(kind: type[Recorder]) -> str:
    """The method by which a recorder is asked for its records."""
    return "explain" if kind.explains else "analyse_layers" if kind.across else "analyse"


def test_every_recorder_that_there_is_is_a_default_one_and_has_a_public_name() -> None:
    found = set()
    for module in pkgutil.iter_modules(featwatch.recorders.__path__):
        for value in vars(importlib.import_module(f"featwatch.recorders.{module.name}")).values():
            if isinstance(value, type) and issubclass(value, Recorder):
                found.add(value)
    # Attributions are of filters and samples that the user points at; maximising images take as long again as feature images;
    # images of groups and of clusters take as long as those of as many filters; an outlook is for those who mean to prune.
    optional = {fw.Attributions, fw.MaximisingImages, fw.FactorGroups, fw.ClusterImages, fw.PruningOutlook}
    assert found - {Recorder, AcrossRecorder, ExplainingRecorder} == {*KINDS, *optional}
    assert all(getattr(fw, kind.__name__) is kind for kind in KINDS)
    assert len({kind.name for kind in KINDS}) == len({kind.produces for kind in KINDS}) == len(KINDS)


SCHEDULES = [
    (fw.every(epochs=1), [0, 1, 2, 3, 4, 5]),
    (fw.every(epochs=2), [0, 2, 4, 5]),
    (fw.every(epochs=3), [0, 3, 5]),
    (fw.at(1, 4), [1, 4]),
    (fw.log_spaced(base=2), [0, 1, 2, 4, 5]),
    (lambda epoch: epoch == 3, [3]),
    (fw.every(epochs=100), [0, 5]),
]


@pytest.mark.parametrize("shift", [0, 3])
def test_each_keeps_its_own_schedule_and_makes_no_other_compute(tmp_path: Path, asked: Any, shift: int) -> None:
    expected = {}
    recorders = []
    for index, kind in enumerate(KINDS):
        schedule, epochs = SCHEDULES[(index + shift) % len(SCHEDULES)]
        recorders.append(made(kind, schedule=schedule))
        expected[kind] = set(epochs)
    for base, above in BASES.items():
        expected[base] = expected[base].union(*(expected[kind] for kind in above))
    model = afresh(sequential)
    watch = fw.Watch(tmp_path, PROBE, layers=["conv", "dense"], recorders=recorders, background=False, strict=True, alerts=())
    fit(model, watch, epochs=5)
    run = fw.load(tmp_path)
    for kind in KINDS:
        assert recorded(run, kind) == sorted(expected[kind]), kind.__name__
        assert {epoch for name, epoch in asked if name == kind.name} == expected[kind], kind.__name__
        times = 1 if kind.explains or kind.across else 2      # once per look, or once per layer
        assert {asked[kind.name, epoch] for epoch in expected[kind]} == {times}, kind.__name__

    fit(model, watch, epochs=2)         # a second fit goes on counting
    run = fw.load(tmp_path)
    assert run.epochs[-1] == 7
    for kind in KINDS:
        schedule = as_schedule(next(each.schedule for each in recorders if type(each) is kind))
        if schedule.due(6, 7, True):
            assert recorded(run, kind)[-1] == 7, kind.__name__


def test_each_crosses_its_steps_where_several_run_at_once(tmp_path: Path, asked: Any) -> None:
    model = sequential()
    model.compile("adam", "sparse_categorical_crossentropy", steps_per_execution=3)
    recorders = [made(kind, schedule=fw.every(steps=4)) for kind in KINDS]
    watch = fw.Watch(tmp_path, PROBE, layers="conv", recorders=recorders, background=False, strict=True)
    model.fit(np.resize(PROBE.x, (180, 8, 8, 1)), np.resize(PROBE.y, 180), epochs=2, batch_size=20, verbose=0, callbacks=[watch])
    run = fw.load(tmp_path)         # 9 updates an epoch, 3 at once; 4, 8, 12, 16 are crossed at 6, 9, 12, 18
    for kind in KINDS:
        assert recorded(run, kind, "steps") == [0, 6, 9, 12, 18], kind.__name__
        assert recorded(run, kind) == [], kind.__name__
    assert run.steps == [0, 6, 9, 12, 18] and run.health("conv", step=9).step == 9
    assert {position for _, position in asked} == {0, -6, -9, -12, -18}
    assert run.metrics(step=12)["loss"] > 0


@pytest.fixture(scope="module")
def every_record(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    log_dir = tmp_path_factory.mktemp("every")
    watch = fw.Watch(log_dir, PROBE, recorders=[made(kind) for kind in KINDS], background=False, strict=True)
    fit(afresh(sequential), watch, epochs=1)
    run = fw.load(log_dir)
    index = run._axes["epochs"]
    return [index.read(kind, layer, epoch) for kind, layer in index.series() for epoch in index.positions(kind, layer)]


@pytest.mark.parametrize("kind", KINDS)
def test_its_record_survives_the_wire(every_record: list[Record], kind: type[Recorder]) -> None:
    mine = [record for record in every_record if type(record) is kind.produces]
    # What has no positions has none of these.
    of_maps = kind in (fw.KernelPictures, fw.ActivationMaps, fw.ExemplarMaps, fw.ClassActivation)
    layers = {"conv"} if of_maps else {"conv", "dense", "scores"} if kind.produces.per_layer else {""}
    assert {record.epoch for record in mine} == {0, 1} and {record.layer for record in mine} == layers
    for record in mine:
        again = wire.decode(wire.encode(record))
        for field in dataclasses.fields(record):
            one, other = getattr(record, field.name), getattr(again, field.name)
            if field.name != "layer" and np.asarray(one).dtype.kind == "f":
                assert np.array_equal(one, other, equal_nan=True)
            else:
                assert np.array_equal(one, other)


# So that whoever is in trouble has others beside it that are not, of which none builds on it.
TOPS = [kind for kind in KINDS if not BASES[kind]]
PARTS = [TOPS[0::2], TOPS[1::2], [kind for kind in KINDS if BASES[kind]]]
in_parts = pytest.mark.parametrize("troubled", PARTS, ids=["some", "others", "bases"])


def beside(troubled: list[type[Recorder]]) -> list[type[Recorder]]:
    """Those that are in no trouble, and neither is what they build on."""
    return [kind for kind in KINDS if kind not in troubled and not set(kind.builds_on) & set(troubled)]


def watched(log_dir: Path, kinds: list[type[Recorder]], strict: bool) -> tuple[Any, list[str]]:
    """What was recorded in two epochs, and our warnings."""
    recorders = [made(kind, schedule=fw.every(epochs=1)) for kind in kinds]
    watch = fw.Watch(log_dir, PROBE, layers="conv", recorders=recorders, background=False, strict=strict, alerts=())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(afresh(sequential), watch, epochs=2)
    texts = [str(warning.message) for warning in caught if issubclass(warning.category, FeatwatchWarning)]
    return fw.load(log_dir), [text for text in texts if "will record nothing" not in text]


@in_parts
def test_an_exception_inside_them_costs_one_warning_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, troubled: list[type[Recorder]]
) -> None:
    def fail(*_: Any) -> Any:
        raise ZeroDivisionError("out of luck")

    for kind in troubled:
        monkeypatch.setattr(kind, method_of(kind), fail)
    others = beside(troubled)
    run, warned = watched(tmp_path, [kind for kind in KINDS if kind in (*troubled, *others)], strict=False)
    assert len(warned) == len(troubled) and all("ZeroDivisionError: out of luck" in text for text in warned)
    for kind in troubled:
        assert sum(text.startswith(f"featwatch: {kind.name} failed") for text in warned) == 1, kind.name
        assert recorded(run, kind) == [], kind.name
    assert {kind.name: recorded(run, kind) for kind in others} == {kind.name: [0, 1, 2] for kind in others}
    failed = [entry["recorder"] for entry in run.journal if entry["kind"] == "failed"]
    assert sorted(failed) == sorted(kind.name for kind in troubled)


@in_parts
def test_what_cannot_be_analysed_is_said_and_the_recorders_stay_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, troubled: list[type[Recorder]]
) -> None:
    def unwilling(kind: type[Recorder], original: Any, self: Any, given: Any) -> Any:
        if (given[0] if kind.across else given).epoch != 1:
            return original(self, given)
        if kind.explains:
            return iter([NothingToSay("not today")])
        raise NothingToSay("not today")

    for kind in troubled:
        method = functools.partialmethod(functools.partial(unwilling, kind, getattr(kind, method_of(kind))))
        monkeypatch.setattr(kind, method_of(kind), method)
    others = beside(troubled)
    run, warned = watched(tmp_path, [kind for kind in KINDS if kind in (*troubled, *others)], strict=True)
    assert warned == []
    found = {kind.name: recorded(run, kind) for kind in (*troubled, *others)}
    assert found == {kind.name: [0, 2] if kind in troubled else [0, 1, 2] for kind in (*troubled, *others)}
    for kind in troubled:
        texts = [entry["text"] for entry in run.journal if entry.get("recorder") == kind.name]
        assert texts == [f"{kind.name}: not today"], kind.name


MEMORY = """
import gc
import sys
import os
import keras
import featwatch as fw
from featwatch.recorders import default_recorders
from tests.fits import PROBE, X, Y
from tests.nets import sequential

class Note(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        with open("/proc/self/statm") as file:
            sizes.append(int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
        if epoch in (9, 29):
            gc.collect()
            objects.append(len(gc.get_objects()))

sizes, objects = [], []
few = {fw.FeatureImages: {"steps": 2}}
recorders = [kind(schedule=fw.every(epochs=1), **few.get(kind, {})) for kind in map(type, default_recorders())]
probe = fw.Probe(X[:20], Y[:20])
watch = fw.Watch(sys.argv[1], probe, recorders=recorders, layers="conv", background=False, strict=True)
sequential().fit(X[:32], Y[:32], epochs=30, verbose=0, callbacks=[watch, Note()])
print(objects[1] - objects[0], max(sizes[20:]) - max(sizes[5:15]))
"""


def test_memory_stays_flat_over_epochs(tmp_path: Path) -> None:
    """Not one object more an epoch, and of what is no object, as arrays and graphs, less than 0.3 MB."""
    done = subprocess.run([sys.executable, "-c", MEMORY, str(tmp_path)], capture_output=True, text=True, timeout=1800)
    assert done.stdout, done.stderr[-3000:]
    objects, size = map(int, done.stdout.split())
    assert objects < 20, f"{objects} objects more after 20 epochs"
    assert size < 4 << 20, f"{size / 2**20:.1f} MB in 15 epochs"
