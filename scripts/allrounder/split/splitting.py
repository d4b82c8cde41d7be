"""Divides a class's photos with split-folders into train, val (and test), or into folds.

Photos of a recipe get the recipe's split, and those that form a group with them get it too.
split-folders counts groups, not photos, so the ratio of photos is converted to one of groups.
"""

import io
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from functools import lru_cache
from itertools import accumulate, pairwise
from pathlib import Path

import splitfolders

from allrounder.core.errors import DataError
from allrounder.core.files import remove_tree
from allrounder.params.dataset import split_folders, split_names
from allrounder.params.schema import Split


def split_class(
    key: str,
    groups: Mapping[str, str],
    rules: Split,
    work: Path,
    given: Mapping[str, str] | None = None,
) -> dict[str, list[str]]:
    """The names of a class's files in each of `split_folders`.

    `groups` maps the names to group ids; a file with '' is its own group. Without a seed the groups
    are ordered by file name, which is a content hash, so that a new photo moves hardly any other to
    another split. split-folders divides empty files in `work`. `given` are the splits that a recipe
    names, '' for other photos. Raises DataError if a folder would be empty, and for a split that
    the rules do not have.
    """
    fixed = _fixed(key, groups, rules, given or {})
    divided = {
        place: [n for n, one in fixed.items() if _lies_in(place, split, one)]
        for place, split in split_folders(rules).items()
    }
    rest = {name: group for name, group in groups.items() if name not in fixed}
    parts = _divide(rest, rules, work) if rest or not fixed else {}
    for place, names in parts.items():
        divided[place] += names
    too_few = rest and not any(parts.values())
    if empty := [place for place, files in divided.items() if too_few or not files]:
        what = f"{rules.kfold} folds" if rules.kfold else f"{rules.ratio}"
        left = "lower kfold" if rules.kfold else f"{empty[0]} would be empty"
        sets = len({group or name for name, group in groups.items()})
        raise DataError(
            f"class {key}: too small to divide into {what}: "
            f"{len(groups)} photos in {sets} groups; {left}, "
            "raise per_class or remove the class"
        )
    return {place: sorted(files) for place, files in divided.items()}


def _fixed(
    key: str, groups: Mapping[str, str], rules: Split, given: Mapping[str, str]
) -> dict[str, str]:
    """The splits of the photos of a recipe, and of those in one group with them.

    All photos of a group get the split of its first photo.
    """
    names = split_names(rules)
    if other := sorted(set(given.values()) - {"", *names}):
        raise DataError(
            f"class {key}: the recipe has a split {other[0]}, and params.split has "
            f"{', '.join(names)}; give split.ratio or split.kfold as the recipe's dataset has it"
        )
    of_group: dict[str, str] = {}
    for name in sorted(groups):
        if given.get(name):
            of_group.setdefault(groups[name] or name, given[name])
    return {
        name: of_group[group or name]
        for name, group in sorted(groups.items())
        if (group or name) in of_group
    }


def _lies_in(place: str, split: str, given: str) -> bool:
    """Whether a folder has a photo of a given split: a fold's train has those of all others."""
    return given == split if split else given != place.partition("/")[0]


def _divide(groups: Mapping[str, str], rules: Split, work: Path) -> dict[str, list[str]]:
    """Divide the photos without a given split."""
    grouped = _grouped(groups)
    ratio = [] if rules.kfold else list(rules.ratio)
    if ratio and rules.seed is None:
        ratio = group_ratio([len(group) for group in grouped], ratio)
    divided = _numbers(len(grouped), tuple(ratio), rules.kfold or 0, rules.seed, work)
    return {
        place: sorted(name for number in divided.get(place, ()) for name in grouped[number])
        for place in split_folders(rules)
    }


@lru_cache(maxsize=64)
def _numbers(
    count: int, ratio: Sequence[float], folds: int, seed: int | None, work: Path
) -> dict[str, list[int]]:
    """Let split-folders divide numbers, as empty files in `work`: by folder, the numbers in it.

    It needs no more of the groups than their number, so classes with as many groups share a call.
    """
    folder, out = work / "in" / "numbers", work / "out"
    remove_tree(work)
    folder.mkdir(parents=True)
    for number in range(count):
        (folder / f"{number:09}").touch()
    options = {"seed": 0 if seed is None else seed, "shuffle": seed is not None}
    with _quiet():
        if folds and count >= folds:
            splitfolders.kfold(str(folder.parent), str(out), k=folds, move=False, **options)
        elif ratio:
            splitfolders.ratio(str(folder.parent), str(out), ratio=ratio, move=True, **options)
    found = defaultdict[str, list[int]](list)
    for path in out.glob("*/**/numbers/*"):
        found[path.parent.parent.relative_to(out).as_posix()].append(int(path.name))
    remove_tree(work)
    return dict(found)


def group_ratio(sizes: Sequence[int], ratio: Sequence[float]) -> list[float]:
    """Convert a ratio of photos to one of groups, for groups of these sizes in this order.

    Each cut is the last one at which the photos before it are at most their share; every split
    gets at least one group.
    """
    total, before = sum(sizes), [0, *accumulate(sizes)]
    cuts, share = [0], 0.0
    for number, part in enumerate(ratio[:-1], start=1):
        share += part
        fitting = max(k for k, photos in enumerate(before) if photos <= share * total + 1e-9)
        lowest, highest = cuts[-1] + 1, len(sizes) - (len(ratio) - number)
        cuts.append(max(min(fitting, highest), lowest))
    # split-folders rounds down with int(): a quarter of a group more avoids one group too few.
    parts = [(high - low + 0.25) / max(len(sizes), 1) for low, high in pairwise(cuts)]
    return [*parts, 1 - sum(parts)]


def _grouped(groups: Mapping[str, str]) -> list[tuple[str, ...]]:
    together: dict[str, list[str]] = defaultdict(list)
    for name in sorted(groups):
        together[groups[name] or name].append(name)
    return sorted(map(tuple, together.values()))


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide split-folders' progress bar, and restore the state of Python's random generator."""
    state = random.getstate()
    try:
        with redirect_stderr(io.StringIO()):
            yield
    finally:
        random.setstate(state)
