"""What in an image a filter responds to."""
