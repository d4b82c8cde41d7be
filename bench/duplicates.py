"""Measures which altered copies are found, and what is taken for one wrongly; see README.md.

Exits 1 when a target is missed, 2 when the benchmark itself cannot run.
"""

import argparse
import csv
import json
import random
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path

import dup_copies
import dup_sheet
from download import machine
from dup_methods import Finder, Pairs, methods, pair
from measure import BenchError, Target

RECALL = {
    "re-encoded": 0.98,
    "half size": 0.98,
    "3 % cropped in all": 0.95,
    "3 % cropped a side": 0.95,
    "brightened": 0.95,
    "watermarked": 0.95,
}
PRECISION = 0.99
SAMPLE = 60  # pairs of another method that come on its sheet
Verdicts = dict[tuple[Path, Path], bool]
Figures = dict[str, dict[str, float]]


def main() -> int:
    """Copy, search, report."""
    options = _options()
    try:
        recall, real = _search(options)
        verdicts = _verdicts(options.verdicts, options.photos) if options.verdicts else {}
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    judged = {name: _judged(pairs, verdicts) for name, pairs in real.items()}
    print(_table(recall, real, judged))
    if options.sheet:
        _sheets(real, options.photos, options.sheet)
    targets = _targets(recall, judged["ours"], bool(verdicts))
    print(*[""] + [target.line() for target in targets], sep="\n")
    if options.json:
        _write(options, recall, real, judged, targets)
    missed = [target.name for target in targets if not target.met]
    if missed:
        print(f"missed: {'; '.join(missed)}", file=sys.stderr)
    return 1 if missed else 0


def _search(options: argparse.Namespace) -> tuple[Figures, dict[str, Pairs]]:
    """Recall of each method for each kind of copy, and its pairs among the real photos."""
    real = dup_copies.photos(options.photos)
    chosen = dup_copies.choose(options.photos, options.count)
    if not chosen:
        raise BenchError(f"{options.photos}/<wnid> holds no photos")
    print(f"{len(real)} photos, {len(chosen)} of them copied in {len(dup_copies.KINDS)} ways")
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        work = Path(name) / "work"
        originals, copies = _make(chosen, Path(name) / "photos")
        work.mkdir()
        everything = [*real, *originals, *(path for paths in copies.values() for path in paths)]
        folders = [options.photos, Path(name) / "photos"]
        finders = methods(options.cache, work, everything, folders)
        recall = {
            kind: {name: _recall(find, originals, paths) for name, find in finders.items()}
            for kind, paths in copies.items()
        }
        return recall, {name: find(real) for name, find in finders.items()}


def _make(chosen: list[Path], folder: Path) -> tuple[list[Path], dict[str, list[Path]]]:
    """Write originals and copies into folders of their own."""
    (folder / "original").mkdir(parents=True)
    originals = []
    for number, path in enumerate(chosen):
        originals.append(folder / "original" / f"{number}.jpg")
        originals[-1].write_bytes(path.read_bytes())
    copies = {}
    with ProcessPoolExecutor() as pool:
        for place, kind in enumerate(dup_copies.KINDS):
            (folder / f"copy{place}").mkdir()
            made = pool.map(dup_copies.copy, chosen, repeat(kind), chunksize=50)
            copies[kind] = [folder / f"copy{place}" / path.name for path in originals]
            for path, body in zip(copies[kind], made, strict=True):
                path.write_bytes(body)
    return originals, copies


def _recall(find: Finder, originals: list[Path], copies: list[Path]) -> float:
    """The share of copies that are found to be one of their own original."""
    found = find([*originals, *copies])
    wanted = [pair(one, two) for one, two in zip(originals, copies, strict=True)]
    return sum(each in found for each in wanted) / len(wanted)


