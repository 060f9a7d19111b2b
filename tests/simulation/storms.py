"""What goes wrong in the world by itself, not at some act of ours: cables, power, clocks, brokers, forgers.

Looked at every two seconds while any order is under way: nothing else could suffer.
"""

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from agent.journal.records import CommandState
from simulator.yookassa.state import Payment
from tests.simulation import fleet
from tests.simulation.agent_process import AgentProcess
from tests.simulation.broker import KEEPALIVE_NOTICE_S
from tests.simulation.buyers import forged
from tests.simulation.mixes import HOURS_AHEAD, LYING_SWITCHES, MACHINE_SWITCHES
from tests.simulation.mqtt_client import half_open
from tests.simulation.provider import ProviderSide
from tests.simulation.rest import is_hot
from tests.simulation.scheduler import Process

if TYPE_CHECKING:
    from tests.simulation.world import World

EVERY_S = 2.0
CALM_LOOK_S = 10.0
BLINK_EVERY_S = 40.0
MERCHANTS = tuple(fleet.SHOPS)
FORGED = ("payment.succeeded", "payment.waiting_for_capture", "payment.canceled", "refund.succeeded")


class Storms:
    """Strikes until the world's faults are over."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._blinked_at = float("-inf")
        self._acts: dict[str, Callable[[Random], None]] = {
            "storm.cut": self._cut,
            "storm.half_open": self._half_open,
            "storm.outage": self._outage,
            "storm.broker_restart": lambda random: self._restart(random, forgets=False),
            "storm.broker_amnesia": lambda random: self._restart(random, forgets=True),
            "storm.agent_power": self._agent_power,
            "storm.forgery": self._forge,
            "storm.machine_switch": self._switch,
            "storm.machine_power": lambda random: random.choice(world.machines).cut_power(),
            "storm.forgets": self._forget,
            "storm.cash_sale": lambda random: random.choice(world.machines).sell_for_cash(),
            "storm.service_run": lambda random: random.choice(world.machines).service_run(random),
            "storm.cabinet_refund": self._in_cabinet(lambda one: one.refundable, ProviderSide.refund_in_cabinet),
            "storm.cabinet_cancel": self._in_cabinet(lambda one: one.held, ProviderSide.let_go_in_cabinet),
            "storm.account_changed": lambda random: world.keeper.move(random.choice(MERCHANTS)),
            "storm.key_rotated": lambda random: world.keeper.rotate(
                random.choice(MERCHANTS), random.uniform(1.0, 90.0)
            ),
            "storm.agent_clock": self._agent_clock,
            "storm.agent_years": self._agent_years,
            "storm.folder_wiped": lambda random: self._exchange(random, AgentProcess.wipe_folder),
            "storm.folder_copied": lambda random: random.choice(world.agents).copy_folder(),
            "storm.folder_put_back": lambda random: self._exchange(random, AgentProcess.put_folder_back),
            "storm.set_back": lambda _random: world.set_back_the_clouds(),
            "storm.cloud_clock": self._cloud_clock,
            "storm.broker_blink": self._blink,
            "storm.cabinet_part": self._in_cabinet(
                lambda one: one.refundable > 2 * fleet.A_PART, ProviderSide.refund_part_in_cabinet
            ),
            "storm.cabinet_capture": self._in_cabinet(lambda one: one.held, ProviderSide.capture_in_cabinet),
            "storm.database_away": world.database_server.go_away,
            "storm.person": world.operator.decide,
            "storm.price": world.operator.change_price,
            "storm.shop_changed": lambda random: world.keeper.reconfigure(random.choice(MERCHANTS), random),
            "storm.backup": lambda _random: world.database_server.back_up(),
            "storm.restore": lambda _random: world.database_server.restore(),
            "storm.cloud_paused": lambda random: self._pause(random.choice(world.clouds).process, random),
            "storm.agent_paused": lambda random: self._pause(random.choice(world.agents).process, random),
        }

    def begin(self) -> None:
        self._world.scheduler.after(CALM_LOOK_S, self._look)

    def _look(self) -> None:
        world = self._world
        if world.faults.is_over:
            return
        hot = is_hot(world)
        if hot:
            for kind, act in self._acts.items():
                if struck := world.faults.strikes(kind):
                    act(world.faults.random(struck))
        world.scheduler.after(EVERY_S if hot else CALM_LOOK_S, self._look)

    def _cut(self, random: Random) -> None:
        lines = list(self._world.broker.lines)
        if lines:
            line = random.choice(lines)
            self._world.timeline.add("network", f"cuts {line.client_id}")
            line.cut("cut", random.uniform(0.0, 2.0), random.uniform(0.0, 30.0))

    def _half_open(self, random: Random) -> None:
        lines = list(self._world.broker.lines)
        if lines:
            line = random.choice(lines)
            self._world.timeline.add("network", f"swallows everything of {line.client_id}")
            half_open(line)

    def _outage(self, random: Random) -> None:
        """A machine stands in a hole of its network for minutes."""
        agent = random.choice(self._world.agents)
        self._world.broker.shut_out(agent.device, random.choice((30.0, 90.0, 200.0, 420.0)))

    def _restart(self, random: Random, *, forgets: bool) -> None:
        if self._world.broker.is_up:
            self._world.broker.restart(random.choice((0.5, 5.0, 40.0, 100.0)), forgets=forgets)

    def _blink(self, random: Random) -> None:
        """Gone for a moment, its memory for ever; seldom enough that agents come back in between."""
        if self._world.broker.is_up and self._world.scheduler.now - self._blinked_at > BLINK_EVERY_S:
            self._blinked_at = self._world.scheduler.now
            self._world.broker.restart(random.uniform(0.1, 2.0), forgets=True)

    def _agent_power(self, random: Random) -> None:
        """The computer in the machine, perhaps with the machine."""
        world = self._world
        agent = random.choice(world.agents)
        if agent.process.alive:
            agent.clock.on_since = world.scheduler.now
            if random.random() < 0.3:
                agent.clock.wall_off = random.choice((0.0, -30.0, -3600.0))
            world.scheduler.kill(agent.process, "its power is cut")
            if random.random() < 0.5:
                agent.machine.cut_power()

    def _forge(self, random: Random) -> None:
        """Somebody tells the cloud of money that never moved, or of one that moved otherwise."""
        payments = self._world.provider.payments()
        web = self._world.a_web()
        if web is None:
            return
        known = random.choice(payments) if payments else None
        payment_id = known.id if known is not None and random.random() < 0.8 else f"forged-{random.randrange(10**6)}"
        order = str(known.request.metadata["order_id"]) if known is not None else "o1"
        event = random.choice(FORGED)
        body = forged(payment_id, random.choice(("100500", "200600", "999")), order, event)
        self._world.timeline.add("forger", f"tells of {event} of {payment_id}", order)
        self._world.scheduler.spawn(web.process, lambda: _ignore(web.notified(body)))

    def _in_cabinet(
        self, may: Callable[[Payment], object], act: Callable[[ProviderSide, Payment], None]
    ) -> Callable[[Random], None]:
        """Have somebody of the shop do this by hand, past us, to one of the payments to which it may be done."""

        def strike(random: Random) -> None:
            found = [payment for payment in self._world.provider.payments() if may(payment)]
            if found:
                act(self._world.provider, random.choice(found))

        return strike

    def _pause(self, process: Process, random: Random) -> None:
        """Let it stand still and go on where it was; after a while the broker gives it up."""
        if not process.alive:
            return
        world, seconds = self._world, random.choice((2.0, 10.0, 40.0, 100.0, 400.0))
        world.timeline.add(process.name, f"stands still for {seconds:.0f} s")
        process.paused_until = world.scheduler.now + seconds
        lines = world.broker.lines_of(process)

        def give_up() -> None:
            if process.paused_until > world.scheduler.now:
                for line in lines:
                    line.cut("no answer within the keepalive", 0.0, 0.0)

        world.scheduler.after(KEEPALIVE_NOTICE_S, give_up)

    def _switch(self, random: Random) -> None:
        switches = {name: MACHINE_SWITCHES[name] for name in self._world.mix.switches}
        if self._world.mix.machine_lies:
            switches |= LYING_SWITCHES
        name = random.choice(list(switches))
        random.choice(self._world.machines).switch_on(name, **switches[name])

    def _forget(self, random: Random) -> None:
        """What a machine has told its agent that it has, it forgets: in the middle, or with all it ever knew."""
        agent = random.choice(self._world.agents)
        if not agent.process.alive or not agent.is_built:
            return
        for command in agent.journal.unsettled():
            if command.state is not CommandState.SENT:
                agent.machine.forget(command.order_id, random)

    def _agent_clock(self, random: Random) -> None:
        agent = random.choice(self._world.agents)
        agent.clock.wall_off += random.choice((-86_400.0, -3600.0, -10.0, -4.0, 4.0, 60.0, 86_400.0))
        self._world.timeline.add(agent.process.name, f"its wall clock jumps; now off by {agent.clock.wall_off:.0f} s")

    def _agent_years(self, random: Random) -> None:
        """A battery that is empty, or a typing error; perhaps at a start, perhaps right again a little later."""
        agent = random.choice(self._world.agents)
        days = random.choice((-20_000, -730, -120, 0, 0, 3650))
        agent.clock.wall_off = 86_400.0 * days
        self._world.timeline.add(agent.process.name, f"its wall clock is off by {days} days")
        if random.random() < 0.5:
            self._world.scheduler.kill(agent.process, "its power is cut")

    def _exchange(self, random: Random, act: Callable[[AgentProcess], None]) -> None:
        """Somebody exchanges the card, or puts an old one back."""
        agent = random.choice(self._world.agents)
        if agent.process.alive:
            self._world.scheduler.kill(agent.process, "it is switched off")
            act(agent)

    def _cloud_clock(self, random: Random) -> None:
        """As a time daemon steps it."""
        cloud = random.choice(self._world.clouds)
        most = self._world.mix.cloud_skew
        ahead = HOURS_AHEAD if cloud.process.skew > HOURS_AHEAD / 2 else 0.0
        cloud.process.skew = ahead + random.uniform(-most, most)
        self._world.waits_disturbed_at = self._world.scheduler.now
        self._world.timeline.add(cloud.process.name, f"its clock is set; now off by {cloud.process.skew:+.2f} s")


def _ignore(_: object) -> None:
    return None
