"""What is wrong with a DVC remote: a missing package, no connection, no access.

Remotes raise nearly anything: the errors of boto, aiohttp and asyncssh, and those of fsspec, which
hide the cause behind a FileNotFoundError.
"""

import re
from collections.abc import Iterator
from typing import Any

from allrounder.core.errors import Fault, first_line

_DENIED = re.compile(r"NoCredentials|PermissionError|PermissionDenied|HostKeyNotVerifiable")
_DENIED_S3 = re.compile(
    r"\((401|403|AccessDenied|InvalidAccessKeyId|SignatureDoesNotMatch|Expired\w+)\)"
)
_UNREACHABLE = re.compile(
    r"Connect(or|ion|Timeout)|Disconnected|TimeoutError|ConnectionLost|gaierror"
)
_LOGIN = {
    "s3": "access_key_id KEY (and secret_access_key)",
    "gs": "credentialpath FILE.json",
    "ssh": "user NAME (and keyfile)",
    "http": "user NAME (and password, and auth basic)",
    "https": "user NAME (and password, and auth basic)",
}
"""The setting of DVC that holds a login, by the scheme of the remote's URL."""


def remote_fault(error: BaseException, name: str, url: str) -> Fault | None:
    """The fault of a remote that an error tells of; None if the remote only lacks the object."""
    remote = f"remote {name} ({url})"
    if needed := re.search(r"requires '([\w-]+)'", str(error)):
        words = f"{remote}: DVC needs the package {needed[1]} for it; install it"
        return Fault(words, f"pip install {needed[1]}")
    causes = list(_causes(error))
    types = " ".join(type(one).__name__ for one in causes)
    statuses = [status for one in causes if isinstance(status := getattr(one, "status", 0), int)]
    said = f"{type(causes[-1]).__name__}: {first_line(causes[-1])}"
    if {401, 403} & {*statuses} or _DENIED.search(types) or _DENIED_S3.search(str(causes[-1])):
        login = _LOGIN.get(url.partition("://")[0])
        words = f"{remote}: access is denied ({said}); give"
        if not login:
            return Fault(f"{words} yourself access", f"ls -ld {url}")
        return Fault(f"{words} DVC your login", f"dvc remote modify --local {name} {login}")
    if (
        max(statuses) >= 500
        or _UNREACHABLE.search(types)
        or any(isinstance(one, ConnectionError | TimeoutError) for one in causes)
    ):
        words = f"{remote}: cannot be reached ({said}); check the network and its address"
        return Fault(words, "dvc config --list --show-origin")
    if isinstance(error, FileNotFoundError):
        return None
    return Fault(f"{remote}: cannot be used ({said}); check it", "dvc doctor")


def no_remote(name: str) -> Fault:
    """The fault of a name, '' for the default one, that .dvc/config has no remote for."""
    words = f"no DVC remote {name} is configured" if name else "no default DVC remote is configured"
    return Fault(words, f"dvc remote add --default {name or 'mine'} ../dataset-store")


def remote_of(repo: Any, remote: str | None) -> tuple[str, str]:
    """The name and URL of a remote, None being the default one; '' for what is not configured."""
    name = remote or str(repo.config["core"].get("remote") or "")
    return name, str(repo.config["remote"].get(name, {}).get("url", ""))


def _causes(error: BaseException | None) -> Iterator[Any]:
    while error:
        yield error
        error = error.__cause__ or error.__context__
