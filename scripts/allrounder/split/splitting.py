"""Divides a class's photos with split-folders into train, val (and test), or into folds.

Photos of a recipe get the recipe's split, and those that form a group with them get it too.
split-folders counts groups, not photos, so the ratio of photos is converted to one of groups.
"""

import io
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
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
    are ordered by file name, which is a content hash, so that adding a photo moves hardly any other
    to another split. split-folders divides empty files in `work`. `given` are the splits that a
    recipe names, '' for other photos. Raises DataError if a place would be empty, and for a split
    that the rules do not have.
    """
    fixed = _fixed(key, groups, rules, given or {})
    divided = {
        place: [n for n, one in fixed.items() if _lies_in(place, split, one)]
        for place, split in split_folders(rules).items()
    }
    rest = {name: group for name, group in groups.items() if name not in fixed}
    parts = _divide(key, rest, rules, work) if rest or not fixed else {}
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

    A group stays on one side, that of its first photo.
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
    """Whether a photo of a given split is in a folder: in a fold's train are all others."""
    return given == split if split else given != place.partition("/")[0]


def _divide(key: str, groups: Mapping[str, str], rules: Split, work: Path) -> dict[str, list[str]]:
    """Divide the photos without a given split."""
    folder, out = work / "in" / key, work / "out"
    remove_tree(work)
    folder.mkdir(parents=True)
    for name in groups:
        (folder / name).touch()
    grouped = _grouped(sorted(folder.iterdir()), groups)
    options = {
        "seed": 0 if rules.seed is None else rules.seed,
        "group": lambda files: _grouped(files, groups),
        "shuffle": rules.seed is not None,
        "move": not rules.kfold,
    }
    with _quiet():
        if rules.kfold and len(grouped) >= rules.kfold:
            splitfolders.kfold(str(folder.parent), str(out), k=rules.kfold, **options)
        elif not rules.kfold:
            ratio = rules.ratio
            if rules.seed is None:
                ratio = group_ratio([len(group) for group in grouped], ratio)
            splitfolders.ratio(str(folder.parent), str(out), ratio=tuple(ratio), **options)
    divided = {
        place: sorted(path.name for path in (out / place / key).glob("*"))
        for place in split_folders(rules)
    }
    remove_tree(work)
    return divided


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


def _grouped(files: Sequence[Path], groups: Mapping[str, str]) -> list[tuple[Path, ...]]:
    together: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        together[groups[file.name] or file.name].append(file)
    return sorted(tuple(sorted(group)) for group in together.values())


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide split-folders' progress bar, and restore the state of Python's random generator."""
    state = random.getstate()
    try:
        with redirect_stderr(io.StringIO()):
            yield
    finally:
        random.setstate(state)
