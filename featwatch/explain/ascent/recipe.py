"""How feature images are made: every choice there is, checked, in one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from featwatch.options import one_of, real, whole

BASES = ("fourier", "pixels")
INITS = ("patches", "patch", "crops", "noise", "mean", "empty")
FROM_DATA = ("patches", "patch", "crops", "mean")       # starts that need samples
OBJECTIVES = ("neuron", "channel", "sum")
KEEPS = ("best", "mean", "all")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The choices for the feature images of a layer.  `Recipe(steps=128, basis="pixels")`; what is not named is the default.

    Arguments:
        steps: of gradient ascent.
        basis: "fourier", "pixels", or a decoder: a Keras model from a latent to a picture as the model takes it.
        decorrelate: whether channels move together as they do in the data (Cholesky root of their covariance).
        init: "patches", the mean of the nine patches of the probe that activate most; "patch", the best of them;
            "crops", the mean of four crops of the probe's pictures; "noise"; "mean", the mean of the probe; "empty", zeros.
            Without a probe, and with a decoder, it is noise.
        starts: how many starts are tried for each image; they differ by what is drawn at random.
        keep: of several starts: "best", the image of the largest activation; "mean", the mean of the images; "all" of them.
        objective: "neuron", what enters the activation of one unit; "channel" or "sum", the mean or the sum over all units of
            what leaves it, on the whole input.
        unit: which one, as a position in the layer's map; None = the central one.
        norm: the distance of the image from the neutral picture, the mean of the probe's values, in the units of the input
            (root of the sum of squares), as far as the range of the data allows it; None = any.
        learning_rate: of Adam.
        total_variation: weight of the differences between neighbours, against a gradient of length 1; None = 1, and 0 with a
            decoder, which knows by itself how pictures are.
        jitter: pixels at most, and an eighth of the image, by which the image is moved at each step.
        rotate: degrees at most, likewise.
        scale: 0.1 for enlarging by 0.9 to 1.1, likewise.
        guard: how far, in widths of the natural range, an activation may lie above the natural maximum before the ascent of
            its image ends; None = as far as it gets.
        deeper: by what share of them there are more steps for each layer with weights before this one.
        at_least: pixels on a side of the window, where the receptive field is smaller; None = the receptive field.
        snapshots: steps after which the images are kept.
        seed: of everything that is random.

    Raises:
        ValueError, TypeError: a choice is out of its range.
    """

    steps: int = 64
    basis: Any = "fourier"
    decorrelate: bool = True
    init: str = "patches"
    starts: int = 1
    keep: str = "best"
    objective: str = "neuron"
    unit: tuple[int, ...] | None = None
    norm: float | None = None
    learning_rate: float = 0.05
    # Chosen on seven nets with planted shapes (one and more channels), where jitter in a window that fits the unit takes the
    # pattern out of it: from noise .93 of the shapes are recognised with jitter 2, all without.  On nets trained on digits
    # this weight of the total variation leaves as little noise at high frequencies as jitter does.
    total_variation: float | None = None
    jitter: int = 0
    rotate: float = 0.0
    scale: float = 0.0
    # An image that goes on far beyond what the data give is less like what the filter answers to.  Chosen on three nets, by
    # images from noise in which a second net, trained from another start, has to tell the filter: .89, .71, .69 of those of
    # three layers without a guard, .87, .82, .78 so; nearer to the natural maximum the shallow layer's lose more than others win.
    guard: float | None = 0.25
    deeper: float = 0.0
    at_least: int | None = None
    snapshots: tuple[int, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.basis, str) or not callable(self.basis):
            one_of("basis", self.basis, BASES, "a Keras model from a latent to a picture")
        one_of("init", self.init, INITS)
        one_of("keep", self.keep, KEEPS)
        one_of("objective", self.objective, OBJECTIVES)
        for name, least in (("steps", 1), ("starts", 1), ("jitter", 0), ("seed", 0)):
            self._set(name, whole(name, getattr(self, name), least))
        if self.total_variation is None:
            self._set("total_variation", 0.0 if self.learned else 1.0)
        for name in ("rotate", "scale", "total_variation", "deeper"):
            self._set(name, real(name, getattr(self, name), 0.0))
        self._set("learning_rate", real("learning_rate", self.learning_rate, 0.0, open_below=True))
        if self.scale >= 1:
            raise ValueError(f"scale={self.scale!r}: expected less than 1; 0.1 enlarges by 0.9 to 1.1")
        for name in ("norm", "guard"):
            if getattr(self, name) is not None:
                self._set(name, real(name, getattr(self, name), 0.0, open_below=True))
        if self.at_least is not None:
            self._set("at_least", whole("at_least", self.at_least, 1))
        if not isinstance(self.decorrelate, bool):
            raise TypeError(f"decorrelate={self.decorrelate!r}: expected True or False")
        if self.unit is not None:
            self._set("unit", tuple(whole("unit", each, 0) for each in _listed("unit", self.unit)))
            if self.objective != "neuron":
                raise ValueError(f"unit={self.unit}: the objective {self.objective!r} is over all units; leave one of them out")
        if self.learned and self.keep == "mean" and self.starts > 1:
            raise ValueError("keep='mean': what a decoder would need to give the mean is not known; keep 'best' or 'all'")
        after = sorted({whole("snapshots", each, 1) for each in _listed("snapshots", self.snapshots)})
        self._set("snapshots", tuple(after))

    @property
    def basis_name(self) -> str:
        """"fourier", "pixels", or "decoder" with the name of the model."""
        return self.basis if isinstance(self.basis, str) else f"decoder {getattr(self.basis, 'name', type(self.basis).__name__)}"

    @property
    def learned(self) -> bool:
        """Whether images come from a decoder."""
        return not isinstance(self.basis, str)

    @property
    def traced(self) -> tuple[Any, ...]:
        """The choices that a traced ascent depends on, the place of the unit aside; all others may change from call to call."""
        return self.basis, self.decorrelate, self.objective, self.norm, self.jitter, self.rotate, self.scale

    @property
    def settings(self) -> dict[str, Any]:
        """Every choice that a record has no place of its own for, as plain values."""
        own = ("steps", "basis", "init", "objective", "snapshots")
        named = {each.name: getattr(self, each.name) for each in fields(self) if each.name not in own}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in named.items()}

    def with_(self, **choices: Any) -> Recipe:
        """The same with some choices changed."""
        return replace(self, **choices)

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)


# The constants of Lucid's `render_vis` (Olah, Mordvintsev, Schubert 2017): `feature_images(model, "conv", **LUCID)`.
LUCID: Mapping[str, Any] = {"steps": 512, "jitter": 8, "rotate": 10.0, "scale": 0.1, "total_variation": 0.0, "init": "noise",
                            "guard": None}  # fmt: skip


def _listed(argument: str, value: Any) -> list[Any]:
    if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__"):
        raise TypeError(f"{argument}={value!r}: give whole numbers, as in (1, 8)")
    return list(value)
