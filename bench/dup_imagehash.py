"""Hashes photos with imagehash, in whose environment it runs: a list of paths in, JSON out."""

import json
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import imagehash
from PIL import Image


def hashed(path: str) -> list[str]:
    """pHash and dHash of a photo, in hexadecimal; nothing when it cannot be opened."""
    try:
        with Image.open(path) as image:
            return [str(imagehash.phash(image)), str(imagehash.dhash(image))]
    except Exception:
        return []


if __name__ == "__main__":
    paths = Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()
    with ProcessPoolExecutor() as pool:
        found = dict(zip(paths, pool.map(hashed, paths, chunksize=50), strict=True))
    Path(sys.argv[2]).write_text(json.dumps(found), encoding="utf-8")
