"""Ten thousand worlds: the whole system in one process, in virtual time, with seeded faults, every promise checked."""
