"""Publishes on the Hugging Face Hub: only what has changed, one commit and one tag a version.

huggingface_hub speaks to the Hub; it sends the token to HF_ENDPOINT's host only.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from allrounder.core.errors import DataError, UsageError, first_line
from allrounder.core.files import file_sha256
from allrounder.publish.files import CARD, CROISSANT
from allrounder.web.policy import hub_address, hub_token

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_OURS = re.compile(
    r"(data/)?(train|val|test|fold_[0-9]+)/.+"
    r"|(ATTRIBUTION|classes|fingerprints|manifest|recipe)\.csv|croissant\.json|README\.md"
)
"""The files that this project publishes. Other files of the repository stay."""
_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)

_NOT_THE_HUB = (ValueError, LookupError, TypeError, AttributeError, RecursionError)
"""What huggingface_hub raises for a reply that is not the Hub's, such as a login page."""


@dataclass(frozen=True, slots=True)
class Remote:
    """The repository as it is: its head ('' for none), files and tags."""

    head: str
    files: Mapping[str, Any]  # RepoFile by path
    tags: Mapping[str, str]  # commit by name


@dataclass(frozen=True, slots=True)
class Changes:
    """The changes that a commit would make."""

    added: list[str]
    changed: list[str]
    deleted: list[str]
    same: int
    bytes: int

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.deleted)

    def line(self) -> str:
        """The changes in a line."""
        return (
            f"{len(self.added):,} files to add, {len(self.changed):,} to change, "
            f"{len(self.deleted):,} to delete, {self.same:,} unchanged; "
            f"{self.bytes / 1e6:,.1f} MB to upload"
        )


class Hub:
    """A dataset on the Hub."""

    def __init__(self, name: str, needs_token: bool = True):
        """Raises UsageError for a bad name, and without huggingface_hub, a token or https."""
        if not _NAME.fullmatch(name) or "--" in name or ".." in name:
            raise UsageError(f"{name!r} is not a name of a dataset on the Hub; write owner/name")
        try:
            from huggingface_hub import HfApi
        except ImportError:
            raise UsageError(
                "publishing needs huggingface_hub: pip install huggingface_hub"
            ) from None
        self.name, self.address, token = name, hub_address(), hub_token()
        place = urlsplit(self.address)
        if place.scheme != "https" and place.hostname not in _LOOPBACK:
            raise UsageError(
                f"environment: HF_ENDPOINT: {self.address} is not https, so others could read the "
                "token; correct it"
            )
        if needs_token and not token:
            raise UsageError(
                "no token of the Hub: run hf auth login, or set HF_TOKEN to one with write access "
                "(https://huggingface.co/settings/tokens)"
            )
        self._api = HfApi(self.address, token or False, library_name="imagenet-all-rounder")

    @property
    def url(self) -> str:
        """The page of the dataset."""
        return f"{self.address}/datasets/{self.name}"

    def account(self) -> str:
        """The account of the token. Raises DataError if the Hub does not accept it."""
        with self._errors():
            return str(self._api.whoami()["name"])

    def remote(self, revision: str = "main") -> Remote:
        """The repository at a revision; an empty one if it does not exist."""
        from huggingface_hub.errors import RepositoryNotFoundError
        from huggingface_hub.hf_api import RepoFile

        with self._errors():
            try:
                refs = self._api.list_repo_refs(self.name, repo_type="dataset")
            except RepositoryNotFoundError:
                return Remote("", {}, {})
            heads = {one.name: one.target_commit for one in refs.branches}
            tags = {one.name: one.target_commit for one in refs.tags}
            tree = self._api.list_repo_tree(
                self.name, recursive=True, revision=revision, repo_type="dataset"
            )
            files = {one.path: one for one in tree if isinstance(one, RepoFile)}
        return Remote(heads.get("main", ""), files, tags)

    def create(self, private: bool) -> None:
        """Create the repository."""
        with self._errors():
            self._api.create_repo(
                self.name, private=private or None, repo_type="dataset", exist_ok=True
            )

    def commit(
        self, changes: Changes, contents: Mapping[str, Path], message: str, parent: str
    ) -> str:
        """Upload what has changed, in one commit; returns its id.

        Raises DataError if the repository has another head than `parent` by then.
        """
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        adding = [
            CommitOperationAdd(path, contents[path]) for path in changes.added + changes.changed
        ]
        deleting = [CommitOperationDelete(path, is_folder=False) for path in changes.deleted]
        with self._errors():
            done = self._api.create_commit(
                self.name,
                [*adding, *deleting],
                commit_message=message,
                repo_type="dataset",
                parent_commit=parent or None,
            )
        return str(done.oid)

    def tag(self, name: str, commit: str) -> None:
        """Tag a commit."""
        with self._errors():
            self._api.create_tag(self.name, tag=name, revision=commit, repo_type="dataset")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Raise DataError, in one line, for what the Hub or the network answers."""
        from huggingface_hub.errors import HfHubHTTPError

        network: type[Exception] = HfHubHTTPError.__mro__[1]  # httpx's HTTPError
        try:
            yield
        except HfHubHTTPError as error:
            raise DataError(self._refusal(error)) from None
        except (network, ConnectionError) as error:
            raise DataError(
                f"{self.address} cannot be reached ({first_line(error)}); check the network and "
                "run it again: what was uploaded is kept"
            ) from None
        except _NOT_THE_HUB as error:
            raise DataError(
                f"{self.address} does not answer as the Hub does ({type(error).__name__}: "
                f"{first_line(error)}); check the network and HF_ENDPOINT"
            ) from None

    def _refusal(self, error: Any) -> str:
        code = error.response.status_code
        said = first_line(Exception(error.server_message or error))
        if code == 401:
            return (
                f"{self.address} does not accept the token (401); run hf auth login, or correct "
                "HF_TOKEN"
            )
        if code in (403, 404):
            return (
                f"the token may not write to {self.name} ({code}: {said}); use one with write "
                f"access, of an account that may write to {self.name.partition('/')[0]}"
            )
        if code in (409, 412):
            return f"{self.name} has changed meanwhile ({code}: {said}); run it again"
        return f"{self.address} answered {code}: {said}; run it again: what was uploaded is kept"


def compare(contents: Mapping[str, Path], remote: Mapping[str, Any]) -> Changes:
    """The difference between the files to publish and those of the repository that are ours."""
    added = [path for path in contents if path not in remote]
    changed = [
        path
        for path, local in contents.items()
        if path in remote and not _is_same(local, remote[path])
    ]
    deleted = [path for path in remote if path not in contents and _OURS.fullmatch(path)]
    size = sum(contents[path].stat().st_size for path in added + changed)
    return Changes(added, changed, deleted, len(contents) - len(added) - len(changed), size)


def is_published(contents: Mapping[str, Path], remote: Mapping[str, Any]) -> bool:
    """Whether a repository has this version. Card and metadata may have another date."""
    changes = compare(contents, remote)
    others: Iterable[str] = {*changes.changed} - {CARD, CROISSANT}
    return not (changes.added or changes.deleted or others)


def _is_same(path: Path, file: Any) -> bool:
    """Whether a file of the repository has this content: by SHA-256 in LFS, else by git's hash."""
    from huggingface_hub.utils.sha import git_hash

    if path.stat().st_size != file.size:
        return False
    if file.lfs:
        return bool(file_sha256(path) == file.lfs.sha256)
    return bool(git_hash(path.read_bytes()) == file.blob_id)
