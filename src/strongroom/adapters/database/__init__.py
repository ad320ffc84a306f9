"""The control plane's database over SQL."""
