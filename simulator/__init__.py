"""The other ends of the wires: a coffee machine, a payment provider, a development broker, the demo of them all.

Written from the reference texts, never from our own cloud or agent: it may not import them.
"""
