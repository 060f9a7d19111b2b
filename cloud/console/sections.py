"""The sections of the console. A section that is not named here has no page."""

from cloud.console.account.passkeys import section as account
from cloud.console.alerts.rules import section as alerts
from cloud.console.books.routes import section as books
from cloud.console.charts.routes import section as charts
from cloud.console.claims.routes import section as claims
from cloud.console.enrolment.routes import section as enrolment
from cloud.console.journal.routes import section as journal
from cloud.console.machines.acts import section as machines
from cloud.console.money.routes import section as money
from cloud.console.now.routes import section as now
from cloud.console.orders.routes import section as orders
from cloud.console.people.routes import section as people
from cloud.console.releases.routes import section as releases
from cloud.console.settings.routes import section as settings
from cloud.console.shell.section import Section

SECTIONS: tuple[Section, ...] = (
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
