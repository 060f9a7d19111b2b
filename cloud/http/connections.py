"""urllib3's connections, whose addresses share the time to connect; and such that lead into the public net only.

An address that a merchant chose may not lead into our own network. That is judged by the address connected to: a name
may mean another one each time.
"""

import socket

from urllib3 import exceptions
from urllib3.connection import HTTPConnection, HTTPSConnection

from cloud.http.one_deadline import PrivateAddress, connect


class NotPublic(exceptions.NewConnectionError):
    """The address leads into our own network; nothing was sent there."""


class BoundedConnection(HTTPConnection):
    """A connection whose addresses share the time to connect."""

    _public_only = False

    def _new_conn(self) -> socket.socket:
        timeout, where = float(self.timeout or 0.0), (self._dns_host, self.port)
        try:
            return connect(where, timeout, self.source_address, self.socket_options, public_only=self._public_only)
        except socket.gaierror as error:
            raise exceptions.NameResolutionError(self.host, self, error) from error
        except PrivateAddress as error:
            raise NotPublic(self, "the address is not a public one") from error
        except TimeoutError as error:
            raise exceptions.ConnectTimeoutError(self, "no connection in time") from error
        except OSError as error:
            raise exceptions.NewConnectionError(self, "no connection") from error


class BoundedTlsConnection(BoundedConnection, HTTPSConnection):
    """The same under TLS."""


class PublicConnection(BoundedConnection):
    """A connection to a public address."""

    _public_only = True


class PublicTlsConnection(PublicConnection, HTTPSConnection):
    """The same under TLS."""
