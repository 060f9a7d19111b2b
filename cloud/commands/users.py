"""`coffee-cloud user ...` and `coffee-cloud journal verify`: from the shell, whose user holds the database itself."""

import getpass
import sys
from collections.abc import Callable
from typing import NoReturn, TypeVar

import click
from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud.access import passwords, seals, users
from cloud.access.acts import Act, Role
from cloud.access.journal import Author, Entry, Subject, record
from cloud.access.models import JournalRow, Membership, Passkey, User
from cloud.access.signing import Signer
from cloud.console.shell.cookies import PATH
from cloud.database.transaction import Transaction
from cloud.fleet.models import Device, Merchant
from cloud.starting import open_cloud
from cloud.wiring import Cloud

T = TypeVar("T")
BAD = 1
ADD = "user_add"
MADE_BY = (ADD, Act.MANAGE_USERS.value)
"""Acts in the journal by which an account comes to be: here, and at the console."""


def add_to(main: click.Group) -> None:
    """Add the commands."""
    main.add_command(_user_group(open_cloud))
    main.add_command(_journal_group(open_cloud))


def _user_group(ready: Callable[[], Cloud]) -> click.Group:
    @click.group(name="user")
    def user() -> None:
        """Who may use the console (docs/console.md)."""

    for command in (_add, _list, _disable, _reset):
        user.add_command(command(ready))
    return user


def _add(ready: Callable[[], Cloud]) -> click.Command:
    @click.command()
    @click.argument("email")
    @click.option("--name", default="", help="as the journal shows it")
    @click.option("--merchant", help="with --role: at which merchant, when there are several")
    @click.option("--role", type=click.Choice([role.value for role in Role]), help="at a merchant")
    @click.option("--machine", "machines", multiple=True, help="only these machines; may be given again")
    @click.option("--admin", is_flag=True, help="of the platform: every merchant, no money without a support access")
    @click.option("--no-second-factor", is_flag=True, help="excuse him from setting up a second step")
    @click.option("--existing", is_flag=True, help="EMAIL has an account already, and you know who holds it")
    @click.option("--password-stdin", is_flag=True, help="read the password from the standard input; no link is made")
    def add(email: str, name: str, merchant: str | None, role: str | None, machines: tuple[str, ...], admin: bool,
            no_second_factor: bool, existing: bool, password_stdin: bool) -> None:  # fmt: skip
        """Add EMAIL, or with --existing give one who exists a role; print the link by which a new user chooses his
        password.
        """
        if role is None and (merchant or machines):
            raise click.UsageError("--merchant and --machine say where a --role is")
        if "@" not in email:
            raise click.BadParameter("is no e-mail address", param_hint="EMAIL")
        fresh = _read_password(email) if password_stdin else ""
        cloud = ready()

        def work(tx: Transaction) -> str:
            now, known = cloud.clock(), users.by_email(tx.session, email)
            is_new = known is None
            if known is not None and not existing:
                raise _Exists(_told(tx.session, known))
            made = users.add(tx, email, name, now, is_admin=admin, asks_second_factor=not no_second_factor)
            made.is_admin = made.is_admin or admin
            if no_second_factor:
                made.asks_second_factor = False
            where = (merchant or _only_merchant(tx.session)) if role is not None else None
            if role is not None and where is not None:
                _give(tx, made, where, Role(role), machines)
            if fresh:
                users.set_password(tx, made.id, fresh, now)
            _note(tx, cloud, ADD, made, {"role": role, "merchant": where, "machines": list(machines),
                                                "admin": made.is_admin})  # fmt: skip
            return users.invite(tx, made.id, now) if (is_new or not made.password) and not fresh else ""

        token = _done(cloud, work)
        click.echo(f"{email} is added." if not token else _link(cloud, email, token))

    return add


def _list(ready: Callable[[], Cloud]) -> click.Command:
    @click.command(name="list")
    def list_command() -> None:
        """Everybody, with his roles."""
        cloud = ready()
        with cloud.database.read() as session:
            keyed = frozenset(session.scalars(select(Passkey.user_id)))
            members = session.scalars(select(Membership).order_by(Membership.merchant_id)).all()
            for one in session.scalars(select(User).order_by(User.email)):
                roles = [f"{m.role} of {m.merchant_id}" + (f" ({', '.join(m.machines)})" if m.machines else "")
                         for m in members if m.user_id == one.id]  # fmt: skip
                said = ["platform admin"] * one.is_admin + roles + ["second step"] * (bool(one.totp) or one.id in keyed)
                said += ["disabled"] * (one.disabled_at is not None) + ["no password yet"] * (not one.password)
                click.echo(f"{one.email}  {one.name}  {'; '.join(said) or 'no role'}")
        cloud.close()

    return list_command


def _disable(ready: Callable[[], Cloud]) -> click.Command:
    @click.command()
    @click.argument("email")
    def disable(email: str) -> None:
        """Refuse EMAIL from now on; his sessions end at once."""
        cloud = ready()

        def work(tx: Transaction) -> None:
            known = _known(tx, email)
            users.disable(tx, known.id, cloud.clock())
            _note(tx, cloud, "user_disable", known)

        _done(cloud, work)
        click.echo(f"{email} is disabled.")

    return disable


