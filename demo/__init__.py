"""The main job: a real model's whole life in one run, then a table of what was proven."""
