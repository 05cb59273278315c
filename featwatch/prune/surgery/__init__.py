"""The same model object, smaller: variables, layers, graph, optimiser slots and compiled functions, changed in place."""

from featwatch.prune.surgery.backups import resumed
from featwatch.prune.surgery.checking import Mismatch
from featwatch.prune.surgery.operating import Surgery, operate
from featwatch.prune.surgery.unsupported import Unsupported

__all__ = ["Mismatch", "Surgery", "Unsupported", "operate", "resumed"]
