"""`python -m benchmarks [NAME [ARGUMENTS]]`: one benchmark, or the short run of each."""

from __future__ import annotations

import subprocess
import sys

SHORT: dict[str, list[str]] = {
    "cost": [],
    "tap": [],
    "figure12": [],
    "evolution": [],
    "grid": [],
    "redundant_layers": [],
    "detection": [],
    "feature_images": [],
    "maximising": [],
    "attributions": ["--repeats", "1", "--peer", "0"],
    "pruning": [],
    "pruning_exactness": ["--only", "VGG16", "MobileNetV2"],
    "pruning_surgery": [],
}


def main(arguments: list[str]) -> int:
    """Run them in processes of their own, one after the other; returns the first exit status that is not 0, or 0."""
    if arguments and arguments[0] not in SHORT:
        print(f"error: there is no benchmark {arguments[0]!r}; choose {', '.join(SHORT)}", file=sys.stderr)
        return 2
    chosen = {arguments[0]: arguments[1:]} if arguments else SHORT
    status = 0
    for name, more in chosen.items():
        print(f"\n{name}\n", flush=True)
        status = subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *more]).returncode or status
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
