"""Check a cartoon sample: size, variety, and that each planted fault is what it claims."""

from __future__ import annotations

import io
from itertools import combinations
from pathlib import Path

from PIL import Image, ImageOps

from faults import BROKEN_KINDS, COPIES, FAULTS, GOOD_KINDS, is_broken

MAX_BYTES = 1_400_000
MIN_DISTANCE = 12
MAX_GREY_SHARE = 0.45
NEAR_DISTANCE = 2

Hashes = tuple[int, int]


def grey_of(data: bytes) -> Image.Image:
    """Decode a picture upright as greyscale."""
    with Image.open(io.BytesIO(data)) as image:
        return ImageOps.exif_transpose(image).convert("L")


def dhashes(grey: Image.Image) -> Hashes:
    """64-bit difference hashes, one with the BOX filter and one with LANCZOS."""
    values = []
    for method in (Image.Resampling.BOX, Image.Resampling.LANCZOS):
        raw, bits = grey.resize((9, 8), method).tobytes(), 0
        for row in range(8):
            for k in range(row * 9, row * 9 + 8):
                bits = bits << 1 | (raw[k] > raw[k + 1])
        values.append(bits)
    return values[0], values[1]


def distances(a: Hashes, b: Hashes) -> list[int]:
    """Differing bits, per filter."""
    return [(x ^ y).bit_count() for x, y in zip(a, b, strict=True)]


def grey_share(grey: Image.Image) -> float:
    """Share of the pixels in the fullest of 16 equal grey levels."""
    counts = grey.histogram()
    return max(sum(counts[k : k + 16]) for k in range(0, 256, 16)) / sum(counts)


def origin(name: str) -> str:
    """Name what a file shows: duplicates on purpose have the same origin."""
    kind = FAULTS.get(name, "")
    return kind if kind in ("placeholder", "cross_class") else COPIES.get(name, name)


def check_variety(files: dict[str, bytes]) -> list[str]:
    """Compare all readable pictures with each other and look at their grey levels."""
    problems: list[str] = []
    hashes: dict[str, Hashes] = {}
    for name, data in files.items():
        kind = FAULTS.get(name)
        if kind in BROKEN_KINDS:
            continue
        grey = grey_of(data)
        hashes[name] = dhashes(grey)
        share = grey_share(grey)
        if kind == "placeholder":
            if max(grey.histogram()) < 0.8 * grey.width * grey.height:
                problems.append(f"{name}: placeholder is not flat")
        elif share > MAX_GREY_SHARE:
            problems.append(f"{name}: {share:.0%} of the pixels in one grey level")
    for a, b in combinations(hashes, 2):
        near = distances(hashes[a], hashes[b])
        if origin(a) == origin(b):
            if max(near) > NEAR_DISTANCE:
                problems.append(f"{a}, {b}: duplicates differ in {max(near)} bits")
        elif min(near) < MIN_DISTANCE:
            problems.append(f"{a}, {b}: only {min(near)} bits apart")
    return problems


def check_form(name: str, data: bytes, kind: str) -> str:
    """Return what is wrong with the form of one file, or an empty string."""
    if kind == "empty":
        return "not empty" if data else ""
    if kind == "html":
        return "" if b"<html" in data and is_broken(data) else "not an HTML page"
    if kind in BROKEN_KINDS:
        with Image.open(io.BytesIO(data)) as image:
            assert image.format == "JPEG"
        return "" if is_broken(data) else "loads without an error"
    if is_broken(data):
        return "cannot be loaded"
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        seen = {
            "cmyk": image.mode == "CMYK",
            "tiny": image.size == (8, 8),
            "gif": image.format == "GIF",
            "webp": image.format == "WEBP",
            "png": image.mode == "RGBA" and len(data) < 15_000,
            "exif_rotated": image.getexif().get(0x0112) == 6
            and bool(image.getexif().get_ifd(0x8825)),
        }
    return "" if seen.get(kind, True) else f"is not {kind}"


def check_faults(files: dict[str, bytes]) -> list[str]:
    """Every fault is there and is what it claims; the other files are plain JPEGs."""
    problems = [f"{name}: missing" for name in FAULTS if name not in files]
    for name, data in files.items():
        kind = FAULTS.get(name, "")
        wrong = check_form(name, data, kind)
        if wrong:
            problems.append(f"{name}: {wrong}")
        if not kind and not data.startswith(b"\xff\xd8\xff"):
            problems.append(f"{name}: not a JPEG")
    by_kind: dict[str, set[bytes]] = {}
    for name, kind in FAULTS.items():
        by_kind.setdefault(kind, set()).add(files.get(name, b""))
        if kind == "exact_duplicate" and files.get(name) != files.get(COPIES[name]):
            problems.append(f"{name}: differs from {COPIES[name]}")
    for kind in ("placeholder", "cross_class"):
        if len(by_kind[kind]) != 1:
            problems.append(f"{kind}: the files are not byte-identical")
    return problems


def check(folder: Path, wnids: list[str], per_class: int) -> list[str]:
    """Return the problems of a cartoon sample."""
    problems: list[str] = []
    files: dict[str, bytes] = {}
    for wnid in wnids:
        found = sorted(p for p in (folder / wnid).glob("*") if p.is_file())
        files.update((p.name, p.read_bytes()) for p in found)
        bad = sum(FAULTS.get(p.name, "png") not in GOOD_KINDS for p in found)
        if len(found) != per_class:
            problems.append(f"{wnid}: {len(found)} files instead of {per_class}")
        if len(found) - bad < 21 or sum(p.name in FAULTS for p in found) > 3:
            problems.append(f"{wnid}: too many faults")
    total = sum(len(data) for data in files.values())
    if total > MAX_BYTES:
        problems.append(f"{total} bytes are more than {MAX_BYTES}")
    return problems + check_faults(files) + check_variety(files)
