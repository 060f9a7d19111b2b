"""When a channel may be disturbed. What happens in quiet hours is judged all the same, and told when they end. Pure."""

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo


@dataclass(frozen=True)
class QuietHours:
    """From one time of the day to another in a zone, over midnight if need be; none when both are the same."""

    begin: time
    end: time
    zone: ZoneInfo

    def end_of(self, now: datetime) -> datetime | None:
        """When the quiet hours that `now` lies in are over (UTC); None outside of them."""
        local = now.astimezone(self.zone)
        if not self._holds(local.time()):
            return None
        day = local.date() + timedelta(days=self.begin > self.end and local.time() >= self.begin)
        end = datetime.combine(day, self.end, self.zone).replace(fold=local.fold)  # of the hour that clocks repeat
        return end.astimezone(now.tzinfo)

    def _holds(self, at: time) -> bool:
        if self.begin <= self.end:
            return self.begin <= at < self.end
        return at >= self.begin or at < self.end
