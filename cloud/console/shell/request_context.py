"""The context of one request: the person, what the person may read, and the one way to act."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Generic, Protocol, TypeVar

from flask import flash, has_request_context, redirect, render_template, request, url_for
from sqlalchemy.orm import Session
from werkzeug.exceptions import Forbidden
from werkzeug.wrappers import Response as BaseResponse

from cloud.access import sessions
from cloud.access.acts import STEP_UP, Act
from cloud.access.journal import Author, Entry, Subject, record
from cloud.access.person import Person, Scope
from cloud.console.shell.texts import ConsoleTexts
from cloud.database.database import Database
from cloud.database.transaction import Transaction
from cloud.fleet import zones
from cloud.wiring import Cloud

T = TypeVar("T")
MERCHANT = "merchant"
"""The part of an address that narrows every page to one merchant."""
MOST_REPEATED = 40
"""Characters of what was typed that are said back."""


@dataclass(frozen=True)
class Done(Generic[T]):
    """What an act did: its result, and what its object was before and after. No secrets: say `journal.CHANGED`."""

    result: T
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    subject: Subject | None = None
    """Where the act made a thing that did not exist before."""
    undoes: int | None = None


class Owned(Protocol):
    """What a button is about: a subject, or a row of a page."""

    @property
    def merchant_id(self) -> str: ...

    @property
    def device_uuid(self) -> str: ...


class NeedsConfirmation(Exception):
    """The act needs a step-up first."""


@dataclass(frozen=True)
class RequestContext:
    """What a view is given. Readers take `context.scope` as their first argument."""

    cloud: Cloud
    person: Person
    now: datetime
    texts: ConsoleTexts
    scope: Scope
    """All the person may do the page's act to; narrowed to the merchant the address names."""
    subject: Subject | None = None
    """The thing the address names, with its owner: the shell has looked it up and checked the right to it."""
    template_values: Callable[["RequestContext"], dict[str, Any]] = field(default=lambda _: {}, repr=False)

    @property
    def database(self) -> Database:
        return self.cloud.database

    @property
    def author(self) -> Author:
        """For use cases that keep a name of their own."""
        return Author.of(self.person)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session for readers."""
        with self.database.read() as session:
            yield session

    def about(self) -> Subject:
        """The thing the address names."""
        if self.subject is None:
            raise RuntimeError("this route names nothing")
        return self.subject

    def perform(
        self, act: Act, subject: Subject, why: str, work: Callable[[Transaction], Done[T]], *, confirmed: bool = False
    ) -> T:
        """Do `work` in one transaction: the right is checked in it, and the journal's row written in it.

        `confirmed`: it needs a recent step-up, as the acts in `STEP_UP` always do.
        What `work` raises undoes everything and comes out here. Raises `NeedsConfirmation` and `Forbidden` too.
        """
        if (confirmed or act in STEP_UP) and not self.person.has_just_confirmed(self.now):
            raise NeedsConfirmation

        def piece(tx: Transaction) -> T:
            person = sessions.again(tx.session, self.person.session_id, self.now)
            if person is None or not person.may(act, subject.merchant_id, subject.device_uuid):
                raise Forbidden
            done = work(tx)
            record(
                tx,
                Entry(act, self.author, done.subject or subject, why, done.before, done.after, done.undoes),
                self.now,
            )
            return done.result

        return self.database.transact(piece)

    def may(self, act: Act, subject: Owned | None = None) -> bool:
        """Whether a button is shown: for this thing, or the page's, or anything at all."""
        of = subject or self.subject
        return self.person.may_somewhere(act) if of is None else self.person.may(act, of.merchant_id, of.device_uuid)

    def render(self, template: str, **values: Any) -> str:
        """A template of `templates/console/`, with what every page has."""
        return render_template(f"console/{template}", **self.template_values(self), **values)

    def scope_of(self, act: Act) -> Scope:
        """All the person may do another act to, narrowed as the page is."""
        return narrowed(self.person.scope(act))

    def say(self, key: str, *, good: bool = True, **values: object) -> None:
        """Tell this on the person's next page."""
        words = self.texts(key, **values).unescape()  # the page that shows them escapes them
        flash(words, "good" if good else "bad")

    def day(self, text: str) -> date | None:
        """The day that is asked for; None for nothing, and for what is no day, which the page then says."""
        named = zones.read_day(text)
        if text and named is None:
            self.say("shell.no_day", good=False, day=text[:MOST_REPEATED])
        return named

    def go(self, view: str, **values: Any) -> BaseResponse:
        """After an act: to this page."""
        return redirect(address(view, **values), 303)


def narrowed(scope: Scope) -> Scope:
    """The part of it that is of the merchant the address names; all of it where it names none."""
    chosen = request.args.get(MERCHANT, "")
    return scope.only(chosen) if chosen else scope


def address(view: str, **values: Any) -> str:
    """The address of a view named `section.view`; stays with the merchant the present page is narrowed to."""
    if has_request_context() and request.args.get(MERCHANT) and MERCHANT not in values:
        values[MERCHANT] = request.args[MERCHANT]
    return url_for(f"console.{view.replace('.', '_', 1)}", **values)
