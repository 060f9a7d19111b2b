"""Builds the loops of alerts from the settings: what looks, what sends, what listens to buttons, what sums up."""

import uuid
from collections.abc import Mapping

from cloud.alerts import certificates
from cloud.alerts.buttons import ButtonSeal
from cloud.alerts.channels.http import Http
from cloud.alerts.channels.letters import Letters
from cloud.alerts.channels.max_messenger import MaxMessenger
from cloud.alerts.channels.sender import Sender
from cloud.alerts.channels.signed_webhook import SignedWebhook
from cloud.alerts.channels.telegram import Telegram
from cloud.alerts.daily_summary import DailySummaries
from cloud.alerts.delivery import AlertSender
from cloud.alerts.outside_watcher import OutsideWatcher
from cloud.alerts.presses import Bot, MaxBot, Presses, TelegramBot
from cloud.alerts.sendings import NOTIFY
from cloud.alerts.usual_weeks import UsualWeeks
from cloud.alerts.watch import IncidentWatch
from cloud.background.loops import Loop, Steps, ThreadPool
from cloud.fleet.vault import Vault
from cloud.wiring import Cloud

ALERTS_SLOTS = 8
"""Messages sent at once; one owner's take half of them at most."""


def alert_loops(cloud: Cloud, pool: ThreadPool) -> list[Loop]:
    """All of them; messages are sent in the threads of `pool`."""
    settings, database = cloud.settings, cloud.database
    vault = Vault(settings.secret_key, settings.old_secret_keys)
    seal = ButtonSeal(settings.secret_key, settings.old_secret_keys)
    console = f"{settings.public_url}/console"
    senders, bots = _senders(cloud)
    watch = IncidentWatch(
        database, cloud.clients.unreadable, lambda: uuid.uuid4().hex,
        lambda now: certificates.watched(settings, now),
    )  # fmt: skip
    sender = AlertSender(database, senders, vault, seal, console, cloud.owner, pool, cloud.clock)
    steps: dict[str, Steps] = {
        "alerts": watch, "usual-weeks": UsualWeeks(database), "summaries": DailySummaries(database, console),
    }  # fmt: skip
    steps |= {f"presses-{bot.messenger}": Presses(database, bot, seal, cloud.owner) for bot in bots}
    if settings.watcher_url:
        steps["watcher"] = OutsideWatcher(database, settings.watcher_url, Http())
    return [
        Loop("notify", sender, database.wakeups, NOTIFY, cloud.clock),
        *(Loop(name, each, database.wakeups, None, cloud.clock) for name, each in steps.items()),
    ]


def _senders(cloud: Cloud) -> tuple[Mapping[str, Sender], list[Bot]]:
    """What this server can send with; messages to a channel of another kind wait."""
    settings = cloud.settings
    senders: dict[str, Sender] = {"webhook": SignedWebhook(Http(public_only=True), cloud.clock)}
    bots: list[Bot] = []
    abroad = Http(settings.alerts_proxy)
    if settings.telegram_token:
        telegram = Telegram(settings.telegram_token, settings.telegram_url, abroad)
        senders["telegram"] = telegram
        bots.append(TelegramBot(telegram))
    if settings.max_token:
        messenger = MaxMessenger(settings.max_token, settings.max_url, abroad)
        senders["max"] = messenger
        bots.append(MaxBot(messenger))
    if settings.smtp_url:
        senders["email"] = Letters(settings.smtp_url, settings.alerts_from, cloud.clock)
    return senders, bots
