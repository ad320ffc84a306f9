"""From the control plane to a node: TUF metadata, what lies beside it, and what a node remembers of it."""
