"""A real Chromium that looks at the tab of a real TensorBoard."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Frame, Page, sync_playwright

from build_tools.browser import find_or_install

_FLAGS = (
    "--no-sandbox", "--enable-unsafe-swiftshader", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run",
)  # fmt: skip


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """A headless browser with software WebGL."""
    path = os.environ.get("FEATWATCH_CHROMIUM") or find_or_install()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(_FLAGS))
        try:
            yield browser
        finally:
            browser.close()


class Tab:
    """The tab "Featwatch" in a browser page, and what went wrong in it."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda message: self.errors.append(message.text) if _is_ours(message) else None)
        page.goto(f"{address}#featwatch")
        page.wait_for_selector("iframe")

    @property
    def frame(self) -> Frame:
        """The plugin's own document; TensorBoard puts it into an iframe."""
        return next(frame for frame in self.page.frames if "plugin_entry" in frame.url)

    def at(self, name: str) -> Any:
        """The element with this `data-testid`."""
        return self.frame.get_by_test_id(name)

    def state(self) -> dict[str, Any]:
        """What the page says of itself: epoch, newest, points drawn, layer, run, frames."""
        return self.frame.evaluate("() => ({...window.__featwatch})") or {}

    def until(self, what: Callable[[dict[str, Any]], Any], seconds: float = 60) -> dict[str, Any]:
        """The state, as soon as `what` is true of it."""
        for _ in range(int(seconds * 10)):
            with contextlib.suppress(StopIteration):            # the iframe is not there yet
                state = self.state()
                if state and what(state):
                    return state
            self.page.wait_for_timeout(100)
        raise AssertionError(f"after {seconds:.0f} s the page is still at {self.state()}; errors: {self.errors}")

    def pixels(self, name: str) -> np.ndarray:
        """(height, width, 3) uint8: what is to be seen of an element."""
        return np.asarray(Image.open(io.BytesIO(self.at(name).screenshot())).convert("RGB"))

    def dark(self, on: bool) -> None:
        """What TensorBoard's own switch does."""
        self.page.evaluate("on => document.body.classList.toggle('dark-mode', on)", on)
        self.page.wait_for_timeout(600)


def rgba(canvas: Any) -> np.ndarray:
    """(height, width, 4) uint8: what a canvas, or the one within an element, holds."""
    canvas.wait_for()
    width, height, *values = canvas.evaluate("""e => {
      const canvas = e.matches("canvas") ? e : e.querySelector("canvas"), { width, height } = canvas;
      return [width, height, ...canvas.getContext("2d").getImageData(0, 0, width, height).data];
    }""")
    return np.array(values, np.uint8).reshape(height, width, 4)


def colours(pixels: np.ndarray) -> int:
    """How many clearly coloured hues (of 12) fill at least a thousandth of a picture."""
    values = pixels.astype(int)
    high, low = values.max(-1), values.min(-1)
    vivid = (high - low) > 70
    if not vivid.any():
        return 0
    import colorsys

    hues = [colorsys.rgb_to_hsv(*(pixel / 255))[0] for pixel in values[vivid][::7]]
    counts = np.bincount((np.array(hues) * 12).astype(int) % 12, minlength=12)
    return int(np.count_nonzero(counts * 7 > values.shape[0] * values.shape[1] / 1000))


def _is_ours(message: Any) -> bool:
    return message.type == "error" and "featwatch" in (message.location or {}).get("url", "")