def _reset(ready: Callable[[], Cloud]) -> click.Command:
    @click.command()
    @click.argument("email")
    @click.option("--second-factor", is_flag=True, help="he has lost phone, keys and recovery codes: he sets up anew")
    def reset(email: str, second_factor: bool) -> None:
        """Let EMAIL choose a new password, also one who was disabled; his sessions end at once."""
        cloud = ready()

        def work(tx: Transaction) -> str:
            known = _known(tx, email)
            users.enable(tx, known.id)
            _note(tx, cloud, "user_reset", known, {"second_factor": second_factor})
            return users.reset(tx, known.id, cloud.clock(), with_second_factor=second_factor)

        click.echo(_link(cloud, email, _done(cloud, work)))

    return reset


def _journal_group(ready: Callable[[], Cloud]) -> click.Group:
    @click.group(name="journal")
    def journal() -> None:
        """What people did at the console."""

    @journal.command()
    def verify() -> None:
        """Check that every sealed day is what it was when it was sealed."""
        cloud = ready()
        signer = Signer(cloud.settings.secret_key, cloud.settings.old_secret_keys)
        with cloud.database.read() as session:
            sealed, broken = seals.verify(session, signer)
        cloud.close()
        for one in broken:
            click.echo(f"BAD  {one.day}: {one.why}")
        click.echo(f"{sealed} days are sealed, {len(broken)} are wrong.")
        sys.exit(BAD if broken else 0)

    return journal


def _done(cloud: Cloud, work: Callable[[Transaction], T]) -> T:
    try:
        return cloud.database.transact(work)
    except (LookupError, _Exists) as error:
        _fail(str(error.args[0]))
    finally:
        cloud.close()


class _Exists(Exception):
    """The account is there already: whoever gave it its first link may hold it, and is not to be raised unseen."""


def _told(session: Session, known: User) -> str:
    members = session.scalars(select(Membership).where(Membership.user_id == known.id).order_by(Membership.merchant_id))
    held = ["platform admin"] * known.is_admin + [f"{one.role} of {one.merchant_id}" for one in members]
    of_him = (JournalRow.kind == "user", JournalRow.object_id == known.id, JournalRow.act.in_(MADE_BY))
    made = session.scalar(select(JournalRow).where(*of_him).order_by(JournalRow.id).limit(1))
    last = session.scalar(select(JournalRow).where(*of_him).order_by(JournalRow.id.desc()).limit(1))
    by = "nobody knows by whom" if made is None else f"by {made.who_name or made.who} ({made.who})"
    if made is not None and last is not None and last.who != made.who:
        by += f", last changed {last.at:%Y-%m-%d}, by {last.who_name or last.who} ({last.who})"
    roles = ", ".join(held) or "no role"
    return (
        f"{known.email} has an account already: made {known.created_at:%Y-%m-%d}, {by}; {roles}. "
        "Whoever made or changed it may hold its password. Where you know better, say --existing; else first "
        f"`coffee-cloud user reset {known.email} --second-factor`."
    )


def _known(tx: Transaction, email: str) -> User:
    known = users.by_email(tx.session, email)
    if known is None:
        raise LookupError(f"there is no user {email}")
    return known


def _give(tx: Transaction, user: User, merchant: str, role: Role, machines: tuple[str, ...]) -> None:
    if tx.session.get(Merchant, merchant) is None:
        raise LookupError(f"there is no merchant {merchant}")
    for machine in machines:
        device = tx.session.get(Device, machine)
        if device is None or device.merchant_id != merchant:
            raise LookupError(f"{merchant} has no machine {machine}")
    users.give_role(tx, user.id, merchant, role, machines or None)


def _only_merchant(session: Session) -> str:
    known = session.scalars(select(Merchant.id).order_by(Merchant.id).limit(20)).all()
    if len(known) != 1:
        raise LookupError(f"which merchant? give it by --merchant: {', '.join(known) or 'there is none yet'}")
    return known[0]


def _note(tx: Transaction, cloud: Cloud, act: str, user: User, after: dict[str, object] | None = None) -> None:
    author = Author(f"cli:{getpass.getuser()}"[:64], "coffee-cloud")
    merchant = str((after or {}).get("merchant") or "")
    record(tx, Entry(act, author, Subject("user", user.id, merchant), after=after), cloud.clock())


def _read_password(email: str) -> str:
    password = sys.stdin.readline().rstrip("\n")
    if problem := passwords.problem(password, email):
        raise click.UsageError(f"the password is too {problem}")
    return passwords.hash_of(password)


def _link(cloud: Cloud, email: str, token: str) -> str:
    return f"{email} chooses a password here, within 72 hours:\n{cloud.settings.public_url}{PATH}/welcome/{token}"


def _fail(words: str) -> NoReturn:
    click.echo(words, err=True)
    sys.exit(BAD)
