"""What runs on the far side of the sandbox. Standard library only: it starts with `-I -S`, before any package is found.

`supervisor` builds the walls, forks, and collects; `job` is the first and only process behind them.
"""
