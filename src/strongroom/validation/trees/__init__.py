"""Models of trees: read, walked, explained exactly, and bounded."""
