"""Makes the README's pictures: `python -m docs.screenshots LOGDIR`, over the log of a demonstration that has ended.

    make demo ARGS=--no-serve
    .venv/bin/python -m docs.screenshots logs
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.browsers import Tab, chromium
from tests.tensorboards import tensorboards

IMAGES = Path(__file__).parent / "images"
# What is in the picture: the view, and the way to look at filters, the layer, the filter that is opened, dark or light.
PICTURES = {
    "overview": ("overview", "dense", None, False),
    "samples": ("samples", "dense", None, False),
    "filters-dark": ("filters", "dense", None, True),
    "features": ("features", "conv3", 12, False),
    "maps": ("filters/maps", "conv1", None, False),
    "classes": ("filters/classes", "dense", None, False),
    "layers": ("layers", "dense", None, False),
}
SETTLED = 2500      # milliseconds until nothing moves any more


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the README's pictures.")
    parser.add_argument("log_dir", help="what TensorBoard is to show")
    parser.add_argument("--out", type=Path, default=IMAGES)
    parser.add_argument("--filter", type=int, help="the filter of the gallery that is opened")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as notes,
        tensorboards({"one": [f"--logdir={options.log_dir}"]}, Path(notes)) as boards,
        chromium() as browser,
    ):
        tab = Tab(browser.new_page(viewport={"width": 1440, "height": 900}), boards["one"].address)
        tab.until(lambda state: state["newest"] is not None)
        for name, (view, layer, opened, dark) in PICTURES.items():
            tab.dark(dark)
            tab.at(f"layer-row-{layer}").click()
            view, _, way = view.partition("/")
            tab.at(f"tab-{view}").click()
            if way:
                tab.at(f"filters-{way}").click()
            if opened is not None:
                chosen = opened if options.filter is None else options.filter
                tab.frame.locator(f'[data-feature="{chosen}"]').click()
            tab.page.mouse.move(720, 30)                        # nothing is hovered
            tab.page.wait_for_timeout(SETTLED)
            path = options.out / f"{name}.png"
            tab.page.screenshot(path=path)
            print(path)
        if tab.errors:
            print("\n".join(tab.errors), file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
