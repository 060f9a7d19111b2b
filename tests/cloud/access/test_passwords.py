"""What a stored password costs whoever steals the database."""

from argon2 import Type

from tests.passwords import PROPER


def test_a_guess_costs_what_is_recommended() -> None:
    """OWASP's least for Argon2id is 19 MiB, twice."""
    assert PROPER.type is Type.ID
    assert PROPER.memory_cost >= 19 * 1024
    assert PROPER.time_cost >= 2
