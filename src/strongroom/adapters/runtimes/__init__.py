"""What computes a model's answer, and how it is kept from taking too long."""
