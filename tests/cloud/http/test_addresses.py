"""One form of a web address, the one browsers call its origin, however people write it."""

import pytest

from cloud.http.addresses import is_public, normal_url, origin_of


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("https://кофе.рф", "https://xn--e1ajmy.xn--p1ai"),
        ("https://КОФЕ.рф.:443/", "https://xn--e1ajmy.xn--p1ai/"),
        ("HTTPS://Pay.Example.org", "https://pay.example.org"),
        ("https://pay.example.org:443/v1?x=1", "https://pay.example.org/v1?x=1"),
        ("http://pay.example.org:80", "http://pay.example.org"),
        ("http://pay.example.org:443", "http://pay.example.org:443"),
        ("https://pay.example.org:8443/кофе", "https://pay.example.org:8443/%D0%BA%D0%BE%D1%84%D0%B5"),
        ("http://[0:0::1]:8080", "http://[::1]:8080"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
    ],
)
def test_however_it_is_written(written: str, normal: str) -> None:
    assert normal_url(written) == normal
    assert normal_url(normal) == normal
    assert origin_of(written) == "/".join(normal.split("/")[:3])


@pytest.mark.parametrize(
    "text",
    [
        "", "pay.example.org", "ftp://x.org", "https://", "https:///x", "https://a b", "https://a..b", "https://-a.org",
        "https://user@x.org", "https://user:pw@x.org", "https://x.org:0", "https://x.org:99999", "https://[::1",
        "https://straße.de", f"https://{'x' * 64}.org", "https://x℀y.org",
    ],
)  # fmt: skip
def test_what_is_none(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # whatever its words
        normal_url(text)
    assert origin_of(text) == ""


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True), ("2a00:1450:4010::64", True), ("127.0.0.1", False), ("10.1.2.3", False), ("::1", False),
        ("169.254.169.254", False), ("100.64.0.1", False), ("fd00::1", False), ("fe80::1%eth0", False),
        ("::ffff:127.0.0.1", False), ("0.0.0.0", False), ("pay.example.org", False),
    ],
)  # fmt: skip
def test_what_is_in_the_public_net(address: str, public: bool) -> None:
    assert is_public(address) is public
