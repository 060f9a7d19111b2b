"""The rooms of the console. A room that is not named here has no page."""

from cloud.console.account.passkeys import room as account
from cloud.console.alerts.rules import room as alerts
from cloud.console.books.routes import room as books
from cloud.console.charts.routes import room as charts
from cloud.console.claims.routes import room as claims
from cloud.console.enrolment.routes import room as enrolment
from cloud.console.journal.routes import room as journal
from cloud.console.machines.acts import room as machines
from cloud.console.money.routes import room as money
from cloud.console.now.routes import room as now
from cloud.console.orders.routes import room as orders
from cloud.console.people.routes import room as people
from cloud.console.releases.routes import room as releases
from cloud.console.settings.routes import room as settings
from cloud.console.shell.room import Room

ROOMS: tuple[Room, ...] = (
    now,
    machines,
    charts,
    money,
    books,
    orders,
    claims,
    alerts,
    enrolment,
    settings,
    people,
    releases,
    journal,
    account,
)
