"""Names a dataset's version by its content: a digest of the params and what dvc.lock pins.

dvc.lock itself is being rewritten while the stage runs, so its hashes are computed here.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from allrounder.core.files import file_md5, folder_md5
from allrounder.params.schema import Params


@dataclass(frozen=True, slots=True)
class Version:
    """Two digests, in hexadecimal; and the hash that dvc.lock pins for each folder."""

    params: str
    lock: str
    folders: dict[str, str]


def version(params: Params, folders: list[Path]) -> Version:
    """The version of a dataset that was built in these folders."""
    pinned = {folder.as_posix(): dvc_hash(folder) for folder in folders}
    lines = "".join(f"{digest} {name}\n" for name, digest in pinned.items())
    return Version(params_digest(params), hashlib.sha256(lines.encode()).hexdigest(), pinned)


def params_digest(params: Params) -> str:
    """SHA-256 of what the params mean: defaults filled in, without `network` and comments.

    The order of classes is part of it, since it is the class index.
    """
    meaning = params.model_dump(mode="json", exclude={"network"})
    meaning["classes"] = list(meaning["classes"].items())
    text = json.dumps(meaning, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def dvc_hash(folder: Path) -> str:
    """The hash by which DVC knows a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return folder_md5({path.relative_to(folder).as_posix(): file_md5(path) for path in files})
