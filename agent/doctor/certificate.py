"""The doctor's look at the device's own certificate: would a broker that asks for one take it? OpenSSL judges."""

import ssl
from collections.abc import Iterator

from agent.doctor.findings import BAD, Finding
from agent.settings import BrokerAddress

EXPIRED, NOT_YET_VALID = 10, 9
"""X509_V_ERR_CERT_HAS_EXPIRED and X509_V_ERR_CERT_NOT_YET_VALID of OpenSSL."""
SUBJECT = "certificate"


def examine(broker: BrokerAddress) -> Iterator[Finding]:
    """Nothing to say of one that is in order, or where none is set."""
    if broker.cert_file is None:
        return
    named = f"COFFEE_AGENT_MQTT_CERT, {broker.cert_file}"
    try:
        judgement = _judge(broker.cert_file, broker.key_file)
    except ssl.SSLError as error:
        words = f"{named}, does not go with COFFEE_AGENT_MQTT_KEY ({error.reason}); enrol this device again"
        yield Finding(BAD, SUBJECT, words)
    except OSError as error:
        yield Finding(BAD, SUBJECT, f"{named}: {error.strerror}; can this user read the certificate and its key?")
    else:
        if judgement == EXPIRED:
            words = f"{named}, has expired: no broker takes it; is the clock right? else enrol this device again"
            yield Finding(BAD, SUBJECT, words)
        elif judgement == NOT_YET_VALID:
            yield Finding(BAD, SUBJECT, f"{named}, is not valid yet: set the clock (timedatectl set-ntp true)")


def _judge(cert_file: str, key_file: str | None) -> int:
    """OpenSSL's word for what is wrong with it, 0 for nothing: we show it to ourselves, as we do to a broker."""
    broker, device = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    device.check_hostname, device.verify_mode = False, ssl.CERT_NONE
    for context in (broker, device):
        context.maximum_version = ssl.TLSVersion.TLSv1_2  # shown before the end of the handshake, not after it
        context.load_cert_chain(cert_file, key_file)
    broker.verify_mode = ssl.CERT_REQUIRED
    broker.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    broker.load_verify_locations(cert_file)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (device.wrap_bio(back, there), broker.wrap_bio(there, back, server_side=True))
    for _ in range(4):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLCertVerificationError as error:
                return error.verify_code
            except ssl.SSLWantReadError:
                continue
    return 0
