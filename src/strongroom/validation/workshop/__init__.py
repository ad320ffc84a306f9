"""What is done to a package before it is judged: converted, hardened, trained again."""
