"""The client told no, told nonsense, or told nothing, over a real socket."""

import base64
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from cloud.payments.outcomes import AuthError, NotOurs, NotSent, Ok, RateLimited, Rejected, Unknown
from cloud.payments.provider import PreparedCall, Shop
from cloud.payments.rate import CircuitBreaker
from cloud.payments.transport import MAX_ANSWER_BYTES, Question, Transport
from cloud.payments.yookassa.client import YooKassaClient
from tests.cloud.payments.one_shop import COFFEE, ID, SECRET, SHOP, Connect
from tests.cloud.payments.samples_on_disk import names, sample
from tests.cloud.payments.scripted_provider import (
    Answer,
    ScriptedProvider,
    says,
    scripted_provider,
    self_signed,
)
from tests.programs import free_port
from tests.waiting import wait_until


@pytest.mark.parametrize("name", [name for name in names("errors") if "/400-" in name])
def test_every_refusal_is_rejected_with_its_code_and_parameter(
    name: str, yookassa: ScriptedProvider, client: YooKassaClient, create: PreparedCall
) -> None:
    told = sample(name)
    yookassa.script.append(says(told, 400))
    refused = client.send(create)
    assert isinstance(refused, Rejected)
    assert (refused.code, refused.parameter) == ("invalid_request", told.get("parameter"))
    assert refused.support_id == told["id"]
    assert refused.key_conflict == (told.get("parameter") == "Idempotence-Key")


def test_a_capture_in_the_wrong_status_is_rejected_and_not_somebody_elses(
    yookassa: ScriptedProvider, client: YooKassaClient
) -> None:
    yookassa.script.append(says(sample("errors/400-cannot-capture"), 400))
    assert isinstance(client.send(client.prepare_capture(ID, "k")), Rejected)


def test_a_payment_nobody_knows_is_not_ours_in_both_wordings(
    yookassa: ScriptedProvider, client: YooKassaClient
) -> None:
    observed = {"type": "error", "code": "invalid_request", "parameter": "payment_id", "description": "Incorrect"}
    yookassa.script += [says(sample("errors/404-not-found"), 404), says(observed, 400)]
    assert client.fetch(ID) == NotOurs("Resource not found")
    assert client.fetch(ID) == NotOurs("Incorrect")


def test_an_id_no_provider_gave_is_not_ours_and_never_asked(yookassa: ScriptedProvider, client: YooKassaClient) -> None:
    for forged in ("../me", "..", "", "a?b", "x" * 65):
        assert isinstance(client.fetch(forged), NotOurs)
        assert isinstance(client.fetch_refund(forged), NotOurs)
    assert yookassa.requests == []


def test_an_answer_about_another_payment_decides_nothing(yookassa: ScriptedProvider, client: YooKassaClient) -> None:
    yookassa.script.append(says(sample("payments/pending-sbp")))
    assert client.fetch(ID) == Unknown("HTTP 200, unreadable object: about another object")


def test_a_wrong_secret_is_an_auth_error(
    yookassa: ScriptedProvider, client: YooKassaClient, create: PreparedCall
) -> None:
    yookassa.script += [says(sample("errors/401-invalid-credentials"), 401), Answer(401)]
    refused = client.send(create)
    assert isinstance(refused, AuthError)
    assert refused.code == "invalid_credentials"
    assert client.send(create) == AuthError()


@pytest.mark.parametrize("status", [403, 404])
def test_a_refusal_in_the_providers_words_is_definite(
    status: int, yookassa: ScriptedProvider, client: YooKassaClient, create: PreparedCall
) -> None:
    yookassa.script.append(says({"type": "error", "code": "forbidden"}, status))
    assert client.send(create) == Rejected("forbidden")


@pytest.mark.parametrize("status", [405, 410, 415])
def test_statuses_that_need_no_words_are_definite(
    status: int, yookassa: ScriptedProvider, client: YooKassaClient, create: PreparedCall
) -> None:
    yookassa.script.append(Answer(status))
    assert client.send(create) == Rejected("")


def test_too_many_requests_say_when_to_come_back(
    yookassa: ScriptedProvider, client: YooKassaClient, create: PreparedCall
) -> None:
    yookassa.script.append(says(sample("errors/429-too-many-requests"), 429))
    assert client.send(create) == RateLimited(1.8)
    assert client.send(create) == NotSent("own rate limit", 1.8, held_back=True)
    assert len(yookassa.requests) == 1


