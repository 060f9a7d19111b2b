"""Thousands of simulated agents at one broker: what a large fleet does to the cloud (`python -m bench.fleet`)."""
