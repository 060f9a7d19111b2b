"""One world from its seed: built, lived through, judged.

First everything may go wrong; then nothing does any more, and every order must come to its end.
"""

import logging
import traceback
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud.orders import archive
from cloud.orders.archive import ArchivedOrder
from simulator.yookassa.behaviour import Behaviour
from simulator.yookassa.terms import Terms
from tests.simulation import fleet, here
from tests.simulation.agent_process import AgentProcess, copy_journal
from tests.simulation.broker import Broker
from tests.simulation.buyers import Buyer, draw_plans
from tests.simulation.cloud_process import CloudProcess
from tests.simulation.database_server import DatabaseServer
from tests.simulation.disk import Disk
from tests.simulation.due import Due
from tests.simulation.faults import Faults
from tests.simulation.machine import Machine
from tests.simulation.mixes import HOURS_AHEAD, Mix
from tests.simulation.operators import Bookkeeper, Keeper, Operator
from tests.simulation.promises import Promises
from tests.simulation.provider import Keys, ProviderSide
from tests.simulation.rest import what_is_under_way
from tests.simulation.scheduler import Process, Scheduler, Spinning
from tests.simulation.storms import Storms
from tests.simulation.timeline import Ear, Timeline
from tests.simulation.told import Told

if TYPE_CHECKING:
    from tests.simulation.workshop import Workshop

END_WITHIN_S = 3.5 * 3600.0
"""After the last fault: an unpaid payment lives an hour, a refused return is asked again after at most another."""
A_PERSON_AFTER_S = 86_400.0
"""So long after a restore machines are asked about what was forgotten; then a person is."""
QUIET_S = 15.0
"""A world is over when for so long nothing was under way."""
LOOK_S = 5.0
POLL_SLOW_S = 120.0
"""Half as often as by default: most of a world's life passes in waiting."""


