"""One coffee on one machine: the real cloud and agent as programs, with simulated machine, provider and broker."""
