"""Results drawn as pages for people."""
