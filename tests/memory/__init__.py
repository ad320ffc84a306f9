"""The ports in memory: what the contract suites hold beside the adapters that keep, and what other tests stand on."""
