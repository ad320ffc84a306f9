"""Can we prove it to a supervisor? Data subjects and their erasure; controls and evidence packs follow."""
