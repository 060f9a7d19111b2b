"""Tables of users, of what they may do, and the journal of what they did. Tokens and codes lie here only as hashes."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Date,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    UniqueConstraint,
    false,
    text,
    true,
)
from sqlalchemy.orm import Mapped, mapped_column

from cloud.database.base import Base


class User(Base):
    """One person. Never removed: the journal names him."""

    __tablename__ = "users"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    email: Mapped[str] = mapped_column(String(255), unique=True)
    """In lower case."""
    name: Mapped[str] = mapped_column(String(255), default="")
    is_admin: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    """Of the platform: sees every merchant, touches money only under a support access."""
    password: Mapped[str] = mapped_column(String(255), default="")
    """Argon2's text; empty until the invitation is taken."""
    totp: Mapped[str] = mapped_column(Text, default="")
    """The second factor's secret, encrypted; empty without one."""
    totp_step: Mapped[int] = mapped_column(Integer, default=0)
    """The last time step a code was taken of: no code is taken twice."""
    asks_second_factor: Mapped[bool] = mapped_column(Boolean, default=True, server_default=true())
    """False excuses him from setting one up."""
    invitation: Mapped[str | None] = mapped_column(String(64), unique=True, default=None)
    """Hash of the link by which he chooses a password."""
    invited_until: Mapped[datetime | None] = mapped_column(default=None)
    disabled_at: Mapped[datetime | None] = mapped_column(default=None)
    language: Mapped[str] = mapped_column(String(8), default="")
    theme: Mapped[str] = mapped_column(String(8), default="")
    created_at: Mapped[datetime]


class Membership(Base):
    """A user's role at a merchant; with `machines` it reaches only those."""

    __tablename__ = "memberships"
    __table_args__ = (UniqueConstraint("user_id", "merchant_id"), Index("ix_memberships_merchant_id", "merchant_id"))

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    merchant_id: Mapped[str] = mapped_column(ForeignKey("merchants.id"))
    role: Mapped[str] = mapped_column(String(16))
    machines: Mapped[list[Any] | None] = mapped_column(JSON(none_as_null=True), default=None)


