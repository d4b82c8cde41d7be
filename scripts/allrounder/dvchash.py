"""Hashes files and folders as DVC does, which is how dvc.lock pins them.

Not for checking many files at a time: that is hashing.py.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path


def file_md5(path: Path) -> str:
    """The MD5 of a file. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def folder_md5(files: Mapping[str, str]) -> str:
    """The hash of a folder of these files (path in it, to MD5).

    The MD5 of its list as JSON, by path: dvc_data.hashfile.tree.Tree.as_bytes.
    """
    entries = [{"md5": md5, "relpath": path} for path, md5 in sorted(files.items())]
    text = json.dumps(entries, sort_keys=True)
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() + ".dir"
