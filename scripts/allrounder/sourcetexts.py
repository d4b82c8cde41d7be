"""Checks the texts in `sources` of params.yaml: locations, hashes, ids.

Each gives the text as it is to be used, or raises ValueError that says what it must be. Not for
which keys a source has: that is sourceparams.py.
"""

import re
from urllib.parse import urlsplit

from allrounder.braces import expand
from allrounder.synsets import did_you_mean_wnid, find
from allrounder.urltext import is_archive, is_web


def location(text: str) -> str:
    """A path, or a URL without a password."""
    if not text or any(ord(character) < 32 for character in text):
        raise ValueError("must be a path, or a URL that starts with http:// or https://")
    if "://" in text and not text.startswith(("http://", "https://")):
        raise ValueError("must be a path, or a URL that starts with http:// or https://")
    if text.startswith("~"):
        raise ValueError("begins with ~, which stands for nothing here; write the path out")
    if "://" in text:
        try:
            parts = urlsplit(text)
            named = bool(parts.hostname) and parts.port != 0  # which raises for what is no port
        except ValueError:
            named = False
        if not named:
            raise ValueError("is no URL: it has no host, or a bad host or port; correct it")
        if "@" in parts.netloc:
            raise ValueError("must hold no password; put it into ~/.netrc")
    return text.rstrip("/")


def web_location(text: str) -> str:
    """A URL."""
    if not text.startswith(("http://", "https://")):
        raise ValueError("must be a URL that starts with http:// or https://")
    return location(text)


def sha256(text: str) -> str:
    """A SHA-256, or nothing."""
    if not re.fullmatch(r"([0-9a-f]{64})?", text):
        raise ValueError("must be 64 hex digits in lower case, as sha256sum prints them, or ''")
    return text


def wnid(text: str) -> str:
    """A synset of the catalogue."""
    if not find(text):
        raise ValueError(f"ImageNet has no such synset.{did_you_mean_wnid(text)}")
    return text


def mid(text: str) -> str:
    """A class of Open Images."""
    if not re.fullmatch(r"mid:/[a-z]/[0-9a-z_]+", text):
        raise ValueError("must be an Open Images class, e.g. mid:/m/0bt9lr")
    return text


def tar_location(text: str) -> str:
    """The place of a tar for each class."""
    if "{wnid}" not in text or not text.endswith(".tar"):
        raise ValueError("must hold {wnid} and end in .tar, e.g. https://host/{wnid}.tar")
    return location(text)


def path(text: str) -> str:
    """A path of this machine."""
    if is_web(text):
        raise ValueError("must be a path of this machine, no URL; download it first")
    return location(text)


def shards(text: str) -> str:
    """Paths or URLs of plain tars, with braces."""
    for shard in expand(text):
        location(shard)
        if not is_archive(shard):
            raise ValueError(
                f"{shard!r} does not end in .tar; a compressed shard cannot be asked for one "
                "photo: unpack it with gunzip"
            )
    return text
