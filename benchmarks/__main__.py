"""`python -m benchmarks [ARGUMENTS of benchmarks.cost]`."""

from __future__ import annotations

import sys

from benchmarks.cost import main

sys.exit(main())
