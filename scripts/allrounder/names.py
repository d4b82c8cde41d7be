"""Makes image ids that are safe as file names and unique in their class.

Names from the web never become paths: what is not a plain id is replaced by a hash of its URL.
"""

import hashlib
import re

_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)


def url_id(wnid: str, url: str) -> str:
    """An id for a photo that has none: the wnid and ten hex digits of its URL's SHA-256."""
    return f"{wnid}_{hashlib.sha256(url.encode('utf-8', 'surrogatepass')).hexdigest()[:10]}"


class IdMaker:
    """Gives each photo of one class an id of its own, in rank order."""

    def __init__(self, wnid: str):
        self._wnid = wnid
        self._used: set[str] = set()

    def make(self, proposed: str, url: str) -> str:
        """`proposed` if it is a safe and new id (letters' case aside), else one made of the URL."""
        image_id = proposed if _SAFE.fullmatch(proposed) else url_id(self._wnid, url)
        if image_id.lower() in self._used:
            image_id = url_id(self._wnid, f"{proposed} {url}")
        number = 1
        while image_id.lower() in self._used:
            number += 1
            image_id = url_id(self._wnid, f"{proposed} {url} {number}")
        self._used.add(image_id.lower())
        return image_id
