"""Says an incident in words: the same facts in a messenger, a letter and a program. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from cloud.alerts.channels.sender import REPEATED, Button, Letter
from cloud.alerts.incident import Incident
from cloud.alerts.kinds import Kind
from cloud.alerts.telling import Word
from cloud.alerts.texts_en import EN
from cloud.alerts.texts_ru import RU

SENTENCES: Mapping[str, Mapping[str, str]] = {"ru": RU, "en": EN}
MOST_MACHINES_LISTED = 40


@dataclass(frozen=True)
class Reader:
    """The person who reads it, and where the console is."""

    language: str
    zone: ZoneInfo
    console_url: str

    def say(self, key: str, **values: object) -> str:
        """A sentence in the reader's language."""
        return SENTENCES[self.language][key].format(**values)

    def moment(self, at: datetime, now: datetime) -> str:
        """The time, with the day when it is another one, in the reader's zone."""
        local = at.astimezone(self.zone)
        is_today = local.date() == now.astimezone(self.zone).date()
        return local.strftime("%H:%M" if is_today else "%d.%m %H:%M")

    def money(self, kopecks: int) -> str:
        """Roubles."""
        whole = f"{kopecks // 100:,}".replace(",", "\u00a0")
        return f"{whole},{kopecks % 100:02}\u00a0₽" if self.language == "ru" else f"{whole}.{kopecks % 100:02}\u00a0₽"

    def why(self, reason: str) -> str:
        """A reason or code in words; as it is where there are none. Of several, each once."""
        codes = dict.fromkeys(one.rpartition(":")[2] for one in reason.split(", "))
        sentences = SENTENCES[self.language]
        return ", ".join(sentences.get(f"why.{code}", code) for code in codes)

    def lasted(self, time: timedelta) -> str:
        """A length of time."""
        hours, minutes = divmod(max(1, round(time.total_seconds() / 60)), 60)
        return self.say("lasted.hours", h=hours, n=minutes) if hours else self.say("lasted.minutes", n=minutes)


def letter(
    incident: Incident, word: Word, reader: Reader, key: str, now: datetime, buttons: Sequence[Button] = (),
    *, repeated: bool,
) -> Letter:  # fmt: skip
    """The message about an incident, as things are now."""
    title = reader.say(f"{incident.kind.value}.title", **_values(incident, reader, now))
    headline = reader.say(f"word.{word.value}", title=title)
    link = f"{reader.console_url}/alerts/{incident.id}"
    lines = [headline, "", *_body(incident, reader, now)]
    if incident.is_live:
        lines.append(reader.say("runbook", page=link))
    lines += [REPEATED[reader.language]] if repeated else []
    return Letter(
        key, headline, "\n".join(lines), link, buttons, facts_of(incident, word, link), repeated
    )  # fmt: skip


def facts_of(incident: Incident, word: Word, link: str) -> Mapping[str, Any]:
    """The same for programs. Times are ISO 8601 in UTC."""
    return {
        "incident": incident.id, "kind": incident.kind.value, "severity": incident.terms.severity.value,
        "word": word.value, "state": incident.state.value, "merchant": incident.merchant_id,
        "subject": incident.subject, "since": incident.since.isoformat(), "revision": incident.revision,
        "facts": dict(incident.facts), "link": link,
    }  # fmt: skip


def one_line(incident: Incident, word: Word, reader: Reader, now: datetime) -> str:
    """For a digest."""
    title = reader.say(f"{incident.kind.value}.title", **_values(incident, reader, now))
    return reader.say(f"word.{word.value}", title=f"{title} ({reader.moment(incident.since, now)})")


def title_of(incident: Incident, reader: Reader, now: datetime) -> str:
    """For a list of incidents."""
    return reader.say(f"{incident.kind.value}.title", **_values(incident, reader, now))


def text_of(incident: Incident, reader: Reader, now: datetime) -> str:
    """What is wrong, in a sentence or two."""
    return reader.say(f"{incident.kind.value}.text", **_values(incident, reader, now))


def undelivered(why: str, language: str) -> str:
    """Why nothing arrived in a channel: our own reasons in words, the other side's as it gave them."""
    return SENTENCES[language].get(f"undelivered.{why}", why)


def _body(incident: Incident, reader: Reader, now: datetime) -> list[str]:
    lines = [] if incident.resolved_at is not None else [text_of(incident, reader, now)]
    if incident.kind is Kind.MANY_OFFLINE and incident.is_live:
        names = incident.facts["machines"]
        more = "…" if len(names) > MOST_MACHINES_LISTED else ""
        lines.append(reader.say("many_offline.list", machines=", ".join(names[:MOST_MACHINES_LISTED]) + more))
    if incident.resolved_at is not None:
        lasted = reader.lasted(incident.resolved_at - incident.since)
        lines.append(reader.say("resolved.text", until=reader.moment(incident.resolved_at, now), lasted=lasted))
    elif incident.acknowledged_by:
        lines.append(reader.say("acknowledged.text", by=incident.acknowledged_by))
    return lines


def _values(incident: Incident, reader: Reader, now: datetime) -> dict[str, object]:
    facts = incident.facts
    values: dict[str, object] = {
        "since": reader.moment(incident.since, now), "subject": incident.subject,
        "place": incident.subject, **facts,
    }  # fmt: skip
    if "kopecks" in facts:
        values["money"] = reader.money(facts["kopecks"])
    if "reason" in facts:
        values["why"] = reader.why(str(facts["reason"]))
    elif incident.kind is Kind.FAULT:
        values["why"] = reader.why("fault")
    if incident.kind is Kind.CHANNEL_BROKEN:
        values["why"] = undelivered(str(facts["why"]), reader.language)
    if facts.get("what") == "*":
        values["what"] = reader.say("closed_itself.whole")
    if "machines" in facts:
        values["n"] = len(facts["machines"])
    return values
