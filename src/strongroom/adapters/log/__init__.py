"""C2SP logs: segments and tiles as files, as objects and as tables; witnesses; the governance log."""
