"""Measurements: `python -m benchmarks` runs the routine ones and writes benchmarks/results/."""
