"""What the catalogue says of each test, a file for each family."""