class LoginSession(Base):
    """One browser that is logged in, or half: without `complete_at` only the second step is open to it."""

    __tablename__ = "login_sessions"
    __table_args__ = (Index("ix_login_sessions_user_id", "user_id", "ended_at"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    token: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    complete_at: Mapped[datetime | None] = mapped_column(default=None)
    """When the last step of logging in was taken."""
    knows_passkeys: Mapped[bool | None] = mapped_column(default=None)
    """True: the program that let the person in asks for passkeys. Programs from before them leave it empty."""
    confirmed_at: Mapped[datetime | None] = mapped_column(default=None)
    ended_at: Mapped[datetime | None] = mapped_column(default=None)
    address: Mapped[str] = mapped_column(String(64), default="")
    agent: Mapped[str] = mapped_column(String(200), default="")
    """What the browser calls itself."""


class LoginAttempt(Base):
    """Failures of one account, or from one address, in a row."""

    __tablename__ = "login_attempts"

    key: Mapped[str] = mapped_column(String(80), primary_key=True)
    failures: Mapped[int] = mapped_column(Integer, default=0)
    last_at: Mapped[datetime] = mapped_column(index=True)


class RecoveryCode(Base):
    """One code that stands in for a lost second factor, once."""

    __tablename__ = "recovery_codes"
    __table_args__ = (UniqueConstraint("user_id", "code"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    code: Mapped[str] = mapped_column(String(64))
    used_at: Mapped[datetime | None] = mapped_column(default=None)


class Passkey(Base):
    """One authenticator of a user: what we check its signatures with. Nothing in it is a secret."""

    __tablename__ = "passkeys"
    __table_args__ = (Index("ix_passkeys_user_id", "user_id"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    credential: Mapped[str] = mapped_column(String(1400), unique=True)
    """What the authenticator calls it; base64url, 1023 bytes at most."""
    public_key: Mapped[str] = mapped_column(Text)
    signatures: Mapped[int] = mapped_column(BigInteger, default=0)
    """The authenticator's own count of signatures at its last use; 0 for one that does not count."""
    transports: Mapped[list[Any]] = mapped_column(JSON, default=list)
    """How browsers reach it, told to them again."""
    name: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]
    used_at: Mapped[datetime | None] = mapped_column(default=None)


class Identity(Base):
    """A user's identity at an identity provider: bound once, by his verified address."""

    __tablename__ = "identities"
    __table_args__ = (UniqueConstraint("user_id", "issuer"),)

    issuer: Mapped[str] = mapped_column(String(255), primary_key=True)
    subject: Mapped[str] = mapped_column(String(255), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    bound_at: Mapped[datetime]


class LoginChallenge(Base):
    """A question put to an authenticator or an identity provider, until it is answered once or too old."""

    __tablename__ = "login_challenges"

    challenge: Mapped[str] = mapped_column(String(64), primary_key=True)
    """Its hash."""
    purpose: Mapped[str] = mapped_column(String(16))
    holder: Mapped[str] = mapped_column(String(64))
    """The only holder whose answer is taken: a session, or the browser of somebody not yet known."""
    asked_from: Mapped[str] = mapped_column(String(64), default="", index=True)
    expires_at: Mapped[datetime] = mapped_column(index=True)


class SupportAccess(Base):
    """For a time, for a reason, a platform admin may touch a merchant's money; its people see that."""

    __tablename__ = "support_accesses"
    __table_args__ = (Index("ix_support_accesses_merchant_id", "merchant_id", "until"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), index=True)
    merchant_id: Mapped[str] = mapped_column(ForeignKey("merchants.id"))
    why: Mapped[str] = mapped_column(String(500))
    opened_at: Mapped[datetime]
    until: Mapped[datetime]
    ended_at: Mapped[datetime | None] = mapped_column(default=None)


class LinkCode(Base):
    """A code that a person writes to the bot once: it links that person, or the chat of a channel. Stored hashed."""

    __tablename__ = "alert_link_codes"

    code_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    purpose: Mapped[str] = mapped_column(String(16))
    """`person` or `channel`."""
    value: Mapped[str] = mapped_column(String(255))
    """The user's id, or the channel's."""
    expires_at: Mapped[datetime]


class LinkedPerson(Base):
    """The user an account of a messenger belongs to (`who`: the user's id). Only linked accounts may press buttons."""

    __tablename__ = "alert_people"

    messenger: Mapped[str] = mapped_column(String(16), primary_key=True)
    user: Mapped[str] = mapped_column(String(64), primary_key=True)
    who: Mapped[str] = mapped_column(String(255), index=True)
    linked_at: Mapped[datetime]


NOTES, UNDOES = "act = 'note_machine'", "undoes IS NOT NULL"
"""Few of the journal's entries, each asked for by pages that must not read all of it."""


class JournalRow(Base):
    """One act of one person. Append-only."""

    __tablename__ = "journal"
    __table_args__ = (
        Index("ix_journal_at", "at", "id"),
        Index("ix_journal_merchant_id", "merchant_id", "at", "id"),
        Index("ix_journal_object", "kind", "object_id", "id"),
        Index("ix_journal_notes", "device_uuid", "at", postgresql_where=text(NOTES), sqlite_where=text(NOTES)),
        Index("ix_journal_undoes", "undoes", postgresql_where=text(UNDOES), sqlite_where=text(UNDOES)),
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    at: Mapped[datetime]
    who: Mapped[str] = mapped_column(String(64))
    """A user's id, or the program that acted by itself or for a shell's user (`cli:ann`)."""
    who_name: Mapped[str] = mapped_column(String(255), default="")
    merchant_id: Mapped[str] = mapped_column(String(64), default="")
    device_uuid: Mapped[str] = mapped_column(String(64), default="")
    act: Mapped[str] = mapped_column(String(32))
    kind: Mapped[str] = mapped_column(String(32))
    """What the act was done to: `order`, `device`, `user`, ..."""
    object_id: Mapped[str] = mapped_column(String(255))
    before: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True), default=None)
    after: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True), default=None)
    why: Mapped[str] = mapped_column(String(500), default="")
    undoes: Mapped[int | None] = mapped_column(Integer, default=None)
    """The entry this act took back."""
    address: Mapped[str] = mapped_column(String(64), default="")
    session_id: Mapped[str] = mapped_column(String(32), default="")


class DaySeal(Base):
    """What the journal of one day (UTC) was, signed; it holds the seal before it. Append-only."""

    __tablename__ = "journal_seals"

    day: Mapped[date] = mapped_column(Date, primary_key=True)
    entries: Mapped[int] = mapped_column(Integer)
    digest: Mapped[str] = mapped_column(String(64))
    signature: Mapped[str] = mapped_column(String(128))
    sealed_at: Mapped[datetime]
