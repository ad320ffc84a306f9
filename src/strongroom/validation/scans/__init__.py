"""What a package may contain: files looked at before anything loads them."""
