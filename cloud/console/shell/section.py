"""A section of the console: its pages and acts, each with the right it needs and the thing it is about.

The shell reads these declarations and guards each route by them; a test walks every one of them with every role.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.orm import Session

from cloud.access.acts import STEP_UP, Act
from cloud.access.journal import Subject
from cloud.buyer.texts import Language

View = Callable[..., Any]
"""Called with the request's `RequestContext`, then what its path names."""


@dataclass(frozen=True)
class Kind:
    """A kind of thing pages are about: how a path names it, and whose it is."""

    name: str
    argument: str
    """The name in the path, as in `<order_id:order_id>`."""
    find: Callable[[Session, str], Subject | None]


@dataclass(frozen=True)
class Nav:
    """A section's place in the navigation."""

    view: str
    """The view it leads to."""
    act: Act
    """Shown to a person who may do this somewhere."""
    icon: str
    order: int


@dataclass(frozen=True)
class Route:
    """One address of the console."""

    path: str
    view: View
    act: Act
    of: Kind | None = None
    method: str = "GET"
    confirmed: bool = False
    """This page needs a step-up, so that the act behind it goes through."""

    @property
    def asks_who(self) -> bool:
        """Whether it needs a step-up first: here, before the view can do anything."""
        return self.confirmed or (self.method == "POST" and self.act in STEP_UP)

    @property
    def name(self) -> str:
        return self.view.__name__


@dataclass
class Section:
    """A subject of the console. `texts` are its sentences by language; their names begin with the section's."""

    name: str
    texts: Mapping[Language, Mapping[str, str]]
    nav: Nav | None = None
    routes: list[Route] = field(default_factory=list)

    def page(self, path: str, act: Act, of: Kind | None = None, *, confirmed: bool = False) -> Callable[[View], View]:
        """A page at `/console<path>`, for people who may `act`; if it is `of` something, to that."""
        return self._route(path, act, of, "GET", confirmed)

    def act(self, path: str, act: Act, of: Kind | None = None) -> Callable[[View], View]:
        """A form's address. What it does goes through `context.perform`."""
        return self._route(path, act, of, "POST", False)

    def _route(self, path: str, act: Act, of: Kind | None, method: str, confirmed: bool) -> Callable[[View], View]:
        def add(view: View) -> View:
            self.routes.append(Route(path, view, act, of, method, confirmed))
            return view

        return add
