"""Keys of people and of services: homes, key files, and the memory they lie in."""
