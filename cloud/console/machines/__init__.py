"""Machines: all of them by how badly they are off, one with everything about it, and what a person can do to it."""
