"""The rooms of the console. A room that is not named here has no page."""

from cloud.console.account.routes import room as account
from cloud.console.shell.room import Room

ROOMS: tuple[Room, ...] = (account,)
