"""`coffee-cloud user`: what the shell is told before it raises somebody."""

from click.testing import CliRunner, Result

from cloud.access.models import Membership, User
from cloud.cli import main
from tests.cloud.console.building import FOREIGN, OWN, PASSWORD, Console, post
from tests.cloud.worlds import SECRET_KEY, World

EMAIL = "ann@example.com"


def run(where: Console | World, *words: str, typed: str = "") -> Result:
    world = where.world if isinstance(where, Console) else where
    url = world.database.url.render_as_string(hide_password=False)
    settings = {"COFFEE_SECRET_KEY": SECRET_KEY, "COFFEE_DATABASE_URL": url}
    return CliRunner().invoke(main, ["user", *words], env=settings, input=typed)


def test_a_new_user_gets_a_link(console: Console) -> None:
    told = run(console, "add", EMAIL, "--merchant", OWN, "--role", "owner")
    assert (told.exit_code, "/console/welcome/" in told.output) == (0, True)


def test_a_role_without_a_merchant_asks_at_which_of_several(console: Console) -> None:
    told = run(console, "add", EMAIL, "--role", "owner")
    assert (told.exit_code, f"--merchant: {OWN}, {FOREIGN}" in told.output) == (1, True)


def test_a_role_without_a_merchant_is_at_the_only_one(sqlite_world: World) -> None:
    assert run(sqlite_world, "add", EMAIL, "--role", "owner").exit_code == 0
    assert "owner of north" in run(sqlite_world, "list").output


def test_whom_an_owner_has_invited_is_not_raised_unseen(console: Console) -> None:
    """Regression: who had invited an address, and used its link himself, became what the shell made of it."""
    post(console.client(f"owner@{OWN}"), f"/console/people/invite/{OWN}", email=EMAIL, role="viewer")
    for words, typed in ((("--admin",), ""), (("--merchant", OWN, "--role", "owner"), ""),
                         (("--no-second-factor", "--password-stdin"), PASSWORD)):  # fmt: skip
        told = run(console, "add", EMAIL, *words, typed=typed)
        assert told.exit_code == 1
        assert f"by Owner@North ({console.ids[f'owner@{OWN}']}); viewer of {OWN}" in told.output
        assert f"user reset {EMAIL} --second-factor" in told.output
    assert f"{EMAIL}    viewer of {OWN}; no password yet" in run(console, "list").output


def test_an_account_that_another_has_had_in_hand_since_says_so(console: Console) -> None:
    """Regression: the shell had made it, so the shell was told of itself alone, not of the new inviter."""
    run(console, "add", EMAIL, "--merchant", OWN, "--role", "viewer")
    with console.cloud.database.read() as session:
        held = session.query(Membership).join(User).filter(User.email == EMAIL).one()
    post(console.client(f"owner@{OWN}"), f"/console/people/{held.id}/role", take="1")
    post(console.client(f"owner@{FOREIGN}"), f"/console/people/invite/{FOREIGN}", email=EMAIL, role="viewer")

    told = run(console, "add", EMAIL, "--merchant", OWN, "--role", "owner").output

    assert "by coffee-cloud (cli:" in told
    assert f"by Owner@South ({console.ids[f'owner@{FOREIGN}']}); viewer of {FOREIGN}" in told


def test_who_is_known_is_raised_when_that_is_said(console: Console) -> None:
    run(console, "add", EMAIL, "--merchant", OWN, "--role", "viewer")
    again = ("add", EMAIL, "--merchant", OWN, "--role", "owner")
    assert "by coffee-cloud (cli:" in run(console, *again).output
    assert run(console, *again, "--existing").exit_code == 0
    assert f"owner of {OWN}" in run(console, "list").output
