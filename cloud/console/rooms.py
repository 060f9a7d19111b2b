"""The rooms of the console. A room that is not named here has no page."""

from cloud.console.account.routes import room as account
from cloud.console.alerts.routes import room as alerts
from cloud.console.claims.routes import room as claims
from cloud.console.orders.routes import room as orders
from cloud.console.shell.room import Room

ROOMS: tuple[Room, ...] = (
    orders,
    claims,
    alerts,
    account,
)
