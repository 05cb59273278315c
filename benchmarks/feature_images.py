"""Feature images (B4): what they take, beside tf-keras-vis and xplique, and how good they are, without eyes.

    python -m benchmarks.feature_images --full --xplique PYTHON

Speed: 32 filters × 128 steps on 78×78×2 for a shallow, a middle and a deep convolution, whose units see 5, 14 and 32
pixels.  CPU seconds, in one process, tracing included, after both ways made an image of another net, so that what is
imported and prepared once counts for neither; peers that go filter by filter make a few and are scaled up.
An ascent of ours ends where the activation is beyond what the data give: how many steps were taken is told beside, and
what it takes where all of them are taken whatever the activation.
Quality: planted detectors on nets that nothing was tuned on (`planted_detectors`), and trained nets
(`feature_quality`), each beside its floor, ceiling and control; of three trained nets the mean, none of which anything
was chosen on.  What images begin with and what they are compared with are patches of different samples.

Without `--full`: fewer filters, steps and nets, and no peers but one.  PYTHON is an interpreter with xplique.  Writes
benchmarks/results/feature-images.json, or …-short.json.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks import feature_peers as peers
from benchmarks import feature_quality as quality
from benchmarks.cost import RESULTS, _machine
from benchmarks.feature_peers import Made

SEEN = (5, 14, 32)                  # pixels on a side, of the layers that are timed
TRAINED = ("conv2", "conv4", "conv5")
EPOCHS = 12
NETS = ((1, 2), (21, 22), (23, 31)) # seeds: of the net whose images are made, and of the one that judges them
Maker = Callable[..., Made]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write; returns the exit status."""
    parser = argparse.ArgumentParser(description="What feature images take, and how good they are.")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--xplique", default="", help="an interpreter in whose environment xplique is installed")
    parser.add_argument("--parts", nargs="+", default=["speed", "planted", "trained"], choices=["speed", "planted", "trained"])
    options = parser.parse_args(arguments)
    result: dict[str, Any] = _machine()
    for part in options.parts:
        result[part] = {"speed": speed, "planted": planted, "trained": trained}[part](options)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"feature-images{'' if options.full else '-short'}.json").write_text(json.dumps(result, indent=1) + "\n")
    return 0


def ours(init: str = "patches", **choices: Any) -> Callable[..., Made]:
    """featwatch's images of the filters on their receptive fields, with its defaults but for the start and what is chosen."""

    def made(model: Any, layer: str, filters: Sequence[int], steps: int, probe: Any) -> Made:
        import featwatch as fw

        began = time.process_time()
        found = fw.explain.feature_images(model, layer, list(filters), probe=probe, steps=steps, init=init, **choices)
        box = found.box
        return found.images[:, box[0] : box[1] + 1, box[2] : box[3] + 1], time.process_time() - began

    return made


def speed(options: argparse.Namespace) -> list[dict[str, Any]]:
    """For each layer and each way CPU seconds for all filters, and how many times ours that is per filter."""
    import featwatch as fw
    from benchmarks.jobs import wbc

    count, steps = (32, 128) if options.full else (8, 16)
    job = wbc(images=200)
    probe = fw.Probe(job.x_probe[:200])
    _prepare()
    rows = []
    for layer, seen in _layers_that_see(job.model):
        _, first = ours()(job.model, layer, range(count), steps, probe)
        _, again = ours()(job.model, layer, range(count), steps, probe)
        _, every_step = ours(guard=None)(job.model, layer, range(count), steps, probe)
        taken = fw.explain.feature_images(job.model, layer, list(range(count)), probe=probe, steps=steps).stopped
        row: dict[str, Any] = {
            "layer": layer, "seen": seen, "filters": count, "steps": steps, "ours": first, "ours_again": again,
            "steps_taken": float(taken.mean()) if len(taken) else steps,
            "ours_every_step": first - again + every_step,      # as if it had been the first
        }  # fmt: skip
        limits = float(job.x_probe.min()), float(job.x_probe.max())
        one_by_one = 2 if options.full else 1
        ways: dict[str, tuple[Maker, int]] = {"tf-keras-vis": (peers.by_default, one_by_one)}
        if options.full:
            ways |= {"tf-keras-vis, batched": (peers.batched, count), "tf-keras-vis, at its best": (peers.at_its_best, count)}
        for name, (way, some) in ways.items():
            _, seconds = way(job.model, layer, range(some), steps, limits)
            row[name] = {"seconds": seconds * count / some, "times": seconds / some / (first / count), "made": some}
            row[name]["times_every_step"] = seconds / some / (row["ours_every_step"] / count)
        rows.append(row)
        print(json.dumps(row), file=sys.stderr, flush=True)
    return rows


