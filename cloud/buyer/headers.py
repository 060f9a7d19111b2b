"""What browsers may do with the buyer's pages (headers), and which requests come from those pages (same origin)."""

from flask import Request, Response

from cloud.buyer.assets import FILES, style_hash
from cloud.buyer.gzip_response import gzip_response
from cloud.http.addresses import origin_of
from cloud.http.own_files import KEPT


def content_policy(public_url: str) -> str:
    """Own scripts and styles only. A logo may come from the merchant's web; a form leads on to the provider's page."""
    web = "https: http:" if public_url.startswith("http:") else "https:"
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            f"style-src '{style_hash()}'",  # the page brings its style along: one round trip less to the first picture
            "connect-src 'self'",
            f"img-src 'self' {web}",
            f"form-action 'self' {web}",  # browsers judge the redirect to the provider by it too
            "base-uri 'none'",
            "frame-ancestors 'none'",
        )
    )


_DEPENDS_ON = ("Accept-Language", "Accept")


def always(policy: str) -> dict[str, str]:
    """The headers of every answer to a buyer."""
    return {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        # The address names the order: it stays with us. "no-referrer" would take the Origin from our own forms.
        "Referrer-Policy": "same-origin",
    }


def of_json(policy: str) -> dict[str, str]:
    """The headers of an answer to a program: as long as it is not asked again, nobody may show it."""
    return {**always(policy), "Cache-Control": "no-store", "Vary": ", ".join((*_DEPENDS_ON, "Accept-Encoding"))}


def protect(response: Response, policy: str) -> Response:
    """Set the headers of every answer to a buyer."""
    for name, value in always(policy).items():
        response.headers.setdefault(name, value)
    if FILES.may_keep(response):
        response.headers["Cache-Control"] = KEPT
    else:
        response.headers.setdefault("Cache-Control", "no-store")
        response.vary.update(_DEPENDS_ON)
    return gzip_response(response)


def asks_a_person(asked: Request) -> bool:
    """Whether somebody opens this page; not a program that only looks, nor a browser that loads it in advance."""
    purposes = {asked.headers.get(name, "").partition(";")[0].lower() for name in ("Sec-Purpose", "Purpose", "X-Moz")}
    return asked.method != "HEAD" and not purposes & {"prefetch", "preview"}


def is_own(asked: Request, public_url: str) -> bool:
    """Whether a page of ours, or a program that is no browser, sends this: no other site may act for the buyer."""
    site = asked.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in {"same-origin", "none"}
    origin = asked.headers.get("Origin")
    return origin is None or origin in {origin_of(public_url), origin_of(asked.host_url)} - {""}