def test_a_gateways_retry_after_header_is_understood(
    yookassa: ScriptedProvider, client: YooKassaClient, create: PreparedCall
) -> None:
    yookassa.script += [
        Answer(503, b"busy", {"Retry-After": "7"}),
        Answer(429, b"", {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}),
    ]
    assert client.send(create) == Unknown("HTTP 503 without JSON", 7.0)
    assert client.send(create) == RateLimited(None)


UNDECIDED = {
    "500": says(sample("errors/500-internal-server-error"), 500),
    "202": says(sample("errors/202-processing-legacy"), 202),
    "HTML 502": Answer(502, b"<html>Bad Gateway</html>", {"Content-Type": "text/html"}),
    "HTML 200": Answer(200, b"<html>Please log in</html>"),
    "HTML 403": Answer(403, b"<html>Blocked</html>"),
    "empty 200": Answer(200),
    "empty 204": Answer(204),
    "JSON that is no object": says([1, 2]),
    "an object without an id": says({"status": "succeeded"}),
    "nesting without end": Answer(200, b"[" * 100_000),
    "unlisted 409": says({"type": "error", "code": "conflict"}, 409),
    "reset": Answer(reset=True),
    "half a body": Answer(200, b'{"id": "', promised_length=500),
    "huge body": Answer(200, b" " * (MAX_ANSWER_BYTES + 1)),
    "undecodable gzip": Answer(200, b"not gzip", {"Content-Encoding": "gzip"}),
}


@pytest.mark.parametrize("answer", UNDECIDED.values(), ids=UNDECIDED)
def test_what_is_no_certain_answer_is_unknown(
    answer: Answer, yookassa: ScriptedProvider, client: YooKassaClient, create: PreparedCall
) -> None:
    yookassa.script += [answer, answer]
    assert isinstance(client.send(create), Unknown)
    assert isinstance(client.fetch(ID), Unknown)
    assert isinstance(client.send(create), Ok), "the client works on afterwards"


def test_500_and_202_pass_on_what_they_ask(
    yookassa: ScriptedProvider, client: YooKassaClient, create: PreparedCall
) -> None:
    yookassa.script += [UNDECIDED["500"], UNDECIDED["202"]]
    assert client.send(create) == Unknown(
        "HTTP 500 internal_server_error 24858aef-00c9-3e9f-3628-3ca5397ad070", retry_after_s=1.8
    )
    assert client.send(create) == Unknown("HTTP 202", retry_after_s=1.8)


def test_silence_is_unknown_after_the_read_timeout(yookassa: ScriptedProvider, connect: Connect) -> None:
    yookassa.script += [Answer(hang=True), Answer(hang=True)]
    client = connect(timeout_s=0.05)
    assert isinstance(client.send(client.prepare_create(COFFEE, "k")), Unknown)
    assert isinstance(client.fetch(ID), Unknown)
    wait_until(lambda: len(yookassa.requests) == 2, what="both questions")