def _prepare() -> None:
    import keras

    import featwatch as fw

    layers = [keras.layers.Conv2D(2, 3, activation="relu"), keras.layers.MaxPooling2D(), keras.layers.Conv2D(2, 3, name="last")]
    net, x = keras.Sequential([keras.Input((16, 16, 2)), *layers]), np.random.default_rng(0).random((20, 16, 16, 2), np.float32)
    ours()(net, "last", [0], 2, fw.Probe(x))
    peers.by_default(net, "last", [0], 2, (0.0, 1.0))


def _layers_that_see(model: Any) -> list[tuple[str, int]]:
    import keras

    import featwatch as fw

    seen = {
        fw.explain.receptive_field(model, each.name).size[0]: each.name
        for each in model.layers
        if isinstance(each, keras.layers.Conv2D)
    }
    return [(seen[size], size) for size in SEEN]


def planted(options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """By net and way the share of images from which the planted template is told, beside chance and the best patches'."""
    import featwatch as fw
    from benchmarks.planted_detectors import NETS, identified

    found: dict[str, dict[str, Any]] = {}
    for name, make in NETS.items():
        net = make()
        count, probe = len(net.templates), fw.Probe(net.probe)
        noise = np.random.default_rng(0).random(net.templates.shape, np.float32)
        told: dict[str, Any] = {
            "chance": 1 / count,
            "noise": identified(noise, net.templates),
            "templates": identified(net.templates, net.templates),
            "best patch": identified(_best_patches(net), net.templates),
        }
        made = functools.partial(ours(), net.model, net.layer, range(count))
        ways: dict[str, Callable[[], Made]] = {
            "ours": functools.partial(made, 64, probe),
            "ours, 32 steps": functools.partial(made, 32, probe),
            "ours, from noise": functools.partial(ours("noise"), net.model, net.layer, range(count), 64, probe),
            "ours, random net": functools.partial(ours(), _randomised(net.model), net.layer, range(count), 64, probe),
        }
        asked = (net.model, net.layer, range(count), 64, (0.0, 1.0))
        rivals: dict[str, Maker] = {"tf-keras-vis, at its best": peers.at_its_best}
        if options.full:
            rivals |= {"tf-keras-vis": peers.by_default, "tf-keras-vis, batched": peers.batched}
            if options.xplique:
                rivals["xplique"] = peers.xplique(options.xplique)
        for way, run in (ways | {rival: functools.partial(peer, *asked) for rival, peer in rivals.items()}).items():
            try:
                images, seconds = run()
                told[way] = {"identified": identified(images, net.templates), "seconds": seconds}
            except Exception as error:              # a peer that does not take such a net
                told[way] = {"refused": str(error).splitlines()[-1][:200]}
        found[name] = told
        print(name, json.dumps(told), file=sys.stderr, flush=True)
    return found


def _best_patches(net: Any) -> np.ndarray:
    """(filters, field, field, channels): of each template's filter what of the probe activates it most."""
    import keras

    maps = np.asarray(keras.ops.convert_to_numpy(net.model(net.probe)))
    stride = round((net.probe.shape[1] - net.field) / max(maps.shape[1] - 1, 1))
    patches = []
    for number in range(maps.shape[-1]):
        sample, row, column = np.unravel_index(maps[..., number].argmax(), maps.shape[:3])
        top, left = stride * row, stride * column
        patches.append(net.probe[sample, top : top + net.field, left : left + net.field])
    return np.stack(patches)


def _randomised(model: Any) -> Any:
    import keras

    copy = keras.models.clone_model(model)
    rng = np.random.default_rng(5)
    copy.set_weights([rng.permutation(weight.ravel()).reshape(weight.shape) for weight in model.get_weights()])
    return copy


def trained(options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """By layer and way the measures of `feature_quality`, means over nets, beside natural patches and a random net's images."""
    each = [_trained(options, *seeds) for seeds in (NETS if options.full else NETS[:1])]
    found: dict[str, dict[str, Any]] = {}
    for layer, ways in each[0].items():
        found[layer] = {
            way: {name: float(np.mean([net[layer][way][name] for net in each])) for name in measured}
            | {"identified_by_net": [net[layer][way]["identified"] for net in each]}
            for way, measured in ways.items()
        }
        print(layer, json.dumps(found[layer]), file=sys.stderr, flush=True)
    return found


def _trained(options: argparse.Namespace, seed: int, judge: int) -> dict[str, dict[str, dict[str, float]]]:
    import featwatch as fw
    from benchmarks.jobs import coloured_digits

    epochs = EPOCHS if options.full else 4
    x, y = coloured_digits(3000)
    net, second = (quality.small_net(each, x[:2000], y[:2000], epochs) for each in (seed, judge))
    random = quality.small_net(3, x[:2000], y[:2000], 0)
    # An image that begins with the mean of patches would be like these same patches without any ascent.
    starts, references = x[2000:2500], x[2500:]
    probe, limits = fw.Probe(starts), (float(x.min()), float(x.max()))
    found: dict[str, dict[str, dict[str, float]]] = {}
    for layer in TRAINED if options.full else TRAINED[1:]:
        natural, embed = quality.patches_of(net, layer, references), quality.embedding_of(second, layer)
        count = len(natural.pictures)
        box = fw.explain.receptive_field(net, layer)
        rows, columns = (slice(low, high + 1) for low, high in zip(box.lo, box.hi, strict=True))
        told = {
            "ceiling: best patch": quality.measures(natural.pictures[:, 0], natural, embed),
            "floor: any patch": quality.measures(natural.strays, natural, embed),
            "start: mean of patches": quality.measures(_without_steps(net, layer, probe), natural, embed),
            "control: random net": quality.measures(ours()(random, layer, range(count), 64, probe)[0], natural, embed),
        }
        choices = {
            "ours": {}, "ours, from noise": {"init": "noise"}, "ours, every step": {"guard": None},
            "ours, every step, from noise": {"guard": None, "init": "noise"},
        }  # fmt: skip
        for way, chosen in choices.items():
            record = fw.explain.feature_images(net, layer, probe=probe, **chosen)
            images = record.images[:, record.box[0] : record.box[1] + 1, record.box[2] : record.box[3] + 1]
            ratio = float(np.median(record.activation / natural.values[:, 0]))
            taken = float(record.stopped.mean()) if len(record.stopped) else float(record.steps)
            told[way] = quality.measures(images, natural, embed) | {
                "ratio": ratio, "reached": float(record.reached.mean()), "steps": taken,
            }  # fmt: skip
        rivals: dict[str, Maker] = {"tf-keras-vis, at its best": peers.at_its_best}
        if options.full:
            rivals["tf-keras-vis, batched"] = peers.batched
        for way, peer in rivals.items():
            images = peer(net, layer, range(count), 64, limits)[0][:, rows, columns]
            told[way] = quality.measures(images, natural, embed)
        found[layer] = told
        print(seed, layer, json.dumps(told), file=sys.stderr, flush=True)
    return found


def _without_steps(model: Any, layer: str, probe: Any) -> np.ndarray:
    """What our images begin with, for all filters of a layer."""
    from featwatch.explain.ascent.images import _strongest, painter_of
    from featwatch.explain.fields.fields import site_of

    painter = painter_of(model, site_of(model, layer), probe)
    directions = painter.directions(np.arange(painter.filters))
    best = _strongest(painter, probe, directions)
    box = painter.frame.box
    return painter._starts.cuts(best.strongest, best.peaks).mean(axis=1)[:, box[0] : box[1] + 1, box[2] : box[3] + 1]


if __name__ == "__main__":
    sys.exit(main())
