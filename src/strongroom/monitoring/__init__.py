"""Is it still good, is it being abused? Drift, outcomes, counters, alerts; all rebuilt from the ledger if lost."""
