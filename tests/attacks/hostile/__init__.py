"""Code that means harm, for the sandbox to hold. Only the tests' prefix list lets it run."""
