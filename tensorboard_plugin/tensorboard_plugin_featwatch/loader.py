"""What TensorBoard imports at start-up.

An exception in here would stop all of TensorBoard, so this stays tiny, imports nothing heavy, and
turns every failure into a logged line.
"""

from __future__ import annotations

import argparse
from typing import Any

from tensorboard.plugins import base_plugin
from tensorboard.util import tb_logging

NAME = "featwatch"
RELOAD_SECONDS = 2.0        # TensorBoard's own default of 5 s is too slow to watch a training

_logger = tb_logging.get_logger()


class FeatwatchLoader(base_plugin.TBLoader):
    """Makes the plugin, and sees to it that TensorBoard reads often and drops no record."""

    def define_flags(self, parser: argparse.ArgumentParser) -> None:
        """Make TensorBoard read the logs every 2 s; an explicit --reload_interval still wins."""
        try:
            parser.set_defaults(reload_interval=RELOAD_SECONDS)
        except Exception:
            _logger.warning("featwatch could not change the default of --reload_interval", exc_info=True)

    def fix_flags(self, flags: argparse.Namespace) -> None:
        """Keep every epoch (0 means all) where --samples_per_plugin does not say otherwise."""
        try:
            samples = dict(getattr(flags, "samples_per_plugin", None) or {})
            samples.setdefault(NAME, 0)
            flags.samples_per_plugin = samples
        except Exception:
            _logger.warning("featwatch could not raise its --samples_per_plugin; epochs may be missing", exc_info=True)

    def load(self, context: base_plugin.TBContext) -> Any:
        """The plugin, or None where it cannot be made."""
        try:
            from tensorboard_plugin_featwatch.plugin import FeatwatchPlugin

            return FeatwatchPlugin(context)
        except Exception:
            _logger.error("The Featwatch tab could not be loaded", exc_info=True)
            return None
