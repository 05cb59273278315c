"""The same model object, smaller: variables, layers, graph, optimiser slots and compiled functions, changed in place."""

from featwatch.prune.surgery.operating import Surgery, operate

__all__ = ["Surgery", "operate"]
