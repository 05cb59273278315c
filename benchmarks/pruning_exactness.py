"""Whether a pruned net gives what the whole net gives with the same units masked, for all of `keras.applications` (B6, G1).

    python -m benchmarks.pruning_exactness                          # all of them
    python -m benchmarks.pruning_exactness --only ResNet50 VGG16
    python -m benchmarks.pruning_exactness --json path/to/result.json

A third of all groups of units that can go is drawn at random, from every layer, and removed; the net is made anew without
them.  Beside it the whole net is run operation by operation, with all channels of these groups set to 0 right after each.
Weights are random, statistics of normalisations uneven; inputs are small.  Difference: the largest, over the largest output.
`changed` is that between the pruned and the whole net: what would be seen if nothing had been removed at all is 0.

Writes benchmarks/results/pruning-exactness.json, or what --json says, and prints a table; nets that stand there and are not
measured anew stay, each with the commit that it was measured at.  All of them take about an hour of the processor.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.cost import RESULTS, _machine

SHARE = 1 / 3
TARGET = 1e-5


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write; returns 1 where a net is not exact."""
    from tests.applications import EVERY

    parser = argparse.ArgumentParser(description="Whether pruned nets give what masked ones give.")
    parser.add_argument("--only", nargs="+", choices=EVERY, default=EVERY, metavar="NET")
    parser.add_argument("--json", type=Path, default=RESULTS / "pruning-exactness.json")
    options = parser.parse_args(arguments)
    header = [
        "| net | layers | channels | groups | can go | gone | parameters | masked vs pruned | changed | plan, s | rebuild, s |",
        "| --- | " + "--- | " * 10,
    ]
    print("\n".join(header), flush=True)
    before = json.loads(options.json.read_text())["nets"] if options.json.exists() else []
    measured = {each["net"]: each for each in before}
    machine = _machine()
    for name in options.only:
        measured[name] = {**_measured(name), "commit": machine["commit"]}
        print(_row(measured[name]), flush=True)
        gc.collect()
        options.json.parent.mkdir(exist_ok=True)
        nets = [measured[each] for each in EVERY if each in measured]
        options.json.write_text(json.dumps({**machine, "share": SHARE, "nets": nets}, indent=1) + "\n")
    inexact = [each["net"] for each in measured.values() if not each["difference"] <= TARGET]
    print(f"\n{len(measured) - len(inexact)} of {len(measured)} within {TARGET:g}", file=sys.stderr)
    return 1 if inexact else 0


def _measured(name: str) -> dict[str, Any]:
    import keras
    import numpy as np

    from featwatch.prune.anatomy import Anatomy
    from featwatch.prune.rebuild import rebuilt
    from tests.applications import enliven, inputs_of, net
    from tests.pruning_truth import apart, drawn, masked, prunable

    keras.backend.clear_session()
    model = net(name)
    x = inputs_of(model)
    enliven(model)
    began = time.process_time()
    anatomy = Anatomy(model)
    planning = time.process_time() - began
    groups = drawn(anatomy, SHARE)
    began = time.process_time()
    pruned = rebuilt(anatomy, groups)
    rebuilding = time.process_time() - began
    expected, found, whole = masked(model, anatomy, groups, x), [np.asarray(pruned(x))], [np.asarray(model(x))]
    channels = sum(len(made.ids) for made in anatomy.made.values() if made.mixes)
    return {
        "net": name,
        "side": model.input_shape[1],
        "layers": len(model.layers),
        "channels": channels,
        "groups": len({int(root) for made in anatomy.made.values() for root in anatomy.units.roots(made.ids)}),
        "prunable": len(prunable(anatomy)),
        "removed": len(groups),
        "parameters_before": model.count_params(),
        "parameters_after": pruned.count_params(),
        "difference": apart(found, expected),
        "changed": apart(found, whole),
        "plan_cpu_seconds": planning,
        "rebuild_cpu_seconds": rebuilding,
        "frozen": sorted(set(anatomy.frozen().values())),
    }


def _row(each: dict[str, Any]) -> str:
    left = each["parameters_after"] / each["parameters_before"]
    return (
        f"| {each['net']} | {each['layers']} | {each['channels']:,} | {each['groups']:,} | {each['prunable']:,} | "
        f"{each['removed']:,} | {left:.0%} | {each['difference']:.1e} | {each['changed']:.2f} | "
        f"{each['plan_cpu_seconds']:.2f} | {each['rebuild_cpu_seconds']:.2f} |"
    )


if __name__ == "__main__":
    sys.exit(main())
