"""A day of the provider's list, our ledger and the machines' counters, compared; every difference named."""
