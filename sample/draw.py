"""Draw the cartoon sample of data/sample: ten classes of 26 pictures, with faults on purpose.

Usage: python sample/draw.py [--out data/sample] [--check]; README.md says more.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parent))

from PIL import Image

import faults
from birds import hummingbird
from boats import speedboat
from buses import school_bus
from cats import persian_cat
from checks import Hashes, check, dhashes, distances, grey_of, grey_share
from dogs import eskimo_dog
from faults import COPIES, FAULTS, GOOD_KINDS
from furniture import couch_and_chair, folding_chair, studio_couch
from planes import airliner
from screens import computer_monitor
from trains import bullet_train

__all__ = ["CLASSES", "COPIES", "FAULTS", "GOOD_KINDS", "PER_CLASS", "draw_sample", "main"]

Painter = Callable[[Random, int], Image.Image]

PER_CLASS = 26
CLASSES: dict[str, Painter] = {
    "n01833805": hummingbird,
    "n02109961": eskimo_dog,
    "n02123394": persian_cat,
    "n02690373": airliner,
    "n02917067": bullet_train,
    "n03376595": folding_chair,
    "n03782006": computer_monitor,
    "n04146614": school_bus,
    "n04273569": speedboat,
    "n04344873": studio_couch,
}
SUFFIXES = {"png": ".png", "gif": ".gif", "webp": ".webp"}

# A little stricter than checks.py, as a margin for other decoders and filters.
TARGET_DISTANCE = 13
TARGET_SHARE = 0.43


class Album:
    """Draws pictures that differ enough from all pictures drawn before."""

    def __init__(self) -> None:
        """Start with the pictures that several files share."""
        self.hashes: list[Hashes] = []
        self.files: dict[str, bytes] = {}
        self.placeholder = faults.placeholder()
        self.hashes.append(dhashes(grey_of(self.placeholder)))
        self.cross_class = self.fresh("cross_class", couch_and_chair, 0, "cross_class")

    def fresh(self, name: str, paint: Painter, number: int, kind: str) -> bytes:
        """Draw with the next seed until the picture is unlike all others."""
        for attempt in range(1000):
            rng = Random(f"{name}/{attempt}")
            data = faults.encode(paint(rng, number + attempt // 8), kind)
            grey = grey_of(data)
            found = dhashes(grey)
            if grey_share(grey) > TARGET_SHARE:
                continue
            if all(min(distances(found, old)) >= TARGET_DISTANCE for old in self.hashes):
                self.hashes.append(found)
                return data
        raise RuntimeError(f"{name}: no picture differs enough from the others")

    def add(self, name: str, paint: Painter, number: int) -> None:
        """Make one file: a picture, or the fault planned for this name."""
        kind = FAULTS.get(name, "")
        match kind:
            case "placeholder":
                data = self.placeholder
            case "cross_class":
                data = self.cross_class
            case "empty":
                data = b""
            case "html":
                data = faults.HTML
            case "exact_duplicate":
                data = self.files[COPIES[name]]
            case "near_duplicate":
                data = faults.near_duplicate(self.files[COPIES[name]])
            case _:
                data = self.fresh(name, paint, number, kind)
        if kind == "truncated":
            data = faults.truncated(data)
        elif kind == "garbage_in_middle":
            data = faults.garbage_in_middle(data, Random(f"{name}/garbage"))
        self.files[name] = data


def file_name(wnid: str, number: int) -> str:
    """Name a file; the suffix follows the planned form."""
    stem = f"{wnid}_{number:03d}"
    names = [stem + suffix for suffix in SUFFIXES.values() if stem + suffix in FAULTS]
    return names[0] if names else f"{stem}.jpg"


def draw_sample() -> dict[str, bytes]:
    """Draw all files; the same bytes on every run with the same Pillow."""
    album = Album()
    for wnid, paint in CLASSES.items():
        for number in range(1, PER_CLASS + 1):
            album.add(file_name(wnid, number), paint, number)
    return album.files


def write(files: dict[str, bytes], out: Path) -> None:
    """Write the files into one folder a class and remove older sample files there."""
    for wnid in CLASSES:
        (out / wnid).mkdir(parents=True, exist_ok=True)
        for old in (out / wnid).glob(f"{wnid}_[0-9][0-9][0-9].*"):
            if old.name not in files:
                old.unlink()
    for name, data in files.items():
        (out / name.split("_")[0] / name).write_bytes(data)


def main(argv: list[str] | None = None) -> int:
    """Draw the sample, or only check an existing one; return 1 if it has a problem."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    root = Path(__file__).resolve().parents[1]
    parser.add_argument("--out", type=Path, default=root / "data" / "sample")
    parser.add_argument("--check", action="store_true", help="check the files, draw nothing")
    args = parser.parse_args(argv)
    if not args.check:
        write(draw_sample(), args.out)
    problems = check(args.out, list(CLASSES), PER_CLASS)
    for problem in problems:
        print(problem, file=sys.stderr)
    files = [p for wnid in CLASSES for p in (args.out / wnid).glob("*")]
    total = sum(p.stat().st_size for p in files)
    print(f"{len(files)} files, {total} bytes, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