def _verdicts(path: Path, photos: Path) -> Verdicts:
    """What somebody says of pairs: columns a, b (`<wnid>/<file>`), duplicate (1 or 0)."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    try:
        return {pair(photos / r["a"], photos / r["b"]): r["duplicate"] == "1" for r in rows}
    except KeyError as error:
        raise BenchError(f"{path}: no column {error}") from None


def _judged(pairs: Pairs, verdicts: Verdicts) -> dict[str, int]:
    """How many of the pairs are right and wrong, and how many of those that are right it misses."""
    right = {each for each, duplicate in verdicts.items() if duplicate}
    return {
        "right": len(pairs & right),
        "wrong": len(pairs & (verdicts.keys() - right)),
        "unjudged": len(pairs - verdicts.keys()),
        "missed": len(right - pairs),
    }


def _table(recall: Figures, real: dict[str, Pairs], judged: dict[str, dict[str, int]]) -> str:
    lines = [f"{'':<22}" + "".join(f"{name:>13}" for name in real)]
    for kind, row in recall.items():
        lines.append(f"{kind:<22}" + "".join(f"{row[name]:>13.3f}" for name in real))
    counts = "".join(f"{len(pairs):>13}" for pairs in real.values())
    lines.append(f"{'pairs of real photos':<22}{counts}")
    for word in ("right", "wrong", "unjudged", "missed"):
        lines.append(f"  {word:<20}" + "".join(f"{judged[name][word]:>13}" for name in real))
    return "\n".join(lines)


def _sheets(real: dict[str, Pairs], photos: Path, sheet: Path) -> None:
    """All pairs of ours on one sheet, and of each other method a random sample, numbered."""
    for number, (name, pairs) in enumerate(real.items()):
        shown = sorted(pairs)
        if number and len(shown) > SAMPLE:
            shown = sorted(random.Random(number).sample(shown, SAMPLE))
        out = sheet if not number else sheet.with_stem(f"{sheet.stem}-{number}")
        names = [tuple(str(path.relative_to(photos)) for path in each) for each in shown]
        dup_sheet.draw(names, photos, out)  # type: ignore[arg-type]
        print(f"{out}: {len(shown)} of {len(pairs)} pairs of {name}")


def _targets(recall: Figures, judged: dict[str, int], has_verdicts: bool) -> list[Target]:
    targets = [Target(f"recall: {kind}", recall[kind]["ours"], RECALL[kind]) for kind in RECALL]
    if has_verdicts:
        seen = judged["right"] + judged["wrong"]
        share = judged["right"] / seen if seen else 1.0
        targets.append(Target(f"precision of {seen} pairs judged", share, PRECISION))
        targets.append(Target("pairs that nobody has judged", judged["unjudged"], 0, False))
    return targets


def _write(
    options: argparse.Namespace,
    recall: Figures,
    real: dict[str, Pairs],
    judged: dict[str, dict[str, int]],
    targets: list[Target],
) -> None:
    report = {
        "machine": machine(),
        "recall": recall,
        "judged": judged,
        "pairs": {
            name: sorted([str(path.relative_to(options.photos)) for path in each] for each in pairs)
            for name, pairs in real.items()
        },
        "targets": [vars(target) | {"met": target.met} for target in targets],
    }
    options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    cache = Path.home() / ".cache" / "imagenet-all-rounder-bench"
    add("--photos", type=Path, required=True, metavar="DIR", help="DIR/<wnid>/* are photos")
    add("--count", type=int, default=1000, help="how many of them are copied (default: 1000)")
    add("--sheet", type=Path, metavar="FILE", help="write a PNG of the pairs among DIR's photos")
    add("--verdicts", type=Path, metavar="CSV", help="what is right: columns a, b, duplicate")
    add("--json", type=Path, metavar="FILE", help="write all figures and pairs to FILE")
    add("--cache", type=Path, default=cache, help="where the others are installed")
    options = parser.parse_args()
    options.cache, options.photos = options.cache.absolute(), options.photos.absolute()
    return options


if __name__ == "__main__":
    sys.exit(main())
