"""What to do about each kind of alert, in English; `what_to_do_ru.py` has the same keys. The runbook says more."""

WHAT_TO_DO_EN = {
    "alerts.do.offline": (
        "Look at the machine's power and network. If several went together, look at the site first. At the machine "
        "itself coffee-agent doctor names what is missing."
    ),
    "alerts.do.many_offline": (
        "One cause: power or network at the site, the mobile operator, or our broker. See where the machines of the "
        "list stand. If other merchants' machines sell, it is the site."
    ),
    "alerts.do.fault": (
        "Water, beans, cups, tray, waste or door: somebody must go there. If selling stopped until a person has "
        "looked, find out what left the spout, then press “Sell again” on the machine's page. If two agents go by "
        "one name, somebody copied a memory card: find the other one first."
    ),
    "alerts.do.closed_itself": (
        "The money of both cups returns by itself. Mend the reason, then pour a test cup from the machine's page: a "
        "good one opens it again. You can also open it there by hand."
    ),
    "alerts.do.make_failed": (
        "The money returns by itself. If the same drink fails again and again, close it until somebody has looked. "
        "If the agent does not answer, it is the machine's network; if the outcome is unknown, it is the cable "
        "between agent and machine."
    ),
    "alerts.do.failure_rate": (
        "Close the drink or the whole machine on its page until the most frequent reason is mended."
    ),
    "alerts.do.no_sales": (
        "The machine is online and ready. Can people reach it: a closed hall, a holiday? Does its screen show the "
        "code? Buy a cup yourself and see where it stops."
    ),
    "alerts.do.money_waits": (
        "“Money” shows which payments wait. Open the order, read its history and decide: return the money, or "
        "press “It was poured” if it was."
    ),
    "alerts.do.return_stuck": (
        "The provider does not say how the return ended. Look at its status page, and whether the shop's balance is "
        "enough. Nothing is returned twice: we repeat one and the same request."
    ),
    "alerts.do.capture_stuck": (
        "The drinks were poured, and the provider does not take the money it holds. Look at its status page. A hold "
        "ends after some seven days and the money stays with the buyer: take it in the provider's cabinet before that."
    ),
    "alerts.do.claim_waits": (
        "“Claims” shows the buyer's words beside the machine's. Answer, or return the money: the buyer sees it on "
        "the order's page."
    ),
    "alerts.do.difference": (
        "“Money” names each difference. Find the payment at the provider, learn what it was, and settle the "
        "difference with an explanation."
    ),
    "alerts.do.receipt_refused": (
        "The order's page says which it is. Not registered: the tax authority's answer stands in the provider's "
        "cabinet. Mend the receipt terms (VAT, tax system, e-mail) and register the receipt by hand within the legal "
        "time. Late: ask the provider's support first, or it may be registered twice."
    ),
    "alerts.do.key_refused": (
        "Somebody renewed the key at the provider, or it was removed here. Enter the present one: “Settings”, "
        "“Payment providers”. Payments under way are asked about at once."
    ),
    "alerts.do.validity_ending": (
        "After the last day no new order is accepted. Prolong the contract in the settings, or let it end."
    ),
    "alerts.do.certificate_ending": (
        "Caddy renews the site's certificate by itself, 30 days before its end: look at its log. The one of the "
        "broker, at the address with a port, is renewed by hand: after its end no machine connects."
    ),
    "alerts.do.rollout_stopped": (
        "A machine did not take it, so nobody else is asked. “Updates” shows which and why; it went back to the "
        "version before and sells. If it is that machine's alone, go on with the update. If it is the version's "
        "fault, acknowledge the alert and bring out the next one."
    ),
    "alerts.do.clock_wrong": (
        "Drinks are safe: the agent counts deadlines by the server's time. Only dates in logs and events are wrong. "
        "Start time synchronisation on the machine. A clock that is wrong at every start wants a new battery."
    ),
    "alerts.do.agent_trouble": (
        "Without a journal nothing is poured. coffee-agent doctor at the machine tells about the disk: full, "
        "read-only, worn out. Free space or change the card. Selling begins again by itself."
    ),
    "alerts.do.channel_broken": (
        "Where the bot was removed from the group or the address is wrong, mend it and send a test from the channel's "
        "page: what was missed follows. Where it is our bot's token, our mail password or the server's settings, "
        "call the operator of the platform, who mends that and restarts the service. What waits follows within "
        "ten minutes by itself; where nothing waits, send a test. While there is no connection we go on trying."
    ),
    "alerts.do.worker_down": (
        "On the server: systemctl status coffee-cloud-worker, its log, the database. Until one works nothing is sold "
        "and no money moves; orders wait and are not lost."
    ),
    "alerts.do.broker_down": (
        "/ready says whether the broker cannot be reached, the machines are not heard, or what they said waits to be "
        "read. Look at the broker's log and its certificate; coffee-cloud check names what fails. Where words wait: "
        "the database, then one more worker. Commands under way are sent again until their deadline; then the money "
        "returns."
    ),
    "alerts.do.provider_down": (
        "Look at the provider's status page and the server's own way out. Payments are asked about until their end "
        "is known; returns wait, and will be made."
    ),
}
