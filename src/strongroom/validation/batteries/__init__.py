"""The tests of each kind of model, from its samples and its contract."""
