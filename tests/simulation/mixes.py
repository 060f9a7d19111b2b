"""What a world is made of: which faults at which rates, how many processes, what kind of machines, how good the clocks.

Drawn from the seed alone. A family of faults is in a world or not, so that quiet neighbours let a single fault speak.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from random import Random

FAMILIES: dict[str, Mapping[str, float]] = {
    "cloud crashes": {
        "crash.cloud.between two steps": 0.002,
        "crash.cloud.before a commit: it is lost": 0.012,
        "crash.cloud.after a commit": 0.012,
    },
    "agent crashes": {
        "crash.agent.between two steps": 0.002,
        "crash.agent.before a commit of its journal": 0.03,
        "crash.agent.after a commit of its journal": 0.03,
        "crash.agent.before bytes to the machine": 0.02,
        "crash.agent.after a make was written": 0.05,
        "storm.agent_power": 0.006,
    },
    "network": {
        "net.refused": 0.2,
        "net.puback_lost": 0.05,
        "broker.loses": 0.04,
        "broker.duplicates": 0.15,
        "broker.delays": 0.08,
        "broker.forgets_session": 0.15,
        "storm.cut": 0.02,
        "storm.half_open": 0.015,
    },
    "outages": {"storm.outage": 0.025},
    "broker": {"storm.broker_restart": 0.008, "storm.broker_amnesia": 0.008},
    "provider": {
        "provider.unreachable": 0.05,
        "provider.500_before": 0.05,
        "provider.500_after": 0.05,
        "provider.502_before": 0.03,
        "provider.502_after": 0.03,
        "provider.429_before": 0.04,
        "provider.hangs": 0.04,
        "provider.answer_lost": 0.05,
    },
    "webhooks": {
        "webhook.lost": 0.4,
        "webhook.duplicated": 0.3,
        "webhook.late": 0.3,
        "storm.forgery": 0.03,
    },
    "machine": {
        "storm.machine_switch": 0.04,
        "storm.machine_power": 0.01,
        "serial.write_breaks": 0.04,
    },
    "contradictions": {"storm.forgets": 0.15},
    "slow line": {"serial.stalls": 0.2},
    "cash": {"storm.cash_sale": 0.01},
    "service": {"storm.service_run": 0.008},
    "disks": {"db.fails": 0.015, "journal.fails": 0.03},
    "cabinet": {"storm.cabinet_refund": 0.01, "storm.cabinet_cancel": 0.01},
    "accounts": {"storm.account_changed": 0.008, "storm.key_rotated": 0.008},
    "years": {"storm.agent_years": 0.03},
    "folders": {"storm.folder_wiped": 0.012, "storm.folder_copied": 0.05, "storm.folder_put_back": 0.02},
    "set back": {"storm.set_back": 0.02},
    "clocks": {"storm.agent_clock": 0.01, "storm.cloud_clock": 0.005, "wake.lost": 0.1},
}
LATER_FAMILIES: dict[str, Mapping[str, float]] = {
    "slow provider": {"provider.slow": 0.15, "provider.stale": 0.3},
    "captures and partial refunds": {"storm.cabinet_part": 0.006, "storm.cabinet_capture": 0.01},
    "pauses": {"storm.cloud_paused": 0.02, "storm.agent_paused": 0.02},
    "database outages": {"storm.database_away": 0.01},
    "people": {"storm.person": 0.04, "storm.price": 0.01, "storm.shop_changed": 0.005},
    "congestion": {"net.stuck": 0.05},
    "restores": {"storm.backup": 0.03, "storm.restore": 0.006},
}
"""Drawn apart from the others, so that each seed keeps what it drew before there were these; new ones go to the end."""
FORGETFUL_BROKER = "forgetful broker"
FORGETFUL_RATES = {"broker.forgets": 0.2, "storm.broker_blink": 0.05, "storm.cut": 0.1}
"""It takes messages and loses some, and is gone for a moment with all it knew: nobody but us need hold anything."""
EVERY_FAMILY = FAMILIES | LATER_FAMILIES | {FORGETFUL_BROKER: FORGETFUL_RATES}
MACHINE_SWITCHES: Mapping[str, Mapping[str, object]] = {
    "silent": {"seconds": 20},
    "mute": {"seconds": 25},
    "unplugged": {"seconds": 8},
    "slow": {},
    "no_water": {"seconds": 40},
    "unplug_mid_brew": {},
    "drop_verdict": {},
    "drop_done": {"when": "once"},
    "drop_reply": {"when": "chance", "chance": 0.3},
    "duplicate_events": {"when": "chance", "chance": 0.5},
    "delay_frame": {"when": "chance", "chance": 0.2},
    "corrupt_crc": {"when": "chance", "chance": 0.1},
    "garbage": {"when": "chance", "chance": 0.2},
    "fail_before_pour": {},
    "fail_mid_brew": {},
    "done_for_other_order": {},
    "reboot_before_accept": {},
    "reboot_after_accept": {},
    "mid_pour_crash": {},
    "reboot_after_dispense": {},
    "reboot_after_outcome": {},
    "reboot_before_done": {},
    "reboot_after_done": {},
    "stale_boot_id": {},
    "reject_no_cups": {},
    "own_words": {"when": "chance", "chance": 0.5},
    "take_back_verdict": {},
    "says_ready": {"seconds": 60},
    "echo": {"seconds": 60},
}
LYING_SWITCHES: Mapping[str, Mapping[str, object]] = {"local_drink": {}, "count_twice": {}, "lose_counters": {}}
"""After these the machine's counters say what is not so."""
HABITS: Mapping[str, int] = {
    "prompt": 10,
    "slow": 3,
    "late": 2,
    "declined": 2,
    "presses twice": 2,
    "never pays": 1,
    "leaves": 1,
    "scans again": 1,
}
HOURS_AHEAD = 3 * 3600.0
"""As a hardware clock in Moscow's time that is taken for UTC."""
STRENGTHS = (0.5, 1.0, 1.0, 2.5)
"""A world has a family's rates times one of these."""
FORGETS = 0.05
"""How many worlds have such a broker beside whatever else they have."""
ARCHIVES, ARCHIVED_AFTER_S = 0.1, 240.0
"""How many worlds put finished orders into the archive, and how soon."""
CROWDED, CROWD = 0.02, 25
"""How many worlds have many open payment pages, and how many these are."""
INABILITIES = ("without_ack", "without_progress", "without_finish", "without_order", "without_counters",
               "without_dedup", "without_nv", "without_cancel", "without_heartbeat")  # fmt: skip


