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


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the README's pictures.")
    parser.add_argument("log_dir", help="what TensorBoard is to show")
    parser.add_argument("--layer", default="dense")
    parser.add_argument("--out", type=Path, default=IMAGES)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as notes,
        tensorboards({"one": [f"--logdir={options.log_dir}"]}, Path(notes)) as boards,
        chromium() as browser,
    ):
        tab = Tab(browser.new_page(viewport={"width": 1440, "height": 900}), boards["one"].address)
        tab.until(lambda state: state["newest"] is not None)
        tab.at(f"layer-row-{options.layer}").click()
        for dark in (False, True):
            tab.dark(dark)
            for name in ("overview", "samples", "filters"):
                tab.at(f"tab-{name}").click()
                tab.page.wait_for_timeout(2500)
                path = options.out / f"{name}{'-dark' if dark else ''}.png"
                tab.page.screenshot(path=path)
                print(path)
        if tab.errors:
            print("\n".join(tab.errors), file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
