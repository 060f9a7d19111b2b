"""A simulated identity provider (OpenID Connect); needs the extra `oidc`."""