class World:
    """Everything there is, and the questions its parts ask of it."""

    def __init__(self, workshop: "Workshop", seed: int, mix: Mix, only: Container[str] | None) -> None:
        self.seed, self.mix = seed, mix
        self.vault = workshop.vault
        self.rules = replace(
            workshop.rules, uncertain_returns_a_day=mix.returns_a_day, payment_poll_fast_s=mix.poll_fast_s,
            payment_poll_slow_s=POLL_SLOW_S,
        )  # fmt: skip
        self.engines = workshop.engines
        self.random = Random(f"world/{seed}")
        self.scheduler = Scheduler(self._on_death, self._after_each)
        self.timeline = Timeline(lambda: self.scheduler.now)
        self.faults = Faults(seed, mix.rates, only)
        self.faults.on_strike = lambda name: self.timeline.add("FAULT", name)
        self.promises = Promises(self)
        self.disk = Disk(workshop.template, workshop.folder / "world.db")
        fleet.arrange(str(self.disk.path), mix.capture, mix.status_check)
        self.database_server = DatabaseServer(self)
        self.due = Due(self.disk.look)
        self.broker = Broker(self.scheduler, self.faults, self.timeline, Random(f"{seed}/broker"))
        terms = Terms(sbp_refund=timedelta(minutes=20))
        self.provider = ProviderSide(
            self.scheduler,
            self.faults,
            self.timeline,
            [*fleet.SHOPS.values(), *fleet.OTHER_SHOPS.values()],
            terms,
            seed,
        )
        self._behave(refunds_fail=mix.refunds_fail)
        self.provider.deliver = self._deliver
        self.keys = Keys(lambda what: self.promises.break_(4, what))
        self.machines: list[Machine] = []
        self.agents: list[AgentProcess] = []
        self.clouds: list[CloudProcess] = []
        self.buyers: list[Buyer] = []
        self.paid_at: dict[str, datetime] = {}
        """When the buyer of an order was told that he has paid."""
        self.waits_disturbed_at = float("-inf")
        """When a clock of the cloud was last set or its database put back, true seconds: older waits may end early."""
        self.operator = Operator(self)
        self.bookkeeper = Bookkeeper(self)
        self.keeper = Keeper(self)
        self._workshop = workshop
        self._is_changed = False
        self._payments = 0
        self._look_at = 0.0
        self._rests_since: float | None = None
        self._restless = ""
        self._restarts_due = 0
        self._latencies = Random(f"{seed}/latency")
        self._ends: tuple[str, ...] = ()

    def live(self) -> Told:
        """From its first to its last moment."""
        here.enter(self)
        self.engines.on_change = self._changed
        self.engines.fails = lambda: bool(self.faults.strikes("db.fails"))
        self.engines.is_away = self.database_server.is_away
        loggers = [logging.getLogger(name) for name in ("cloud", "agent")]
        ear = Ear(self.timeline, self._who, lambda said: self.promises.break_(0, f"an error nobody expected: {said}"))
        before = [(logger.level, logger.propagate) for logger in loggers]
        for logger in loggers:
            logger.addHandler(ear)
            logger.setLevel(logging.INFO)
            logger.propagate = False
        try:
            self._found()
            self._run()
            self._ends = self._how_orders_ended()
        finally:
            for logger, (level, propagate) in zip(loggers, before, strict=True):
                logger.removeHandler(ear)
                logger.setLevel(level)
                logger.propagate = propagate
            self._close()
            here.leave()
        return self._told()

    # Its beginning and its end

    def _found(self) -> None:
        mix = self.mix
        self.timeline.add("world", f"seed {self.seed}: {', '.join(mix.families) or 'no faults'}; {mix.capture}, "
                          f"{mix.status_check}, {'+'.join(name for name, _, _ in mix.topology)}")  # fmt: skip
        skews = Random(f"{self.seed}/skews")
        for name, has_web, has_worker in mix.topology:
            cloud = CloudProcess(self, name, has_web=has_web, has_worker=has_worker)
            cloud.process.skew = mix.cloud_ahead + skews.uniform(-mix.cloud_skew, mix.cloud_skew)
            cloud.process.may_die = self._may_cloud_die
            self.clouds.append(cloud)
            cloud.start()
        for device in mix.devices:
            self._install(device)
        for plan in draw_plans(Random(f"{self.seed}/buyers"), mix):
            buyer = Buyer(self, plan, Random(f"{self.seed}/{plan.order_id}"))
            self.buyers.append(buyer)
            buyer.begin()
        Storms(self).begin()
        self.operator.begin()
        self.scheduler.at(mix.storms_until, self._heal)

    def _install(self, device: str) -> None:
        machine = Machine(device, self.scheduler, self.timeline, self.seed, self.mix.brew_s)
        for name in self.mix.inabilities.get(device, ()):
            machine.switches.turn_on(name)
        machine.on_start = lambda order_id: self.promises.drink_begins(device, order_id)
        machine.line.break_write = self._write_breaks
        machine.line.stalls = self._line_stalls
        folder = self._workshop.folder / f"world-{device}"
        copy_journal(self._workshop.journal, folder)
        agent = AgentProcess(
            device, machine, folder, self._workshop.profile, self.scheduler, self.timeline, self.seed, self.mix.mqtt5
        )
        agent.clock.wall_off = self.mix.wall_off[device]
        agent.process.may_die = lambda _process, where: bool(self.faults.strikes(f"crash.agent.{where}"))
        self.machines.append(machine)
        self.agents.append(agent)
        agent.start()
        machine.turn()

    def _run(self) -> None:
        try:
            until = self.mix.storms_until + END_WITHIN_S
            until += A_PERSON_AFTER_S if "restores" in self.mix.families else 0.0
            if not self.scheduler.run(until, self._is_over):
                self.promises.break_(3, f"the world does not come to rest: {self._restless}")
        except Spinning as spinning:
            self.promises.break_(0, f"something wakes itself for ever: {spinning}")
            return
        except Exception as error:  # noqa: BLE001  # wherever it came from, this world ends here, and says so
            self.timeline.add("world", traceback.format_exc())
            self.promises.break_(0, f"an error nobody expected: {type(error).__name__}: {error}")
            return
        self._bring_all_back()
        self.promises.check_all()

    def _heal(self) -> None:
        """From here on nothing goes wrong any more."""
        self.timeline.add("world", "the faults are over")
        self.faults.is_over = True
        self.set_back_the_clouds()
        self._behave(refunds_fail=False)
        for machine in self.machines:
            machine.repair()

    def _behave(self, *, refunds_fail: bool) -> None:
        self.provider.books.behaviour = Behaviour(
            refund_delay=self.mix.refund_delay,
            refund_failure="insufficient_funds" if refunds_fail else None,
            declined_keeps_pending=self.mix.declined_keeps_pending,
        )

    def _is_over(self) -> bool:
        """Asked after every step, looked at now and then."""
        now = self.scheduler.now
        if not self.faults.is_over or now < self._look_at:
            return False
        self._look_at = now + LOOK_S
        self._restless = what_is_under_way(self)
        if self._restless:
            self._rests_since = None
        elif self._rests_since is None:
            self._rests_since = now
        rests = self._rests_since is not None and now - self._rests_since >= QUIET_S
        if rests and not self.bookkeeper.is_done:
            self._rests_since = None
            self.bookkeeper.compare()
            return False
        return rests

    def _bring_all_back(self) -> None:
        """What rests in the archive is judged as all else."""
        with self.look_closely() as session:
            resting = list(session.scalars(select(ArchivedOrder.order_id)))
        if resting:
            with self.engines.nobodys(self.disk.url) as database:
                database.transact(archive.bring_back, resting)

    def _told(self) -> Told:
        cups = sum(cup.order_uuid is not None for machine in self.machines for cup in machine.memory.cups)
        return Told(
            self.seed, tuple(self.promises.broken), tuple(self.faults.struck), len(self.buyers), cups,
            self.scheduler.steps, self.scheduler.now, self.timeline.digest, self.timeline, self.mix.families,
            self._ends,
        )  # fmt: skip

    def _how_orders_ended(self) -> tuple[str, ...]:
        rows = self.disk.look.execute("SELECT status, reason, goodwill FROM orders ORDER BY id")
        return tuple(
            " ".join(filter(None, (row["status"], row["reason"], "goodwill" if row["goodwill"] else "")))
            for row in rows
        )

    def _close(self) -> None:
        for process in [*(cloud.process for cloud in self.clouds), *(agent.process for agent in self.agents)]:
            self.faults.is_over = True
            if process.alive:
                self._restarts_due = 10**6
                self.scheduler.kill(process, "the world ends")
        self.scheduler.end()
        self.engines.close_all()
        self.disk.close()
        for agent in self.agents:
            agent.remove_folders()

    def set_back_the_clouds(self) -> None:
        """Their clocks were hours ahead; the time daemon has noticed."""
        for cloud in self.clouds:
            if cloud.process.skew > HOURS_AHEAD / 2:
                cloud.process.skew -= HOURS_AHEAD
                self.waits_disturbed_at = self.scheduler.now
                self.timeline.add(cloud.process.name, "its clock is set back by hours")

    # Asked by its parts

    @property
    def process(self) -> Process:
        """Whose code runs."""
        if self.scheduler.current is None:
            raise RuntimeError("nobody's code runs")
        return self.scheduler.current

    @property
    def has_several_workers(self) -> bool:
        return len(self.mix.topology) > 2

    @property
    def machine_may_lie(self) -> bool:
        return self.mix.machine_lies or "cash" in self.mix.families

    def nobody_remembers(self, order_id: str) -> bool:
        """The machine has forgotten the drink, and the folder it was written down in is gone: promise 6 ends here.

        An order that the machine had taken and not begun when it forgot it is no drink.
        """
        agents = [agent for agent in self.agents if order_id in agent.machine.forgotten & agent.machine.begun_at.keys()]
        return any((agent.folder_exchanged_at or 0.0) > agent.machine.begun_at[order_id] for agent in agents)

    def cloud_of(self, process: Process) -> CloudProcess:
        return next(cloud for cloud in self.clouds if cloud.process is process)

    def a_web(self) -> CloudProcess | None:
        """One that answers, as a load balancer finds it."""
        open_ = [cloud for cloud in self.clouds if cloud.has_web and cloud.process.alive and cloud.is_open]
        return self.random.choice(open_) if open_ else None

    def agent_of(self, device: str) -> AgentProcess:
        return next(agent for agent in self.agents if agent.device == device)

    def machine_of(self, device: str) -> Machine:
        return self.agent_of(device).machine

    def new_payment_id(self) -> str:
        self._payments += 1
        return f"p{self._payments:03}"

    def latency_of(self, process: Process) -> Callable[[], float]:
        """Of this process's way to the broker."""
        slowest = 0.2 if process.name.startswith("agent") else 0.01
        return lambda: self._latencies.uniform(0.001, slowest)

    def call_latency(self) -> float:
        """One way to the provider."""
        return self._latencies.uniform(0.02, 0.4)

    def nothing_is_open(self) -> None:
        """No transaction may be open while the provider is asked."""
        if self.engines.in_transaction(self.process):
            self.promises.break_(0, f"{self.process} asks the provider inside a transaction")

    def carry_wakeups(self, sender: CloudProcess, topics: list[str]) -> None:
        """To the other processes of the cloud; one may be lost."""
        for cloud in self.clouds:
            if cloud is not sender and cloud.process.alive and cloud.is_open and not self.faults.strikes("wake.lost"):
                wakeups = cloud.database.wakeups
                self.scheduler.after(0.005, lambda wakeups=wakeups: type(wakeups).wake(wakeups, topics), cloud.process)  # type: ignore[misc]  # bound

    def cut_lines_of(self, process: Process) -> None:
        """The system closes a dead process's sockets."""
        for line in self.broker.lines_of(process):
            line.cut("its process died", 0.0, 0.02)

    @contextmanager
    def look_closely(self) -> Iterator[Session]:
        """A session that belongs to no process."""
        with self.engines.nobodys(self.disk.url) as database, database.read() as session:
            yield session

    # What it notices

    def _who(self) -> str:
        return "world" if self.scheduler.current is None else self.scheduler.current.name

    def _changed(self) -> None:
        self._is_changed = True

    def _after_each(self) -> None:
        if self._is_changed:
            self._is_changed = False
            self.due.refresh()
            self.promises.committed()
            for cloud in self.clouds:
                if cloud.process.alive:
                    for loop in cloud.loops:
                        loop.expect(self.due.of(loop.name))

    def _may_cloud_die(self, _process: Process, where: str) -> bool:
        return bool(self.faults.strikes(f"crash.cloud.{where}"))

    def _on_death(self, process: Process, where: str) -> None:
        self._restarts_due += 1
        self.timeline.add(process.name, f"dies: {where}")
        after = Random(f"{self.seed}/restart/{self._restarts_due}").choice((0.5, 2.0, 10.0, 60.0, 240.0))
        starts = {one.process.name: one.start for one in self.clouds} | {one.name: one.start for one in self.agents}
        self.scheduler.after(after, starts[process.name])

    def _write_breaks(self) -> str:
        name = self.faults.strikes("serial.write_breaks")
        return self.faults.random(name).choice(("lost", "arrives")) if name else ""

    def _line_stalls(self) -> float:
        """A line over TCP that takes what is written and delivers it when it likes."""
        name = self.faults.strikes("serial.stalls")
        return self.faults.random(name).choice((4.0, 45.0, 100.0, 200.0)) if name else 0.0

    def _deliver(self, body: bytes, answered: Callable[[int], None]) -> None:
        """A notification at the cloud's endpoint."""
        web = self.a_web()
        if web is None:
            answered(503)
            return
        status: list[int] = []

        def end() -> None:
            answered(status[0] if status else 500)

        self.scheduler.spawn(web.process, lambda: status.append(web.notified(body)), at_end=end)
