"""Torch-Pruning on one of the tasks; run by the interpreter of an environment in which torch and torch-pruning are installed.

    python benchmarks/pruning_peer.py FOLDER

FOLDER holds parts.npz (x0, y0, … x2, y2: to train on, to watch, to judge) and asked.json, and gets found.json; asked for the
latency alone, a net of these widths is made and its forward pass measured.  The net is the one that featwatch prunes; it is
pruned at the same epochs, the same share of its channels each time, by the library's group norm (DepGraph, Fang et al. 2023),
and trained on with a new Adam, as the library's examples do.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch_pruning

FIRST = 1024                        # images to judge at a time


def main(folder: Path) -> int:
    asked, parts = json.loads((folder / "asked.json").read_text()), np.load(folder / "parts.npz")
    if asked.get("latency"):
        images = torch.from_numpy(parts["x2"].transpose(0, 3, 1, 2).copy())
        (folder / "found.json").write_text(json.dumps({"latency": _latency(_net(asked, images.shape[-1]), images)}))
        return 0
    torch.manual_seed(asked["seed"])
    images = [torch.from_numpy(parts[f"x{part}"].transpose(0, 3, 1, 2).copy()) for part in range(3)]
    classes = [torch.from_numpy(parts[f"y{part}"].astype("int64")) for part in range(3)]
    model = _net(asked, images[0].shape[-1])
    example = images[0][:1]
    before = torch_pruning.utils.count_ops_and_params(model, example)
    pruner = torch_pruning.pruner.GroupNormPruner(
        model, example, importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
        iterative_steps=len(asked["at"]), pruning_ratio=asked["ratio"],
        ignored_layers=[model[-1]],
    )  # fmt: skip
    optimiser = torch.optim.Adam(model.parameters(), asked["learning_rate"])
    for epoch in range(asked["epochs"]):
        if asked["ratio"] and epoch in asked["at"]:
            pruner.step()
            optimiser = torch.optim.Adam(model.parameters(), asked["learning_rate"])
        rates = _falling(asked["learning_rate"], epoch, asked["epochs"], -(-len(images[0]) // asked["batch_size"]))
        _epoch(model, optimiser, rates, images[0], classes[0], asked["batch_size"])
    after = torch_pruning.utils.count_ops_and_params(model, example)
    widths = [module.weight.shape[0] for module in model if hasattr(module, "weight")][:-1]
    found = {
        "accuracy": _accuracy(model, images[2], classes[2]), "multiply_adds": [before[0], after[0]],
        "parameters": [before[1], after[1]], "widths": widths,
    }  # fmt: skip
    (folder / "found.json").write_text(json.dumps(found))
    return 0


def _net(asked: dict[str, Any], size: int) -> Any:
    stack, channels = [], 1
    for number, filters in enumerate(asked["convolutions"]):
        stack += [torch.nn.Conv2d(channels, filters, 3, padding=1), torch.nn.ReLU()]
        channels = filters
        if number in asked["pooled"]:
            stack.append(torch.nn.MaxPool2d(2))
            size //= 2
    stack.append(torch.nn.Flatten())
    channels *= size * size
    for units in asked["dense"]:
        stack += [torch.nn.Linear(channels, units), torch.nn.ReLU()]
        channels = units
    return torch.nn.Sequential(*stack, torch.nn.Linear(channels, asked["classes"]))


def _falling(first: float, epoch: int, epochs: int, steps: int) -> Any:
    """The learning rates of an epoch's steps: half a cosine over the whole training."""
    return first * (1 + np.cos(np.pi * (epoch * steps + np.arange(steps)) / (epochs * steps))) / 2


def _epoch(model: Any, optimiser: Any, rates: Any, images: Any, classes: Any, size: int) -> None:
    model.train()
    for rate, batch in zip(rates, torch.randperm(len(images)).split(size), strict=True):
        for group in optimiser.param_groups:
            group["lr"] = float(rate)
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(model(images[batch]), classes[batch]).backward()
        optimiser.step()


@torch.no_grad()
def _accuracy(model: Any, images: Any, classes: Any) -> float:
    model.eval()
    right = [(model(part).argmax(1) == of).sum() for part, of in zip(images.split(FIRST), classes.split(FIRST), strict=True)]
    return float(sum(right) / len(images))


@torch.no_grad()
def _latency(model: Any, images: Any, repeats: int = 60) -> float:
    """Milliseconds for an image in a batch of all, the median."""
    model.eval()
    taken = []
    for _ in range(repeats + 5):
        began = time.perf_counter()
        model(images)
        taken.append(1000 * (time.perf_counter() - began) / len(images))
    return float(np.median(taken[5:]))


if __name__ == "__main__":
    torch.set_num_threads(2)
    sys.exit(main(Path(sys.argv[1])))
