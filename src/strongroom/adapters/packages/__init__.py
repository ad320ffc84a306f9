"""The author's side: packages as folders, made of saved models, hardened."""
