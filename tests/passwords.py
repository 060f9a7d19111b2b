"""Passwords hashed at the least cost in a test process: a proper hash takes a tenth of a second and 64 MiB."""

from argon2 import PasswordHasher

from cloud.access import passwords

PROPER = passwords._hasher
"""What the programs hash with."""


def hash_cheaply() -> None:
    """From now on, in this process."""
    passwords._hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
