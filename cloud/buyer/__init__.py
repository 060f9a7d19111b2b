"""What buyers see: the QR's entry, the menu, the page from scan to cup, its event stream. The world sees us here."""

from cloud.buyer.blueprint import create_blueprint, create_services, guard, status_endpoint
from cloud.buyer.errors import render_error, render_http_error

__all__ = ["create_blueprint", "create_services", "guard", "render_error", "render_http_error", "status_endpoint"]
