"""What the workers of one node must share to know callers: nonces, used tokens, issuers' keys."""
