"""The tasks on which pruning is measured (B6): digits, a marker to be found in clutter, and a die to be read.

Each is a set of grey images with classes, in three parts: to train on, to watch and decide by, and to judge at the end, which
nothing else sees.  The nets are plain stacks that are wider than their task needs, described by numbers, so that another
library can build the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

JUDGED = 2000                                   # generated images to judge by
Images = tuple[np.ndarray, np.ndarray]          # (n, height, width, 1) float32 from 0 to 1, (n,) int32


@dataclass(frozen=True)
class Stack:
    """3×3 convolutions with ReLU and a pooling of 2×2 after each of `pooled`, then dense layers with ReLU, then the scores."""

    convolutions: tuple[int, ...]
    pooled: tuple[int, ...]
    dense: tuple[int, ...]


@dataclass(frozen=True)
class Task:
    """Images in three parts, and the net that is trained on them."""

    name: str
    parts: Callable[[int], tuple[Images, Images, Images]]        # seed -> to train on, to decide by, to judge
    classes: int
    stack: Stack
    batch_size: int = 32


def widths(task: Task) -> list[int]:
    """Filters or units of each layer but the last."""
    return [*task.stack.convolutions, *task.stack.dense]


def narrowed(task: Task, to: Sequence[int]) -> Task:
    """The task with a net of these widths."""
    count = len(task.stack.convolutions)
    return replace(task, stack=replace(task.stack, convolutions=tuple(to[:count]), dense=tuple(to[count:])))


def net(task: Task, size: int, learning_rate: float, steps: int) -> Any:
    """The task's net, compiled with Adam; the learning rate falls to 0 along half a cosine over so many steps."""
    import keras

    layers = keras.layers
    stack: list[Any] = [keras.Input((size, size, 1))]
    for number, filters in enumerate(task.stack.convolutions):
        stack.append(layers.Conv2D(filters, 3, padding="same", activation="relu", name=f"conv{number}"))
        stack += [layers.MaxPooling2D()] if number in task.stack.pooled else []
    stack.append(layers.Flatten())
    stack += [layers.Dense(units, activation="relu", name=f"dense{number}") for number, units in enumerate(task.stack.dense)]
    model = keras.Sequential([*stack, layers.Dense(task.classes, activation="softmax", name="scores")], name=task.name)
    falling = keras.optimizers.schedules.CosineDecay(learning_rate, steps)
    model.compile(keras.optimizers.Adam(falling), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def digits(seed: int) -> tuple[Images, Images, Images]:
    """scikit-learn's 1,797 digits, 8×8."""
    from sklearn.datasets import load_digits

    found = load_digits()
    pictures = (found.images / 16)[..., None].astype("float32")
    order = np.random.default_rng(seed).permutation(len(pictures))
    return _parted(pictures[order], found.target[order], 200, 597)


def marker(seed: int, train: int = 1200) -> tuple[Images, Images, Images]:
    """In which of 16 fields of a cluttered 32×32 image a small cross is; rings and bars are there to mislead."""
    rng = np.random.default_rng(seed)
    count = train + 300 + JUDGED
    y, x = np.mgrid[:32, :32]
    fields = rng.integers(0, 16, count)
    pictures = rng.normal(0.35, 0.12, (count, 32, 32))
    for picture, field in zip(pictures, fields, strict=True):
        for _ in range(4):
            centre, radius = rng.uniform(2, 30, 2), rng.uniform(2, 3.5)
            away = np.hypot(y - centre[0], x - centre[1])
            picture[np.abs(away - radius) < 0.7] += rng.uniform(0.2, 0.5)
        for _ in range(3):
            at, long = rng.integers(0, 32), slice(*sorted(rng.integers(0, 33, 2)))
            picture[(at, long) if rng.random() < 0.5 else (long, at)] += rng.uniform(0.2, 0.5)
        row, column = 8 * (field // 4) + rng.integers(2, 6), 8 * (field % 4) + rng.integers(2, 6)
        picture[row, column - 2 : column + 3] = picture[row - 2 : row + 3, column] = rng.uniform(0.75, 1.0)
    return _parted(np.clip(pictures, 0, 1)[..., None].astype("float32"), fields, 300, JUDGED)


def die(seed: int, train: int = 1200) -> tuple[Images, Images, Images]:
    """Renderings of a die, 32×32, turned a little at random; the class is the number on its face to the bottom right."""
    rng = np.random.default_rng(seed)
    count = train + 300 + JUDGED
    numbers = rng.integers(1, 7, count)
    pictures = np.stack([_rendered(number, rng) for number in numbers])
    return _parted(pictures[..., None].astype("float32"), numbers - 1, 300, JUDGED)


_SPOTS = {
    1: [(0, 0)], 2: [(-1, -1), (1, 1)], 3: [(-1, -1), (0, 0), (1, 1)], 4: [(-1, -1), (-1, 1), (1, -1), (1, 1)],
    5: [(-1, -1), (-1, 1), (0, 0), (1, -1), (1, 1)], 6: [(-1, -1), (-1, 0), (-1, 1), (1, -1), (1, 0), (1, 1)],
}  # fmt: skip


def _rendered(number: int, rng: np.random.Generator, size: int = 32) -> np.ndarray:
    """One die, seen from above one of its edges, with another number on each of the three faces that show."""
    top = int(rng.choice([other for other in range(1, 7) if other not in (number, 7 - number)]))
    left = int(rng.choice([other for other in range(1, 7) if other not in (number, 7 - number, top, 7 - top)]))
    faces = {2: top, 0: number, 1: left}
    yaw, pitch, roll = np.radians([-38 + rng.uniform(-14, 14), 32 + rng.uniform(-8, 8), rng.uniform(-8, 8)])
    ground = np.linspace(-1.75, 1.75, size) * rng.uniform(0.92, 1.1)
    right, up = np.meshgrid(ground + rng.uniform(-0.1, 0.1), -ground + rng.uniform(-0.1, 0.1))
    right, up = right * np.cos(roll) - up * np.sin(roll), right * np.sin(roll) + up * np.cos(roll)
    forward = np.array([np.cos(pitch) * np.cos(yaw), np.cos(pitch) * np.sin(yaw), np.sin(pitch)])
    aside = np.array([-np.sin(yaw), np.cos(yaw), 0.0])
    above = np.cross(forward, aside)
    origin = right[..., None] * aside + up[..., None] * above + 4 * forward
    picture, nearest = np.full((size, size), rng.uniform(0.0, 0.15)), np.full((size, size), -np.inf)
    light = rng.dirichlet([6, 6, 9]) * 1.8
    for axis, shown in faces.items():
        side = 1.0 if forward[axis] > 0 else -1.0
        along = (side - origin[..., axis]) / -forward[axis]
        point = origin - along[..., None] * forward
        others = [other for other in range(3) if other != axis]
        u, v = point[..., others[0]], point[..., others[1]]
        hit = (np.abs(u) <= 1) & (np.abs(v) <= 1) & (-along > nearest)
        shade = np.full(u.shape, 0.35 + light[axis] * 0.5)
        for spot in _SPOTS[shown]:
            shade[np.hypot(u - 0.52 * spot[0], v - 0.52 * spot[1]) < 0.2] = 0.05
        picture[hit], nearest[hit] = shade[hit], -along[hit]
    return np.clip(picture + rng.normal(0, 0.03, picture.shape), 0, 1)


def _parted(pictures: np.ndarray, classes: np.ndarray, watched: int, judged: int) -> tuple[Images, Images, Images]:
    classes = np.asarray(classes, "int32")
    parts = np.split(np.arange(len(pictures)), [len(pictures) - watched - judged, len(pictures) - judged])
    first, second, third = ((pictures[part], classes[part]) for part in parts)
    return first, second, third


TASKS = {
    task.name: task
    for task in (
        Task("digits", digits, 10, Stack((128, 256, 256), (0, 1), (512,))),
        Task("marker", marker, 16, Stack((32, 64, 128, 128), (0, 1, 2), (256,))),
        Task("die", die, 6, Stack((32, 64, 128, 128), (0, 1, 2), (256,))),
    )
}
