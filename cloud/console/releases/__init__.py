"""Versions of the agent, and their way over the fleet."""
