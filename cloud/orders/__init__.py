"""Orders: their states, their one workflow, their money, their deadlines, and what must be done elsewhere for them.

This package never calls a broker, a provider or Flask: it writes rows that others read.
"""