@dataclass(frozen=True)
class Mix:
    """One world's make-up."""

    rates: Mapping[str, float]
    topology: tuple[tuple[str, bool, bool], ...]
    """Processes of the cloud: name, has web, has worker."""
    devices: tuple[str, ...]
    capture: str
    status_check: str
    methods_immediate: bool
    most_buyers: int
    storms_until: float
    """True seconds; from then on nothing goes wrong, and what is broken is mended."""
    inabilities: Mapping[str, tuple[str, ...]]
    """What each machine cannot do."""
    mqtt5: bool
    cloud_skew: float
    """Clocks of the cloud's computers differ from true time by at most this many seconds."""
    cloud_ahead: float
    """All of them are ahead by so much, until they are set back."""
    brew_s: float
    refund_delay: float | None
    machine_lies: bool
    families: tuple[str, ...] = ()
    returns_a_day: float = 10
    poll_fast_s: float = 2.0
    refunds_fail: bool = False
    """Until the faults are over every refund ends cancelled."""
    declined_keeps_pending: bool = False
    switches: tuple[str, ...] = tuple(MACHINE_SWITCHES)
    """What may be switched wrong at a machine."""
    wall_off: Mapping[str, float] = field(default_factory=dict)
    habits: Mapping[str, int] = field(default_factory=lambda: HABITS)
    """How often each kind of buyer comes."""
    archive_after_s: float | None = None
    """After so long a rest orders are put into the archive; None: none is."""
    open_pages: int = 0
    """So many more open the payment page and never pay: their payments are asked about all the while."""


