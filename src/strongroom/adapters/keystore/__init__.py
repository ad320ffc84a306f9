"""Subject keys of a region: the store, its keeper process, a worker's side of it, its backups."""
