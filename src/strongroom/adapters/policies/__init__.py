"""Cedar: who may do what."""
