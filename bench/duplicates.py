"""Which altered copies of photos does each method find, and what does it take for a copy wrongly?

Needs `--photos DIR` with real photos in `DIR/<wnid>/`.
"""

import io
import json
import random
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import combinations
from pathlib import Path

from PIL import Image, ImageDraw, ImageEnhance, ImageFont, ImageOps

from clean import CLEANVISION
from harness import PEER, SCRIPTS, BenchError, Report, installed, main, timed

sys.path.insert(0, str(SCRIPTS))
from allrounder.clean.curate import SAME
from allrounder.clean.decode import normalize
from allrounder.clean.fingerprints import Fingerprint
from allrounder.clean.neighbours import near_pairs
from allrounder.params.schema import Clean

Alter = Callable[[Image.Image], Image.Image]
Pairs = set[tuple[Path, Path]]  # the smaller path first
Finder = Callable[[Sequence[Path]], Pairs]
SMALLEST = 64  # pixels of the shorter side of a photo that is copied
CLEAN = Clean()  # type: ignore[call-arg]


def _cropped(left: float, right: float, image: Image.Image) -> Image.Image:
    """The picture without these shares of both its sides, from the left and top and the others."""
    width, height = image.size
    box = (width * left, height * left, width * (1 - right), height * (1 - right))
    return image.crop((round(box[0]), round(box[1]), round(box[2]), round(box[3])))


def _watermarked(image: Image.Image) -> Image.Image:
    """White half-transparent letters, a third of the picture's width, in the lower right corner."""
    font = ImageFont.load_default(size=100)
    left, top, right, bottom = font.getbbox("© example.org")
    mask = Image.new("L", (int(right - left), int(bottom - top)))
    ImageDraw.Draw(mask).text((-left, -top), "© example.org", fill=128, font=font)
    width = image.width // 3
    mask = mask.resize((width, max(1, mask.height * width // mask.width)), Image.Resampling.LANCZOS)
    marked = image.copy()
    place = (image.width - mask.width - 5, image.height - mask.height - 5)
    marked.paste((255, 255, 255), place, mask)
    return marked


KINDS: dict[str, tuple[Alter, float]] = {  # and the share that must be found
    "re-encoded": (lambda image: image, 0.98),
    "half size": (lambda image: ImageOps.scale(image, 0.5, Image.Resampling.LANCZOS), 0.98),
    "3 % cropped in all": (partial(_cropped, 0.015, 0.015), 0.95),
    "3 % cropped a side": (partial(_cropped, 0.03, 0.03), 0.95),
    "3 % cropped left, top": (partial(_cropped, 0.03, 0), 0),  # no target, as for the last one
    "brightened": (lambda image: ImageEnhance.Brightness(image).enhance(1.25), 0.95),
    "watermarked": (_watermarked, 0.95),
    "mirrored": (ImageOps.mirror, 0),
}


def measure(report: Report, folder: Path) -> None:
    """Recall for each kind of copy; the pairs among the photos themselves."""
    root = report.options.photos.absolute()
    real = sorted(path for path in root.glob("n*/*") if path.is_file())
    originals, copies = _write(real, report.options.count, folder / "photos")
    if not originals:
        raise BenchError(f"{root}/<wnid> holds no photos")
    everything = [*real, *originals, *(path for paths in copies.values() for path in paths)]
    (folder / "run").mkdir()
    finders = _finders(report.options.cache, folder, everything, (root, folder / "photos"))
    for kind, paths in copies.items():
        recall = {name: _recall(find, originals, paths) for name, find in finders.items()}
        report.figure(f"recall, {kind}", recall)
        if KINDS[kind][1]:
            report.target(f"recall, {kind}", [recall["ours"]], KINDS[kind][1])
    found = {name: find(real) for name, find in finders.items()}
    report.figure("pairs among the photos", {name: len(pairs) for name, pairs in found.items()})
    named = sorted([str(path.relative_to(root)) for path in each] for each in found["ours"])
    report.figure("pairs of ours", named)


def _write(real: list[Path], count: int, folder: Path) -> tuple[list[Path], dict[str, list[Path]]]:
    """Write a random choice of the photos and an altered copy of each kind, by kind."""
    random.Random(20120914).shuffle(chosen := list(real))
    originals: list[Path] = []
    copies: dict[str, list[Path]] = {kind: [] for kind in KINDS}
    sets = [originals, *copies.values()]
    with ProcessPoolExecutor() as pool:
        for bodies in pool.map(_copies, chosen[: 2 * count], chunksize=20):
            if not bodies or len(originals) == count:
                continue
            for place, (paths, body) in enumerate(zip(sets, bodies, strict=True)):
                target = folder / f"set{place}" / f"{len(paths)}.jpg"
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(body)
                paths.append(target)
    return originals, copies


def _copies(path: Path) -> list[bytes]:
    """The photo's bytes and those of its copies; none of a photo that is broken or too small."""
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image).convert("RGB")
    except Exception:
        return []
    found = [path.read_bytes()]
    for kind, (alter, _) in KINDS.items():
        out = io.BytesIO()
        alter(upright).save(out, "JPEG", quality=60 if kind == "re-encoded" else 90)
        found.append(out.getvalue())
    return found if min(upright.size) >= SMALLEST else []


def _finders(
    cache: Path, work: Path, paths: Sequence[Path], folders: Sequence[Path]
) -> dict[str, Finder]:
    """All methods, ours first; each has seen all photos."""
    python = installed(cache, "cleanvision", *CLEANVISION) / "python"
    with ProcessPoolExecutor() as pool:
        fingerprints = dict(zip(paths, pool.map(_fingerprint, paths, chunksize=50), strict=True))
    groups: list[list[str]] = []
    for folder in folders:
        timed("cleanvision", 0, [python, PEER, work / "found.json", folder], work / "run")
        seen = json.loads((work / "found.json").read_text(encoding="utf-8"))
        groups += seen["exact_duplicates"] + seen["near_duplicates"]
    sets = {_pair(Path(a), Path(b)) for group in groups for a, b in combinations(group, 2)}
    return {
        "ours": partial(_near, fingerprints, SAME),
        "hashes alone": partial(_near, fingerprints, -1),
        "cleanvision": lambda paths: {pair for pair in sets if {*pair} <= {*paths}},
    }


def _fingerprint(path: Path) -> Fingerprint | None:
    return normalize(path.read_bytes(), CLEAN).fingerprint


def _near(
    fingerprints: dict[Path, Fingerprint | None], similarity: float, paths: Sequence[Path]
) -> Pairs:
    """The clean stage's search with default params; -1 confirms all whose hashes are close."""
    seen = [(path, each) for path in paths if (each := fingerprints[path]) is not None]
    near = near_pairs([each for _, each in seen], CLEAN.near_radius, similarity)
    return {_pair(seen[i][0], seen[j][0]) for i, j in near}


def _recall(find: Finder, originals: Sequence[Path], copies: Sequence[Path]) -> float:
    """The share of the copies that are paired with their original."""
    found = find([*originals, *copies])
    wanted = [_pair(one, two) for one, two in zip(originals, copies, strict=True)]
    return round(sum(each in found for each in wanted) / len(wanted), 3)


def _pair(one: Path, two: Path) -> tuple[Path, Path]:
    return (one, two) if one < two else (two, one)


if __name__ == "__main__":
    folder = {"type": Path, "required": True, "metavar": "DIR", "help": "DIR/<wnid>/* are photos"}
    count = {"type": int, "default": 1000, "help": "photos that are copied (default: 1000)"}
    sys.exit(main(str(__doc__), measure, photos=folder, count=count))
