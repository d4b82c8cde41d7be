"""Parts one class's photos into train, val (and test) with split-folders, groups kept whole.

split-folders counts groups and not photos, so the ratio is handed to it in groups, such that it
is right in photos. Not for names and tables of the dataset: that is layout.py.
"""

import io
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr
from itertools import accumulate, pairwise
from pathlib import Path

import splitfolders

from allrounder.errors import DataError
from allrounder.params import Split

SIDES = ("train", "val", "test")


def split_class(folder: Path, out: Path, groups: Mapping[str, str], rules: Split) -> None:
    """Move the files of `folder` (`<any>/<wnid>`) to `out/<side>/<wnid>`.

    `groups` maps file names to group ids; '' or no entry is a group of its own. Without a seed
    the groups are parted in the order of their names, which are content hashes: a photo more or
    less moves the cuts hardly at all. Raises DataError when a side would stay empty.
    """
    grouped = _grouped(sorted(folder.iterdir()), groups)
    sides = SIDES[: len(rules.ratio)]
    ratio = rules.ratio
    if rules.seed is None:
        ratio = group_ratio([len(group) for group in grouped], rules.ratio)
    state = random.getstate()  # split-folders seeds Python's shared generator
    try:
        with redirect_stderr(io.StringIO()):  # a progress bar a class
            splitfolders.ratio(
                str(folder.parent),
                str(out),
                seed=0 if rules.seed is None else rules.seed,
                ratio=tuple(ratio),
                group=lambda files: _grouped(files, groups),
                move=True,
                shuffle=rules.seed is not None,
            )
    finally:
        random.setstate(state)
    for side in sides:
        if not any((out / side / folder.name).glob("*")):
            raise DataError(
                f"class {folder.name}: too small to part {rules.ratio}: {sum(map(len, grouped))} "
                f"photos in {len(grouped)} groups leave {side} empty; raise per_class or "
                "remove the class"
            )


def group_ratio(sizes: Sequence[int], ratio: Sequence[float]) -> list[float]:
    """The ratio in groups that parts photos best, for groups of these sizes in this order.

    Each cut is the last one that leaves a side no larger than its share, and one group at least.
    """
    total, before = sum(sizes), [0, *accumulate(sizes)]
    cuts, share = [0], 0.0
    for number, part in enumerate(ratio[:-1], start=1):
        share += part
        fitting = max(k for k, photos in enumerate(before) if photos <= share * total + 1e-9)
        lowest, highest = cuts[-1] + 1, len(sizes) - (len(ratio) - number)
        cuts.append(max(min(fitting, highest), lowest))
    # A quarter of a group more keeps split-folders' int() on the right side of rounding.
    parts = [(high - low + 0.25) / max(len(sizes), 1) for low, high in pairwise(cuts)]
    return [*parts, 1 - sum(parts)]


def _grouped(files: Sequence[Path], groups: Mapping[str, str]) -> list[tuple[Path, ...]]:
    together: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        together[groups.get(file.name) or file.name].append(file)
    return sorted(tuple(sorted(group)) for group in together.values())
