"""Where brokers are, under which name we come to them, and what is wrong when TLS fails. Knows no connection."""

import ssl
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

SCHEMES = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True)
class Tls:
    """PEM files: whom we trust (empty: the usual authorities), and our own certificate with its key."""

    ca: str = ""
    cert: str = ""
    key: str = ""


USUAL = Tls()


@dataclass(frozen=True)
class Address:
    """One broker, or one node of it."""

    host: str
    port: int
    is_tls: bool
    user: str = ""
    password: str = field(default="", repr=False)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def addresses(urls: str, user: str = "", password: str = "") -> list[Address]:
    """Of a list parted by commas. `user` and `password` go before what is in a URL. Raises `ValueError`."""
    return [_address(url.strip(), user, password) for url in urls.split(",")]


def own_names(urls: str, user: str = "") -> frozenset[str]:
    """Return our names there: no machine may be called so, or its owner could take our name from us."""
    return frozenset(one.user for one in addresses(urls, user) if one.user)


def _address(url: str, user: str, password: str) -> Address:
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES or not parts.hostname or parts.port == 0:
        raise ValueError("an address must look like mqtt://host:port or mqtts://host:port")
    name = user or unquote(parts.username or "")
    secret = password or unquote(parts.password or "")
    return Address(parts.hostname, parts.port or SCHEMES[parts.scheme], parts.scheme == "mqtts", name, secret)


def context(tls: Tls) -> ssl.SSLContext:
    """What a TLS connection is made with. Raises `OSError` for a file that cannot be used.

    Python 3.13 refuses an authority without a key usage; those of our older instructions have none, and live ten years.
    """
    made = ssl.create_default_context(cafile=tls.ca or None)
    if tls.ca:
        made.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if tls.cert:
        made.load_cert_chain(tls.cert, tls.key or None)
    return made


def why_not(error: OSError, where: Address) -> str:
    """Why there is no connection, with what to look at."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"{where}: its certificate is not trusted ({error.verify_message}): COFFEE_MQTT_CA, its name, the clock"
    if isinstance(error, ssl.SSLError):
        return f"{where}: {tls_words(str(error))}"
    if isinstance(error, ConnectionResetError) and where.is_tls:
        return f"{where}: it hangs up before TLS begins: does it speak TLS there, mqtt:// or mqtts://?"
    if isinstance(error, TimeoutError):
        return f"{where}: no answer"
    return f"{where}: {error}"


def shut_out(tls: Tls) -> str:
    """What to look at when the broker hung up after the handshake and before a word.

    It looks at our certificate only then (TLS 1.3), and its complaint may get lost with the connection.
    """
    if tls.cert:
        return ", without a word: does it accept our certificate, COFFEE_MQTT_CERT?"
    return ", without a word: does it want a certificate of ours, COFFEE_MQTT_CERT and COFFEE_MQTT_KEY?"


def tls_words(said: str) -> str:
    """Put OpenSSL's complaint into words for the person who runs this."""
    upper = said.upper()
    if "CERTIFICATE_REQUIRED" in upper or "HANDSHAKE_FAILURE" in upper:
        return f"it wants a certificate of ours that it knows ({said}): COFFEE_MQTT_CERT and COFFEE_MQTT_KEY"
    if "UNKNOWN_CA" in upper or "BAD_CERTIFICATE" in upper or "CERTIFICATE_EXPIRED" in upper or "UNKNOWN" in upper:
        return f"it does not accept our certificate ({said}): COFFEE_MQTT_CERT"
    if "WRONG_VERSION_NUMBER" in upper or "UNEXPECTED_EOF" in upper or "RECORD_LAYER" in upper:
        return f"it does not speak TLS there ({said}): mqtt:// or mqtts://?"
    return f"TLS failed ({said})"
