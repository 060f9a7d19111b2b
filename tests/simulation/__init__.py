"""Ten thousand worlds: the whole system in one process, virtual time, seeded faults, held against the promises."""
