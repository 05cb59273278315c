"""Contact sheets of every way to look at what filters look for: `python -m docs.contact_sheets OUT`.

For a net on scikit-learn's digits and for one on coloured digits, both trained for a few epochs first.  One PNG for each
technique and layer, to be looked at.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import featwatch as fw

TILE, GAP, LABEL = 72, 6, 15        # px
BACKGROUND, INK, FRAME = (255, 255, 255), (60, 60, 60), (213, 40, 30)
FONT = ImageFont.load_default(11)
SHOWN = 10                          # filters

Row = tuple[str, Sequence[np.ndarray]]


@dataclass(frozen=True, eq=False)
class Scene:
    """A trained net and what it is shown."""

    name: str
    model: Any
    layers: tuple[str, ...]
    probe: Any                      # fw.Probe

    @property
    def strongest(self) -> Callable[[str], np.ndarray]:
        """Layer -> the filters with the largest responses to the probe, SHOWN of them."""

        def of(layer: str) -> np.ndarray:
            values = fw.explain.activations(self.model, layer, self.probe)[layer]
            largest = values.reshape(len(values), -1, values.shape[-1]).max(axis=1).mean(axis=0)
            return np.sort(np.argsort(-largest)[:SHOWN])

        return of


def main() -> int:
    parser = argparse.ArgumentParser(description="Make contact sheets of every technique.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--scenes", nargs="+", default=["digits", "colours"], choices=["digits", "colours"])
    parser.add_argument("--epochs", type=int, default=8)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.scenes:
        scene = {"digits": digits, "colours": colours}[name](options.epochs)
        for technique, sheet in SHEETS.items():
            for layer, rows in sheet(scene):
                path = options.out / f"{name}-{technique}-{layer}.png"
                drawn(rows).save(path)
                print(path, flush=True)
    return 0


def digits(epochs: int) -> Scene:
    """The demonstration's net."""
    from featwatch.demo import digits as data
    from featwatch.demo import small_net

    (x, y), (x_val, y_val) = data()
    model = small_net()
    model.fit(x, y, epochs=epochs, batch_size=16, verbose=0)
    return Scene("digits", model, ("conv1", "conv3"), fw.Probe(x_val, y_val, size=300))


def colours(epochs: int) -> Scene:
    """A plain net on coloured digits."""
    from benchmarks.feature_quality import small_net
    from benchmarks.jobs import coloured_digits

    x, y = coloured_digits(2300)
    return Scene("colours", small_net(1, x[:2000], y[:2000], epochs), ("conv2", "conv4"), fw.Probe(x[2000:], y[2000:]))


def images(scene: Scene) -> Iterator[tuple[str, list[Row]]]:
    """Feature images beside the samples that activate each filter most."""
    for layer in scene.layers:
        filters = scene.strongest(layer)
        made = fw.explain.feature_images(scene.model, layer, filters, probe=scene.probe)
        steps = fw.explain.feature_images(scene.model, layer, filters, probe=scene.probe, steps=128, snapshots=(1, 8, 32))
        rows: list[Row] = [("filter", [_number(number) for number in filters]), ("feature image", _tiles(made.images))]
        found = steps.low + steps.snapshot_pixels / 255.0 * (steps.high - steps.low)
        rows += [(f"after {step}", _tiles(found[:, i])) for i, step in enumerate(steps.snapshot_steps)]
        for init in ("noise", "patch", "mean"):
            other = fw.explain.feature_images(scene.model, layer, filters, probe=scene.probe, init=init)
            rows.append((f"from {init}", _tiles(other.images)))
        channel = fw.explain.feature_images(scene.model, layer, filters, probe=scene.probe, objective="channel", steps=32)
        rows.append(("whole map", _tiles(channel.images)))
        best = fw.explain.exemplars(scene.model, layer, filters, scene.probe, top=3)
        rows += [(f"sample {i + 1}", _tiles(scene.probe.x[best.samples[:, i]])) for i in range(3)]
        yield layer, rows


def attributions(scene: Scene) -> Iterator[tuple[str, list[Row]]]:
    """What in samples one filter answers to, by every method, for the trained net and for its random twin."""
    layer = scene.layers[-1]
    for number in scene.strongest(layer)[:2]:
        best = fw.explain.exemplars(scene.model, layer, [number], scene.probe, top=SHOWN)
        pictures = scene.probe.x[best.samples[0]]
        ask = (scene.model, layer, [number], pictures)
        ways = {
            "saliency, max": lambda twin, a=ask: fw.explain.saliency(*a, twin=twin),
            "saliency, sum": lambda twin, a=ask: fw.explain.saliency(*a, aggregate="sum", twin=twin),
            "occlusion": lambda twin, a=ask: fw.explain.occlusion(*a, size=3, twin=twin),
            "deconv": lambda twin, a=ask: fw.explain.deconvolution(*a, twin=twin),
            "guided": lambda twin, a=ask: fw.explain.deconvolution(*a, mode="guided", twin=twin),
            "gradient": lambda twin, a=ask: fw.explain.deconvolution(*a, mode="gradient", twin=twin),
        }
        rows: list[Row] = [("sample", _tiles(pictures))]
        for name, way in ways.items():
            trained, random = way(None), way(True)
            rows += [(name, _signed(trained.maps[0])), ("… of the twin", _signed(random.maps[0]))]
            if name == "saliency, max":
                rows.append(("overlay", [fw.explain.overlay(x, m) / 255 for x, m in zip(pictures, trained.maps[0], strict=True)]))
        yield f"{layer}-{number}", rows


