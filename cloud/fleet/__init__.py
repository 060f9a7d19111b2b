"""The fleet: merchants, their credentials, their machines, what these sell and for how much."""