DRIPPING = {
    "nothing whole": b"HTTP/1.1 2",
    "headers": b"HTTP/1.1 200 OK\r\nX-Slow: ",
    "a body": b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n{",
}


@pytest.mark.parametrize("first", DRIPPING.values(), ids=DRIPPING)
def test_an_answer_that_drips_is_given_up_when_the_whole_is_late(
    first: bytes, yookassa: ScriptedProvider, connect: Connect
) -> None:
    """Regression: each byte began the wait anew, and a call took as long as the provider liked."""
    yookassa.script += [Answer(drips=first)] * 2
    client = connect(timeout_s=0.2)
    assert isinstance(client.send(client.prepare_create(COFFEE, "k")), Unknown)
    assert isinstance(client.fetch(ID), Unknown)
    assert all(yookassa.hung_up.acquire(timeout=30) for _ in range(2)), "we have left, it would drip on"
    wait_until(lambda: isinstance(client.fetch(ID), Ok), what="an answer in time: the client works on afterwards")


def test_a_redirect_is_not_followed(yookassa: ScriptedProvider, client: YooKassaClient, create: PreparedCall) -> None:
    yookassa.script.append(Answer(307, b"", {"Location": f"{yookassa.url}/payments"}))
    assert client.send(create) == Unknown("HTTP 307 without JSON")
    assert len(yookassa.requests) == 1


def test_a_redirect_with_an_endless_body_is_not_read_to_its_end(
    yookassa: ScriptedProvider, client: YooKassaClient, create: PreparedCall
) -> None:
    yookassa.script.append(Answer(302, b" " * (MAX_ANSWER_BYTES + 1), {"Location": "/"}))
    assert client.send(create) == Unknown("HTTP 302, answer too large")


def test_a_stranger_behind_the_providers_name_learns_nothing(connect: Connect, tmp_path: Path) -> None:
    with scripted_provider(self_signed(tmp_path)) as stranger:
        client = connect(url=stranger.url)
        assert client.me() == NotSent("SSLError (SSLError)")
        assert stranger.requests == []


def test_without_whom_to_trust_certainly_nothing_was_sent(tmp_path: Path) -> None:
    """Regression: each call "may have happened", and its order waited until it was given up."""
    trusted, asked = tmp_path / "authorities.pem", Question("GET", "/me", read_timeout_s=30)
    trusted.write_text("no certificate")
    with scripted_provider(self_signed(tmp_path)) as provider:
        begun, fresh = (
            Transport(provider.url, user_agent="t", basic_auth=None, connect_timeout_s=30, authorities=str(trusted))
            for _ in range(2)
        )
        assert begun.exchange(asked) == NotSent("SSLError (SSLError)")
        trusted.unlink()
        assert begun.exchange(asked) == NotSent("SSLError (SSLError)")
        assert fresh.exchange(asked) == NotSent("NoAuthorities")
        begun.close()
        fresh.close()


def test_a_refused_connection_certainly_sent_nothing(connect: Connect) -> None:
    client = connect(url=f"http://127.0.0.1:{free_port()}/v3")
    outcome = client.send(client.prepare_create(COFFEE, "k"))
    assert outcome == NotSent("ConnectionError (NewConnectionError)")


def test_a_name_nobody_knows_certainly_sent_nothing(connect: Connect) -> None:
    client = connect(url="http://nobody.invalid/v3")
    assert client.fetch(ID) == NotSent("ConnectionError (NameResolutionError)")


def test_failures_in_a_row_open_the_circuit_of_this_shop_only(yookassa: ScriptedProvider, connect: Connect) -> None:
    now = [0.0]
    client = connect(breaker=CircuitBreaker(failures=2, open_s=10), clock=lambda: now[0])
    other = connect(shop=Shop("100501", "other"))
    yookassa.script += [UNDECIDED["500"], Answer(reset=True)]
    assert [type(client.fetch(ID)) for _ in range(2)] == [Unknown, Unknown]
    assert client.fetch(ID) == NotSent("circuit open", 10.0, held_back=True)
    assert isinstance(other.send(other.prepare_create(COFFEE, "k")), Ok)
    now[0] = 10.0
    assert isinstance(client.me(), Unknown), "the probe was let through and answered oddly, but answered"
    assert isinstance(client.fetch(ID), Ok)


def test_a_refusal_is_an_answer_and_opens_nothing(yookassa: ScriptedProvider, connect: Connect) -> None:
    client = connect(breaker=CircuitBreaker(failures=1))
    yookassa.script.append(says(sample("errors/404-not-found"), 404))
    assert isinstance(client.fetch(ID), NotOurs)
    assert isinstance(client.fetch(ID), Ok)


@pytest.mark.parametrize("secret", [SECRET, "секрет"])
def test_no_outcome_log_or_repr_tells_the_secret(
    secret: str, yookassa: ScriptedProvider, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    shop = replace(SHOP, secret_key=secret)
    client, stranded = connect(shop=shop), connect(shop=shop, url=f"http://127.0.0.1:{free_port()}/v3")
    call = client.prepare_create(COFFEE, "k")
    yookassa.script += [*UNDECIDED.values(), says(sample("errors/401-invalid-credentials"), 401)]
    outcomes = [client.send(call) for _ in range(len(yookassa.script))] + [stranded.send(call)]
    assert not yookassa.script, "every answer was heard"
    assert yookassa.requests[0].credentials == f"100500:{secret}"
    told = "".join(map(repr, [*outcomes, client, client.shop])) + caplog.text
    encoded = base64.b64encode(f"100500:{secret}".encode()).decode()
    assert secret not in told
    assert encoded not in told
    assert "Authorization: " not in told
