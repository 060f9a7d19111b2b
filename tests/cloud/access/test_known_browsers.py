"""A browser is known to the accounts that were entered by it, and only we can say so."""

import pytest

from cloud.access.known_browsers import MOST, KnownBrowsers

KEY = "a secret key of thirty-two letters or more"
ANN, BOB = "ann@example.com", "bob@example.com"
NAMES = [f"{n:032x}" for n in range(MOST + 2)]
known = KnownBrowsers(KEY)


def test_each_account_knows_the_browser_by_a_name_of_its_own() -> None:
    cookie = known.entered(known.entered("", ANN, NAMES[0]), BOB, NAMES[1])
    assert (known.name(cookie, " Ann@Example.com"), known.name(cookie, BOB)) == (NAMES[0], NAMES[1])
    assert known.name(cookie, "nobody@example.com") == ""


@pytest.mark.parametrize("cookie", ["", "x", f"{NAMES[0]}-", f"{NAMES[0]}-{NAMES[1]}", "." * 5000, "é-ß"])
def test_what_we_did_not_write_is_of_a_stranger(cookie: str) -> None:
    assert known.name(cookie, ANN) == ""


def test_one_account_s_mark_is_none_of_another() -> None:
    cookie = known.entered("", BOB, NAMES[0])
    assert known.name(cookie, ANN) == ""
    assert KnownBrowsers("another key of thirty-two letters or so").name(cookie, BOB) == ""


def test_an_old_key_s_mark_counts_while_the_key_is_listed() -> None:
    cookie = known.entered("", ANN, NAMES[0])
    assert KnownBrowsers("a new key of thirty-two letters or more", (KEY,)).name(cookie, ANN) == NAMES[0]


def test_an_account_entered_again_takes_one_place_and_the_oldest_goes() -> None:
    cookie = known.entered("", ANN, NAMES[0])
    for n in range(1, MOST):
        cookie = known.entered(cookie, f"user{n}@example.com", NAMES[n])
    cookie = known.entered(cookie, ANN, NAMES[MOST])
    assert known.name(cookie, "user1@example.com") == NAMES[1]
    cookie = known.entered(cookie, BOB, NAMES[MOST + 1])
    assert (known.name(cookie, "user1@example.com"), known.name(cookie, ANN)) == ("", NAMES[MOST])
