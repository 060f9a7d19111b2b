"""`python3 run.py chaos` with options that make no sense: exit code 2, and it says why."""

import pytest

from tests.chaos.__main__ import main


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--minutes", "none"], "a number above 0, not 'none'"),
        (["--minutes", "-1"], "a number above 0, not '-1'"),
        (["--agents", "0"], "a number from 1 to 100, not '0'"),
        (["--seed", "x"], "invalid int value: 'x'"),
        (["--twice"], "unrecognized arguments: --twice"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_is_two_and_says_why(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(arguments)
    assert (refused.value.code, says in capsys.readouterr().err) == (2, True)
