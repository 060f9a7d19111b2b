"""The page of the console where something can be done about an alert."""

from collections.abc import Mapping
from dataclasses import dataclass

from cloud.access.acts import Act
from cloud.alerts.incident import Incident
from cloud.alerts.kinds import OF_A_MACHINE, Kind
from cloud.console.shell.request_context import RequestContext, address


@dataclass(frozen=True)
class Place:
    """A view, who sees it, and what its link is called."""

    view: str
    act: Act
    name: str


_MACHINE = Place("machines.show", Act.SEE_FLEET, "alerts.machine_page")
_MONEY = Place("money.show", Act.SEE_MONEY, "money.nav")
_SETTINGS = Place("settings.merchant", Act.SEE_SETTINGS, "settings.nav")
PLACES: Mapping[Kind, Place] = {
    **dict.fromkeys(OF_A_MACHINE, _MACHINE),
    **dict.fromkeys((Kind.MONEY_WAITS, Kind.RETURN_STUCK, Kind.CAPTURE_STUCK, Kind.DIFFERENCE), _MONEY),
    **dict.fromkeys((Kind.KEY_REFUSED, Kind.VALIDITY_ENDING), _SETTINGS),
    Kind.CLAIM_WAITS: Place("claims.list", Act.SEE_CLAIMS, "claims.nav"),
    Kind.ROLLOUT_STOPPED: Place("releases.show", Act.SEE_ROLLOUTS, "releases.nav"),
    Kind.CHANNEL_BROKEN: Place("alerts.channels", Act.EDIT_ALERTS, "alerts.channels"),
}
"""Where a kind is not named, nothing can be done in the console."""


def link_of(incident: Incident, context: RequestContext) -> tuple[str, str]:
    """Its address and its name; both empty where there is none, or none for this person."""
    place = PLACES.get(incident.kind)
    if place is None or not context.may(place.act):
        return "", ""
    machine, merchant = {"device_uuid": incident.subject}, {"merchant_id": incident.merchant_id}
    named = machine if place is _MACHINE else merchant if place is _SETTINGS else {}
    return address(place.view, **named), str(context.texts(place.name))
