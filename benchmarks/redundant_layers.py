"""How well layers that add nothing are found: the alert, on trainings with such layers planted and without (benchmark B7).

    python -m benchmarks.redundant_layers               # a quarter of the trainings
    python -m benchmarks.redundant_layers --full        # all of them
    python -m benchmarks.redundant_layers --chosen      # those on which the margins were chosen, instead

The margins of `featwatch.alerts.thresholds` were chosen on other nets, other samples and other seeds than those
which judge them here; one of the five data sets the choice never saw.  A layer is named when an alert is raised for
it at any epoch.  Writes benchmarks/results/redundant-layers.json (-short or -chosen of the other runs) and prints
tables.  A sweep over the similarity that is asked for shows what another choice would have given.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import math
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.cost import RESULTS, _machine
from benchmarks.planted_layers import DATA, NETS, PLANTS, Training, compiled, samples_of

EPOCHS = 16
SWEEP = (0.9, 0.95, 0.98, 0.985, 0.99, 0.995, 0.998)
JUDGED_ON = ("conv 20 . 40 ., dense 80", "conv 10 10 . 20 20, mean", "dense 150 75", "dense 80 80 80, elu", "dense 8 × 48")
NEVER_SEEN = "gratings"                         # the data set on which nothing was chosen


@dataclass
class Measured:
    """One training: its layers in order, which add nothing, and the first epoch at which each was named."""

    training: Training
    layers: list[str]
    planted: list[str]
    accuracy: float                             # of the model, on the probe, at the end
    named: dict[str, int]
    steps: dict[str, list[float]] = field(default_factory=dict)     # CKA and gains at the end, by layer
    swept: dict[float, list[str]] = field(default_factory=dict)     # what would be named with another CKA

    @property
    def beside(self) -> list[str]:
        """Layers of which it is not known whether they add anything: near the planted ones, or behind them."""
        if NETS[self.training.net].over_deep:
            return [layer for layer in self.layers if layer not in self.planted]
        return ["branch", "closed"] if self.training.plant == "closed residual branch" else []


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write; returns the exit status."""
    parser = argparse.ArgumentParser(description="How well layers that add nothing are found.")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--chosen", action="store_true")
    options = parser.parse_args(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    trainings = list(chosen() if options.chosen else judged())
    if not options.full and not options.chosen:
        trainings = trainings[::4]
    measured = []
    for number, training in enumerate(trainings, 1):
        measured.append(measure(training))
        print(f"{number}/{len(trainings)} {training.name}: {measured[-1].named or '–'}", file=sys.stderr, flush=True)
    suffix = "-chosen" if options.chosen else "" if options.full else "-short"
    result = {"epochs": EPOCHS, **_machine(), **summary(measured), "trainings": [_plain(each) for each in measured]}
    RESULTS.mkdir(exist_ok=True)
    Path(RESULTS / f"redundant-layers{suffix}.json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    print(table(result))
    return 0


def chosen() -> Iterator[Training]:
    """What the margins were chosen on."""
    yield from _trainings([net for net in NETS if net not in JUDGED_ON], [name for name in DATA if name != NEVER_SEEN], 0)


def judged() -> Iterator[Training]:
    """What they are judged by."""
    yield from _trainings(JUDGED_ON, list(DATA), 5000)


def _trainings(nets: Sequence[str], data: Sequence[str], seed: int) -> Iterator[Training]:
    """Every plant in every net that has room for it, data in turn, and every net as it is on all data."""
    seeds = itertools.count(seed)
    turn = itertools.cycle(data)
    for name in nets:
        net = NETS[name]
        if net.over_deep:       # on what is easy for nets that are less deep
            yield from (Training(each, name, "", next(seeds)) for each in data if each != "digits in noise")
            continue
        for plant in PLANTS:
            if net.dense if "dense" in plant else net.convolutions:
                yield Training(next(turn), name, plant, next(seeds))
        yield from (Training(each, name, "", next(seeds)) for each in data)


def measure(training: Training) -> Measured:
    """Train, watch, and see what is named."""
    import keras

    import featwatch as fw
    from featwatch.records import LayerSeparation, Record

    class Collecting(fw.alerts.Detector):
        """Finds nothing, keeps everything."""

        kind = "collecting"

        def __init__(self) -> None:
            self.records: list[Record] = []

        def update(self, record: Record) -> Iterable[fw.alerts.Finding]:
            self.records.append(record)
            return ()

    (x, y), (x_probe, y_probe) = samples_of(training.data, training.seed)
    model, planted = compiled(training, x.shape[1:], int(y.max()) + 1)
    watched = (keras.layers.Conv2D, keras.layers.Dense, keras.layers.Add)
    names = [layer.name for layer in model.layers if isinstance(layer, watched)]
    collecting = Collecting()
    with tempfile.TemporaryDirectory() as log_dir:
        watch = fw.Watch(
            log_dir, fw.Probe(x_probe, y_probe), layers=names, recorders=[fw.Separation()], background=False, alerts=[collecting]
        )
        model.fit(x, y, epochs=EPOCHS, batch_size=64, verbose=0, callbacks=[watch])
    accuracy = float(model.evaluate(x_probe, y_probe, verbose=0)[1])
    keras.backend.clear_session()
    gc.collect()
    records = collecting.records
    last = [record for record in records if isinstance(record, LayerSeparation) and record.epoch == EPOCHS]
    return Measured(
        training, names, list(planted), accuracy, named(records, names),
        {after.layer: _step(before, after) for before, after in itertools.pairwise(last)},
        {cka: sorted(named(records, names, cka=cka)) for cka in SWEEP},
    )  # fmt: skip


def named(records: Iterable[Any], layers: Sequence[str], **margins: float) -> dict[str, int]:
    """The layers that the alert names in these records, and the first epoch of each."""
    import featwatch as fw

    desk = fw.alerts.AlertDesk([fw.alerts.RedundantLayers(**margins)], layers)
    found: dict[str, int] = {}
    for record in records:
        desk.see(record)
        for alert in desk.drain():
            found.setdefault(alert.layer, alert.raised)
    return found


def _step(before: Any, after: Any) -> list[float]:
    gains = [getattr(after, name) - getattr(before, name) for name in ("knn_accuracy", "silhouette", "probe_accuracy")]
    return [round(float(value), 4) for value in (after.cka_to_previous, *gains)]


def summary(measured: Sequence[Measured]) -> dict[str, Any]:
    """Counts and Wilson's intervals at 95 %: by what was planted, over all, and for other similarities."""
    planted: dict[str, list[int]] = {}          # kind -> [named, of so many]
    delays = []
    for each in measured:
        kind = "late layers of an over-deep net" if NETS[each.training.net].over_deep else each.training.plant
        for layer in each.planted:
            count = planted.setdefault(kind, [0, 0])
            count[0] += layer in each.named
            count[1] += 1
            delays += [each.named[layer]] if layer in each.named else []
    healthy = [each for each in measured if not each.planted]
    return {
        "planted": {kind: _rate(*count) for kind, count in planted.items()},
        "healthy_trainings_silent": _rate(sum(not each.named for each in healthy), len(healthy)),
        "over_deep_trainings_named": _rate(*_over_deep(measured)),
        "epoch_named": sorted(delays)[len(delays) // 2] if delays else None,
        "named_beside": [f"{each.training.name}: {layer}" for each in measured for layer in each.named if layer in each.beside],
        "wrongly_named": [f"{each.training.name}: {layer}" for each in measured for layer in _wrong(each, each.named)],
        **_rates(measured, None),
        "sweep": {str(cka): _rates(measured, cka) for cka in SWEEP},
    }


def _over_deep(measured: Sequence[Measured]) -> tuple[int, int]:
    deep = [each for each in measured if NETS[each.training.net].over_deep]
    return sum(any(layer in each.named for layer in each.planted) for each in deep), len(deep)


def _rates(measured: Sequence[Measured], cka: float | None) -> dict[str, Any]:
    hit = wrong = there = sound = 0
    for each in measured:
        found = each.named if cka is None else each.swept[cka]
        hit += sum(layer in found for layer in each.planted)
        there += len(each.planted)
        wrong += len(_wrong(each, found))
        sound += len([layer for layer in each.layers[1:-1] if layer not in (*each.planted, *each.beside)])
    return {"precision": _rate(hit, hit + wrong), "recall": _rate(hit, there), "sound_layers_silent": _rate(sound - wrong, sound)}


def _wrong(each: Measured, found: Iterable[str]) -> list[str]:
    return [layer for layer in found if layer not in (*each.planted, *each.beside)]


def _rate(count: int, of: int) -> dict[str, Any]:
    """A share with its interval: Wilson 1927, z = 1.96."""
    if not of:
        return {"count": 0, "of": 0, "share": None, "low": None, "high": None}
    z, share = 1.959964, count / of
    centre = (share + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return {"count": count, "of": of, "share": share, "low": max(centre - half, 0.0), "high": min(centre + half, 1.0)}


def _plain(each: Measured) -> dict[str, Any]:
    return {
        "training": each.training.name, "accuracy": round(each.accuracy, 4), "layers": each.layers, "planted": each.planted,
        "named": each.named, "cka_and_gains": each.steps,
    }  # fmt: skip


def table(result: dict[str, Any]) -> str:
    """The summary as Markdown."""
    rows = [(f"found: {kind}", rate) for kind, rate in result["planted"].items()]
    rows += [
        ("over-deep nets of which a late layer is named", result["over_deep_trainings_named"]),
        ("healthy trainings without an alert", result["healthy_trainings_silent"]),
        ("sound layers without an alert", result["sound_layers_silent"]),
        ("**precision**", result["precision"]), ("**recall**", result["recall"]),
    ]  # fmt: skip
    lines = [f"| {len(result['trainings'])} trainings | count | share (95 %) |", "| --- | --- | --- |"]
    lines += [f"| {label} | {rate['count']} of {rate['of']} | {_words(rate)} |" for label, rate in rows]
    lines += ["", "| CKA of at least | precision | recall |", "| --- | --- | --- |"]
    lines += [f"| {cka} | {_words(rates['precision'])} | {_words(rates['recall'])} |" for cka, rates in result["sweep"].items()]
    return "\n".join([*lines, "", *(f"wrongly named: {name}" for name in result["wrongly_named"])])


def _words(rate: dict[str, Any]) -> str:
    return "–" if rate["share"] is None else f"{rate['share']:.2f} ({rate['low']:.2f}–{rate['high']:.2f})"


if __name__ == "__main__":
    sys.exit(main())
