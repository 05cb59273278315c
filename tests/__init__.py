"""The test suite.  A package, because a dependency installs one of the same name."""
