"""Names of image ids and class folders.

Names from the web never become paths: an id that is not plain is replaced by a hash of its URL.
"""

import hashlib
import re

_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)
_SPLIT_WORDS = re.compile(
    r"(?<![a-z])(train|training|validation|valid|dev|val|test|testing|eval|evaluation)(?![a-z])"
)


def folder_name(label: str) -> str:
    """A class's folder name: its label, but `bullet_trains` for `bullet_train`.

    Hugging Face's imagefolder reads any folder with a split's name as a separate word as that
    split, so val/bullet_train/ would count as train too. Source: SPLIT_KEYWORDS and
    KEYWORDS_IN_DIR_NAME_BASE_PATTERNS in datasets/data_files.py of huggingface/datasets.
    """
    return _SPLIT_WORDS.sub(r"\1s", label)


def url_id(wnid: str, url: str) -> str:
    """An id for a photo without one: the wnid and ten hex digits of its URL's SHA-256."""
    return f"{wnid}_{hashlib.sha256(url.encode('utf-8', 'surrogatepass')).hexdigest()[:10]}"


class IdMaker:
    """Makes a unique id for each photo of one class, in rank order."""

    def __init__(self, wnid: str):
        self._wnid = wnid
        self._used: set[str] = set()

    def make(self, proposed: str, url: str) -> str:
        """`proposed` if it is safe and new (ignoring case), else an id made from the URL."""
        image_id = proposed if _SAFE.fullmatch(proposed) else url_id(self._wnid, url)
        if image_id.lower() in self._used:
            image_id = url_id(self._wnid, f"{proposed} {url}")
        number = 1
        while image_id.lower() in self._used:
            number += 1
            image_id = url_id(self._wnid, f"{proposed} {url} {number}")
        self._used.add(image_id.lower())
        return image_id
