"""What guards a connection, whoever opens it."""
