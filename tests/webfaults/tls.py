"""Certificates of an authority of our own, good and bad."""

import contextlib
import datetime
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

import trustme

from webfaults.server import reset

Maker = Callable[[], ssl.SSLContext]
AUTHORITY = trustme.CA()


def trust(folder: Path) -> str:
    """The path of the authority's certificate, for SSL_CERT_FILE."""
    path = folder / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(path)
    return str(path)


def trust_folder(folder: Path) -> str:
    """The path of a folder that holds the authority's certificate under its hash, as OpenSSL's."""
    path = folder / "certificates"
    path.mkdir()
    AUTHORITY.cert_pem.write_to_path(path / "ca.pem")
    subprocess.run(["openssl", "rehash", str(path)], check=True)
    return str(path)


def stranger_authority() -> trustme.CA:
    """An authority that issued none of the certificates of these tests."""
    return trustme.CA()


def _context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def good() -> ssl.SSLContext:
    """A certificate for this host."""
    return _context(AUTHORITY.issue_cert("127.0.0.1", "localhost"))


def wrong_host() -> ssl.SSLContext:
    """A certificate for another host."""
    return _context(AUTHORITY.issue_cert("elsewhere.example"))


def expired() -> ssl.SSLContext:
    """A certificate whose time is over."""
    then = datetime.datetime(2001, 1, 1, tzinfo=datetime.UTC)
    return _context(AUTHORITY.issue_cert("127.0.0.1", not_before=then, not_after=then))


def stranger() -> ssl.SSLContext:
    """A certificate of an untrusted authority."""
    return _context(trustme.CA().issue_cert("127.0.0.1"))


class Plain:
    """A port that waits for a client's hello and answers with plain bytes, or with a reset."""

    def __init__(self, answer: bytes):
        self.connections, self._answer = 0, answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}/1.jpg"

    def __enter__(self) -> Self:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection:
                    self.connections += 1
                    connection.recv(65536)
                    connection.sendall(self._answer)
                    if not self._answer:
                        reset(connection)
