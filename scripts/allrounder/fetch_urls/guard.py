"""Keeps a listing's host from leading us into this network: no redirect to a private address.

The hosts that params.yaml names are trusted wherever they are. Not for photos: their hosts are
anybody's, and are checked in transfer.py. Through a proxy the check is the proxy's to make.
"""

import socket
from collections.abc import Set
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from allrounder.download.urlcheck import is_public
from allrounder.urltext import plain_hosts


class PrivateAddressError(ValueError):
    """A redirect leads to an address that is not of the public internet."""


class GuardedAdapter(HTTPAdapter):
    """Connects to `trusted` hosts, and to others at public addresses only.

    The address is checked when the connection stands and before anything is sent, so that a name
    which means another address at each look-up (DNS rebinding) does not help.
    """

    def __init__(self, trusted: Set[str], **options: Any):
        self._trusted = trusted
        super().__init__(**options)

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """Make the pools of connections, with checked ones in them."""
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = _pools(self._trusted)


def _pools(trusted: Set[str]) -> dict[str, Any]:
    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return _checked(super()._new_conn(), self.host, trusted)

    class Secure(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return _checked(super()._new_conn(), self.host, trusted)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


def _checked(connection: socket.socket, host: str, trusted: Set[str]) -> socket.socket:
    if plain_hosts([host]) <= trusted or is_public(connection.getpeername()[0]):
        return connection
    connection.close()
    raise PrivateAddressError(
        f"a redirect leads to {host}, at a private address; if that is meant, "
        "put the host into network.allow_private"
    )
