"""Images that maximise filters, by gradient ascent."""
