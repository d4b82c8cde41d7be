"""Finds the user's Hugging Face token and says which requests may carry it.

It is sent to the Hub's own API and nowhere else, and it is in nothing that is written or said.
"""

import os
from collections.abc import Collection
from pathlib import Path
from urllib.parse import urlsplit

from allrounder.errors import UsageError
from allrounder.urltext import plain_hosts


def token() -> str:
    """The user's token, or '': HF_TOKEN, else the file that `hf auth login` writes.

    Its places are huggingface_hub's (its documentation, page Environment variables): HF_TOKEN;
    the file HF_TOKEN_PATH, by default `$HF_HOME/token`; HF_HOME is `~/.cache/huggingface` by
    default. Raises UsageError, without the token, when no HTTP header can hold it.
    """
    where, text = "environment: HF_TOKEN", os.environ.get("HF_TOKEN", "").strip()
    if not text:
        path = _path()
        try:
            where, text = str(path), path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            return ""
    if not all(33 <= ord(character) < 127 for character in text):
        raise UsageError(f"{where}: holds no token but other text; correct it or run hf auth login")
    return text


def may_carry(url: str, location: str, allow_private: Collection[str]) -> bool:
    """Whether a request for `url` may carry the token of the source at `location`.

    Only to that very scheme, host and port; and only over https, or to a host of one's own.
    """
    asked, own = _origin(url), _origin(location)
    if asked is None or asked != own:
        return False
    return asked[0] == "https" or asked[1] in plain_hosts(allow_private)


def access_words(dataset: str) -> str:
    """What to do when the Hub refuses a dataset that one must sign in for."""
    return (
        f"accept the terms of https://huggingface.co/datasets/{dataset} there and set HF_TOKEN "
        "(or run hf auth login); it is sent over https only"
    )


def _path() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("HF_HOME") or f"{cache}/huggingface"
    named = os.environ.get("HF_TOKEN_PATH") or f"{home}/token"
    return Path(os.path.expandvars(named)).expanduser()


def _origin(url: str) -> tuple[str, str, int] | None:
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (ValueError, KeyError):
        return None
    return parts.scheme, (parts.hostname or "").lower(), port