def _rates_of(family: str, strength: float) -> Mapping[str, float]:
    return {kind: min(0.9, rate * strength) for kind, rate in EVERY_FAMILY[family].items()}


def mix_of(seed: int) -> Mix:
    """The world of this seed."""
    random = Random(f"mix/{seed}")
    share = random.choice((0.1, 0.2, 0.35, 0.35, 0.6, 1.0))
    families = tuple(name for name in FAMILIES if random.random() < share)
    rates: dict[str, float] = {}
    for name in families:
        rates |= _rates_of(name, random.choice(STRENGTHS))
    if Random(f"forgetful/{seed}").random() < FORGETS:
        families += (FORGETFUL_BROKER,)
        rates |= FORGETFUL_RATES
    later = Random(f"later/{seed}")
    later_share = later.choice((0.0, 0.15, 0.3, 0.3, 0.6))
    for name in LATER_FAMILIES:
        strength = later.choice(STRENGTHS)
        if later.random() < later_share:
            families += (name,)
            rates |= _rates_of(name, strength)
    lies = "machine" in families and random.random() < 0.3
    devices = ("m-001", "m-002")[: random.choice((1, 1, 2))]
    able = random.random() < 0.65
    inabilities = {
        device: () if able else tuple(name for name in INABILITIES if random.random() < 0.25) for device in devices
    }
    capture = random.choice(("on_dispense", "on_dispense", "immediate"))
    clocks_are_bad = "clocks" in families
    is_crowded = Random(f"crowd/{seed}").random() < CROWDED
    return Mix(
        rates=rates,
        topology=random.choice(_TOPOLOGIES),
        devices=devices,
        capture=capture,
        status_check=random.choice(("polling", "polling", "webhook", "none")),
        methods_immediate=capture == "immediate",
        most_buyers=random.choice((1, 3, 3, 5)),
        storms_until=random.uniform(300.0, 1500.0),
        inabilities=inabilities,
        mqtt5=random.random() < 0.85,
        cloud_skew=random.choice((0.5, 3.0)) if clocks_are_bad else 0.1,
        cloud_ahead=HOURS_AHEAD if "set back" in families else 0.0,
        brew_s=random.choice((6.0, 25.0, 50.0)),
        refund_delay=random.choice((None, None, 30.0, 900.0)),
        machine_lies=lies,
        families=families,
        returns_a_day=random.choice((10, 10, 10, 1)),
        refunds_fail="provider" in families and random.random() < 0.2,
        declined_keeps_pending=random.random() < 0.3,
        poll_fast_s=random.choice((2.0, 10.0, 10.0, 25.0, 25.0, 25.0)),
        archive_after_s=ARCHIVED_AFTER_S if Random(f"archive/{seed}").random() < ARCHIVES else None,
        open_pages=CROWD if is_crowded else 0,
        wall_off={device: random.choice((0.0, -4.0, 4.0, -90.0, 3600.0, -86_400.0)) if clocks_are_bad
                  else random.uniform(-0.5, 0.5) for device in devices},
    )  # fmt: skip


_ALL_IN_ONE = (("cloud", True, True),)
_WEB_AND_WORKER = (("web", True, False), ("worker", False, True))
TWO_OF_EACH = (("web-1", True, False), ("web-2", True, False), ("worker-1", False, True), ("worker-2", False, True))
_TOPOLOGIES = (_ALL_IN_ONE, _ALL_IN_ONE, _WEB_AND_WORKER, TWO_OF_EACH)


def focused(seed: int, families: tuple[str, ...], strength: float = 1.0, **changes: object) -> Mix:
    """The world of this seed with these families of faults and no other, and whatever else is said."""
    rates = {kind: rate for family in families for kind, rate in _rates_of(family, strength).items()}
    ahead = HOURS_AHEAD if "set back" in families else 0.0
    given = {"machine_lies": False, "archive_after_s": None, "cloud_ahead": ahead, **changes}
    return replace(mix_of(seed), families=families, rates=rates, **given)  # type: ignore[arg-type]  # names of fields
