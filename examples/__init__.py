"""Worked models that run anywhere, or on a file that is named on the command line."""
