"""How fast the chain from a webhook to the machine's first byte is, how much of it a second, and what it weighs."""
