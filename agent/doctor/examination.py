"""Looks at everything the agent needs and says in plain words what is wrong and what to do.

Changes nothing here. At the broker, where no agent runs, it takes the device's place: what waited there is sent again.
"""

from collections.abc import Iterator, Mapping

from agent import settings, show
from agent.doctor import broker, machine, storage
from agent.doctor.findings import BAD, GOOD, WRONG, Finding
from agent.folder_lock import is_running
from agent.machine import profile, profile_overrides
from agent.machine.profile import BadProfile
from agent.settings import BadSettings, Settings


def examine(env: Mapping[str, str]) -> Iterator[Finding]:
    """Everything, in the order in which things depend on each other."""
    try:
        state_dir = settings.state_dir(env)
        yield from storage.examine(state_dir)
        chosen = Settings.from_env(env)
        loaded = profile.load(chosen.profile)
    except (BadSettings, BadProfile) as error:
        for problem in str(error).splitlines():
            yield Finding(WRONG, "settings", problem)
        return
    yield Finding(GOOD, "settings", f"device {chosen.device_uuid}, profile {loaded.name}")
    in_force = profile_overrides.in_force(loaded, state_dir, chosen.device_uuid)
    if from_afar := profile_overrides.differences(loaded, in_force):
        yield Finding(GOOD, "settings", f"set from afar: {show.plain(from_afar)}")
    runs = is_running(state_dir)
    yield from machine.examine(chosen, loaded, port_is_ours=runs)
    if runs:
        told, _ = show.status(state_dir)
        why = (line.removeprefix(show.NOT_SELLING).strip() for line in told if line.startswith(show.NOT_SELLING))
        yield from (Finding(BAD, "selling", words) for words in why)
    yield from broker.examine(chosen, loaded.name, said_by_agent=show.said(state_dir) if runs else None)
