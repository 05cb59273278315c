"""Pure functions on arrays: no clock, no I/O, no logging, no global seed.

scikit-learn, SciPy's heavier parts, numba and umap-learn are imported where they are used: the
training process imports the recorders, and must not pay seconds for what its worker needs.
"""
