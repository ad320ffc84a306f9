"""Figures from arrays: formulas with their sources, and no knowledge of models, policies or reports."""
