"""What every page of the console shows around its content: navigation by rights, merchants, support accesses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from flask import request
from sqlalchemy import select

from cloud.access.acts import Act
from cloud.access.person import Person
from cloud.access.relying_party import relying_party
from cloud.access.support import open_now
from cloud.buyer.texts import LANGUAGES, Language
from cloud.console.shell import cookies
from cloud.console.shell.assets import asset
from cloud.console.shell.icons import icon
from cloud.console.shell.merchants import Merchants, merchants_in
from cloud.console.shell.request_context import MERCHANT, RequestContext, address
from cloud.console.shell.section import Section
from cloud.console.shell.texts import DEFAULT_ZONE, SHELL, ConsoleTexts
from cloud.fleet.models import Merchant
from cloud.wiring import Cloud

NO_CHOICE = Merchants((), 0)
SEARCH = "orders_list"
"""The view that answers the search field; without it there is no such field."""


@dataclass(frozen=True)
class Place:
    """One entry of the navigation."""

    section: str
    where: str
    icon: str


class Frame:
    """Knows the sections, and draws what is around them."""

    def __init__(self, cloud: Cloud, sections: Sequence[Section]) -> None:
        self._cloud = cloud
        self._sections = sections
        self._names = frozenset(f"{section.name}_{route.name}" for section in sections for route in section.routes)
        self._sentences: Mapping[Language, Mapping[str, str]] = {
            language: {**SHELL[language], **_all(section.texts[language] for section in sections)}
            for language in LANGUAGES
        }

    def texts(self, language: Language, now: datetime, zone: ZoneInfo = DEFAULT_ZONE) -> ConsoleTexts:
        return ConsoleTexts(language, self._sentences[language], now, zone)

    def has(self, view: str) -> bool:
        """Whether there is such a page: sections lead to one another only where both are there."""
        return view.replace(".", "_", 1) in self._names

    def outside(self, texts: ConsoleTexts) -> dict[str, Any]:
        """What pages have that nobody is logged in at."""
        return {
            "t": texts, "asset": asset, "to": address, "icon": icon, "theme": cookies.theme(), "context": None,
            "other_language": "en" if texts.language == "ru" else "ru",
            "vouches": urlsplit(self._cloud.settings.oidc_issuer).hostname or "",
            "takes_passkeys": relying_party(self._cloud.settings.public_url) is not None,
        }  # fmt: skip

    def template_values(self, context: RequestContext) -> dict[str, Any]:
        """What every page has."""
        person, chosen = context.person, request.args.get(MERCHANT, "")
        menu = self._merchants(person, chosen)
        return {
            **self.outside(context.texts),
            "context": context,
            "person": person,
            "may": context.may,
            "has": self.has,
            "Act": Act,
            "now": context.now,
            "theme": cookies.theme(person.theme),
            "places": self.places(person),
            "here": (request.endpoint or "").removeprefix("console.").partition("_")[0],
            "merchants": menu.listed,
            "merchants_in_all": menu.total,
            "merchant": chosen,
            "searches": SEARCH in self._names and person.may_somewhere(Act.SEE_ORDERS),
            "supports": self._supports(context),
            "is_fragment": "HX-Request" in request.headers and "HX-Boosted" not in request.headers,
        }

    def places(self, person: Person) -> list[Place]:
        """The sections this person has something to do in."""
        shown = [
            (section.nav.order, section.name, section.nav) for section in self._sections if section.nav is not None
        ]
        return [
            Place(name, address(nav.view), nav.icon) for _, name, nav in sorted(shown, key=lambda one: one[0])
            if person.may_somewhere(nav.act)
        ]  # fmt: skip

    def home(self, person: Person) -> str:
        """The first page of this person."""
        return next((place.where for place in self.places(person)), address("account.show"))

    def _merchants(self, person: Person, chosen: str) -> Merchants:
        """Whose pages can be shown alone; none where there is no choice."""
        scope = person.scope(Act.SEE_NOW)
        if not scope.everything and len(person.held) < 2:
            return NO_CHOICE
        with self._cloud.database.read() as session:
            menu = merchants_in(session, scope, chosen)
        return menu if menu.total > 1 else NO_CHOICE

    def _supports(self, context: RequestContext) -> list[tuple[Any, str]]:
        """Support accesses this person should know of, with their merchant's name."""
        with context.read() as session:
            accesses = open_now(session, context.person.scope(Act.SEE_NOW), context.now)
            ids = {one.merchant_id for one in accesses}
            query = select(Merchant.id, Merchant.name).where(Merchant.id.in_(ids))
            names = {row.id: row.name for row in session.execute(query)} if ids else {}
        return [(one, names.get(one.merchant_id, one.merchant_id)) for one in accesses]


def _all(dictionaries: Any) -> dict[str, str]:
    return {key: words for one in dictionaries for key, words in one.items()}
