"""The ledger: what happened, in an order that nobody can change later.

`leaf` is one line of the log, `tree` the RFC 6962 Merkle tree over the lines, `note` and `checkpoint` what the
log's key signs, `frames` how both lie in the write-ahead segments, `recovery` what a crash may have left there,
`tiles` what is published, `entries` how logs are opened and closed, `fsck` how a folder is judged.
"""
