"""Build the worker and all it stands on: for the running agent, and for a simulation that runs it in virtual time."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from agent.clock import Clock, CloudClock
from agent.journal.journal import Journal
from agent.live_state import LiveState
from agent.machine.driver import Driver, Line
from agent.machine.frame_dump import FrameDump
from agent.machine.profile import Profile
from agent.making.counter_watch import CounterWatch
from agent.making.finish_command import CommandFinisher
from agent.making.follow_drink import DrinkFollower
from agent.making.inquiry import Inquiry
from agent.making.machine_checks import MachineChecks
from agent.making.machine_events import MachineEvents
from agent.making.make_drink import DrinkMaker
from agent.making.operator_jobs import OperatorJobs
from agent.making.preconditions import Preconditions
from agent.making.readiness import Readiness
from agent.making.readiness_probe import ReadinessProbe
from agent.making.recovery import Recovery
from agent.making.send_make import MakeSender
from agent.making.settle_drink import LateSettler
from agent.making.unordered_drinks import UnorderedDrinks
from agent.making.unrecorded_command import UnrecordedCommands
from agent.making.worker import Worker
from agent.update.updater import Updater


class Surroundings(NamedTuple):
    """What the worker is given."""

    line: Line
    driver: Driver
    journal: Journal
    live_state: LiveState
    clock: Clock
    cloud: CloudClock
    profile: Profile
    base_profile: Profile
    """Without what an operator has set."""
    frame_dump: FrameDump
    state_dir: Path
    restart: Callable[[], None]
    """Ends this run of the agent; whoever started it starts it again."""
    updater: Updater | None = None


class MachineSide(NamedTuple):
    """The worker, and what hears the machine for it."""

    worker: Worker
    events: MachineEvents
    readiness: Readiness
    checks: MachineChecks


def build_machine_side(given: Surroundings) -> MachineSide:
    """Begins the life of this process: its clock says now when it started."""
    journal, driver, live_state, profile = given.journal, given.driver, given.live_state, given.profile
    clock = given.clock
    unordered = UnorderedDrinks()
    counter_watch = CounterWatch(unordered, journal, driver, profile, clock)
    counter_watch.judge_counter()
    readiness = Readiness(
        line=given.line, driver=driver, journal=journal, live_state=live_state, profile=profile, clock=clock
    )
    finisher = CommandFinisher(journal, driver, live_state, given.frame_dump, clock)
    preconditions = Preconditions(
        journal, driver, live_state, clock, given.cloud, profile, clock.monotonic(), readiness, finisher
    )
    maker, settler = _build_maker(given, unordered, preconditions, finisher)
    operator_jobs = OperatorJobs(
        driver, live_state, clock, given.cloud, profile, given.base_profile, journal.sales_block, counter_watch,
        given.state_dir, given.restart, given.updater,
    )  # fmt: skip
    checks = MachineChecks(
        driver=driver, journal=journal, live_state=live_state, readiness=readiness, settler=settler, profile=profile,
        clock=clock,
    )  # fmt: skip
    events = MachineEvents(
        journal=journal, live_state=live_state, driver=driver, profile=profile,
        counter_watch=counter_watch, operator_jobs=operator_jobs, clock=clock,
    )  # fmt: skip
    worker = Worker(
        line=given.line, driver=driver, events=events, journal=journal, live_state=live_state, readiness=readiness,
        preconditions=preconditions, drink_maker=maker, checks=checks,
        recovery=Recovery(journal, driver, profile, clock, unordered, checks.never_sent),
        probe=ReadinessProbe(journal, live_state, driver, readiness, profile.timers.query_reply),
        operator_jobs=operator_jobs, finisher=finisher,
    )  # fmt: skip
    return MachineSide(worker, events, readiness, checks)


def _build_maker(
    given: Surroundings, unordered: UnorderedDrinks, preconditions: Preconditions, finisher: CommandFinisher
) -> tuple[DrinkMaker, LateSettler]:
    journal, driver, live_state, profile = given.journal, given.driver, given.live_state, given.profile
    clock = given.clock
    sender = MakeSender(journal, driver, clock, profile, preconditions, finisher, unordered)
    inquiry = Inquiry(journal, driver, live_state, clock, profile)
    unrecorded = UnrecordedCommands(journal, driver, live_state, preconditions)
    follower = DrinkFollower(journal, driver, live_state, clock, profile, finisher, sender, inquiry, unrecorded)
    settler = LateSettler(journal, driver, clock, profile, finisher, inquiry, unrecorded, follower)
    maker = DrinkMaker(journal, driver, live_state, finisher, preconditions, sender, follower, settler)
    return maker, settler
