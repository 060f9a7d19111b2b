"""What a provider's endpoint answers to a call it does not take: JSON, as every error of the API (docs/http.md)."""

from flask import Response, jsonify


def refused(status: int, code: str, message: str) -> Response:
    """`code` is for programs, `message` for whoever reads the provider's log of deliveries."""
    answer = jsonify(error={"code": code, "message": message})
    answer.status_code = status
    return answer
