"""Jobs on bytes of strangers: `linux` is the parent's half, `child` what runs on the far side."""