def classes(scene: Scene) -> Iterator[tuple[str, list[Row]]]:
    """Where the layers see the predicted class."""
    pictures = scene.probe.x[:SHOWN]
    for layer in scene.layers:
        rows: list[Row] = [("sample", _tiles(pictures))]
        for method in ("gradcam", "gradcam++", "layercam", "scorecam"):
            found = fw.explain.class_activation(scene.model, layer, pictures, method=method)
            rows.append((method, _grey(found.pixels / 255)))
        yield layer, rows


def filtered(scene: Scene) -> Iterator[tuple[str, list[Row]]]:
    """Feature images before and after activation filtering."""
    for layer in scene.layers:
        filters = scene.strongest(layer)
        whole = fw.explain.feature_images(scene.model, layer, filters, probe=scene.probe, objective="channel", steps=32)
        found = fw.explain.activation_filter(scene.model, layer, whole.images, filters, probe=scene.probe)
        own = np.arange(len(filters))
        maps = found.maps[own, own]
        largest = np.maximum(maps.max(axis=(1, 2), keepdims=True), 1e-9)
        rows: list[Row] = [("whole", _tiles(whole.images)), ("its map", _grey(maps / largest))]
        yield layer, [*rows, ("filtered", _tiles(found.filtered[own, own]))]


def maximising(scene: Scene) -> Iterator[tuple[str, list[Row]]]:
    """Samples led towards what maximises filters."""
    for layer in (*scene.layers, "scores" if scene.name == "colours" else "dense"):
        filters = scene.strongest(layer)
        found = fw.explain.maximising_images(scene.model, layer, filters, scene.probe)
        rows: list[Row] = [("sample", _tiles(scene.probe.x[found.samples])), ("led on", _tiles(found.images))]
        yield layer, [*rows, ("above 0.9", _tiles(found.thresholded.astype(float)))]


def groups(scene: Scene) -> Iterator[tuple[str, list[Row]]]:
    """Groups of filters that act together on a sample, and images that maximise each."""
    layer = scene.layers[-1]
    for sample in range(3):
        picture = scene.probe.x[sample : sample + 1]
        found = fw.explain.factorise(scene.model, layer, picture)
        rows: list[Row] = [("sample", _tiles(picture)), ("groups", _grey(found.maps[0] / 255)), ("images", _tiles(found.images))]
        yield f"{layer}-{sample}", rows


def clusters(scene: Scene) -> Iterator[tuple[str, list[Row]]]:
    """Images of what sets classes apart, as if they were clusters."""
    layer = scene.layers[-1]
    found = fw.explain.cluster_images(scene.model, layer, scene.probe, scene.probe.labels)
    samples = [[np.flatnonzero(scene.probe.labels == c)[i] for c in found.clusters] for i in range(2)]
    rows: list[Row] = [("image", _tiles(found.images))]
    yield layer, rows + [(f"sample {i + 1}", _tiles(scene.probe.x[row])) for i, row in enumerate(samples)]


SHEETS: dict[str, Callable[[Scene], Iterator[tuple[str, list[Row]]]]] = {
    "images": images, "filtered": filtered, "maximising": maximising, "groups": groups, "clusters": clusters,
    "attributions": attributions, "classes": classes,
}  # fmt: skip


def drawn(rows: Sequence[Row]) -> Image.Image:
    """The rows, each with its name on the left."""
    margin = 110
    columns = max(len(tiles) for _, tiles in rows)
    sheet = Image.new("RGB", (margin + columns * (TILE + GAP) + GAP, len(rows) * (TILE + GAP) + GAP), BACKGROUND)
    pen = ImageDraw.Draw(sheet)
    for row, (name, tiles) in enumerate(rows):
        top = GAP + row * (TILE + GAP)
        pen.text((GAP, top + TILE / 2), name, fill=INK, font=FONT, anchor="lm")
        for column, tile in enumerate(tiles):
            pixels = np.clip(np.rint(255 * tile), 0, 255).astype(np.uint8)
            resized = Image.fromarray(pixels).resize((TILE, TILE), Image.Resampling.NEAREST)
            sheet.paste(resized, (margin + column * (TILE + GAP), top))
    return sheet


def _tiles(pictures: np.ndarray) -> list[np.ndarray]:
    """Pictures on the range of all of them, as RGB; of other than three channels the mean."""
    low, high = float(pictures.min()), float(pictures.max())
    scaled = (pictures - low) / max(high - low, 1e-9)
    if scaled.ndim == 3:
        scaled = scaled[..., None]
    return list(scaled if scaled.shape[-1] == 3 else np.repeat(scaled.mean(axis=-1, keepdims=True), 3, axis=-1))


def _grey(maps: np.ndarray) -> list[np.ndarray]:
    return [np.repeat(one[..., None], 3, axis=-1) for one in maps]


def _signed(maps: np.ndarray) -> list[np.ndarray]:
    """Blue for what lowers, orange for what raises, white for nothing; each map on its own scale."""
    tiles = []
    for one in maps if maps.ndim == 3 else maps.sum(axis=-1):
        share = (one / max(float(np.abs(one).max()), 1e-12))[..., None]
        orange, blue = np.array([0.80, 0.33, 0.0]), np.array([0.0, 0.35, 0.70])
        tiles.append(np.where(share >= 0, 1 - share * (1 - orange), 1 + share * (1 - blue)))
    return tiles


def _number(number: int) -> np.ndarray:
    tile = Image.new("RGB", (TILE, TILE), BACKGROUND)
    ImageDraw.Draw(tile).text((TILE / 2, TILE / 2), str(number), fill=INK, font=ImageFont.load_default(20), anchor="mm")
    return np.asarray(tile) / 255


if __name__ == "__main__":
    sys.exit(main())
