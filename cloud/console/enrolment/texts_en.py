"""The sentences about enrolling machines in English; the twin of `texts_ru.py`."""

EN = {
    "enrolment.nav": "Enrolling",
    "enrolment.title": "Enrolling machines",
    "enrolment.line": "Each machine has a name and a password of its own; a code works once, for a "
    "day, with five tries.",
    "enrolment.empty": "There are no machines with an agent yet",
    "enrolment.empty.line": "Add a machine to the fleet file and apply it: it appears here.",
    "enrolment.stands.none": "no password of its own",
    "enrolment.stands.code": "code given",
    "enrolment.stands.enrolled": "being let in",
    "enrolment.stands.waits": "waiting for the agent",
    "enrolment.stands.online": "online",
    "enrolment.stands.done": "working",
    "enrolment.stands.revoked": "revoked",
    "enrolment.code": "Get a code",
    "enrolment.code.again": "A new code",
    "enrolment.code.until": "The code is good until {when}",
    "enrolment.code.shown": "The code is shown once. Enter it at the machine, or scan it:",
    "enrolment.step.code": "The code was entered at the machine",
    "enrolment.step.broker": "The broker knows the machine",
    "enrolment.step.online": "The agent is online",
    "enrolment.step.state": "The machine answers its agent",
    "enrolment.step.cup": "A test cup was poured",
    "enrolment.revoke": "Revoke",
    "enrolment.revoke.title": "Let this machine in no more?",
    "enrolment.revoke.line": "Its connection ends at once, and so do its sales. A new code brings it back.",
    "enrolment.revoke.why": "Why",
    "enrolment.is_revoked": "Revoked: the machine is leaving the broker.",
    "enrolment.stolen": "It was revoked. Where machines come in by certificates, those it had are good again "
    "once it is enrolled: was one stolen, begin a new authority first, as operations.md says under “Certificates "
    "of machines”.",
    "enrolment.had_none": "The broker does not know this machine any more.",
    "enrolment.cannot": "No code for this machine: it has no agent, it is called as the cloud itself is at the broker, "
    "or too many codes are open.",
    "enrolment.by_hand": "A person lets machines in at this broker and takes them out there: COFFEE_BROKER_RIGHTS is "
    "not set.",
    "enrolment.version": "agent {version}",
}
