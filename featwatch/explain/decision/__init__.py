"""Where a layer sees a class, and which filters decide that."""
