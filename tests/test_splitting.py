"""The split: no group in two splits, within one group of the ratio, stable when the set grows."""

import hashlib
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allrounder.core.errors import DataError
from allrounder.params.dataset import split_names
from allrounder.params.schema import Split
from allrounder.split.splitting import group_ratio, split_class


def file_name(number: int) -> str:
    return f"n00000001_{hashlib.sha256(str(number).encode()).hexdigest()[:16]}.jpg"


KEY = "n00000001"


def places(names: list[str], groups: dict[str, str], rules: Split) -> dict[str, list[str]]:
    with tempfile.TemporaryDirectory() as folder:
        grouped = {name: groups.get(name, "") for name in names}
        return split_class(KEY, grouped, rules, Path(folder, "work"))


def split(names: list[str], groups: dict[str, str], rules: Split) -> dict[str, str]:
    """The side of each file."""
    divided = places(names, groups, rules)
    return {name: side for side, files in divided.items() for name in files}


RATIOS = st.sampled_from([[0.8, 0.2], [0.5, 0.5], [0.9, 0.1], [0.7, 0.15, 0.15], [0.6, 0.2, 0.2]])
GROUPS = st.lists(st.integers(1, 6), min_size=3, max_size=25)


@settings(max_examples=60, deadline=None)
@given(sizes=GROUPS, ratio=RATIOS, seed=st.none() | st.integers(0, 3))
def test_no_group_is_in_two_splits_and_nothing_is_lost(
    sizes: list[int], ratio: list[float], seed: int | None
) -> None:
    owners = [group for group, size in enumerate(sizes) for _ in range(size)]
    groups = {file_name(i): f"group{owner}" for i, owner in enumerate(owners)}
    try:
        sides = split(list(groups), groups, Split(ratio=ratio, seed=seed))
    except DataError:
        assert seed is not None  # by content hash, each side has a group at least
        return
    assert sides.keys() == groups.keys()
    assert len({(groups[name], side) for name, side in sides.items()}) == len(sizes)


@given(sizes=st.lists(st.integers(1, 9), min_size=3, max_size=200), ratio=RATIOS)
def test_cuts_are_within_one_group_of_the_ratio(sizes: list[int], ratio: list[float]) -> None:
    by_groups = group_ratio(sizes, ratio)
    assert sum(by_groups) == pytest.approx(1)
    at, share = 0, 0.0
    for part, by_group in zip(ratio[:-1], by_groups[:-1], strict=True):
        at += int(by_group * len(sizes))
        share += part
        assert 0 < at < len(sizes)
        assert abs(sum(sizes[:at]) - share * sum(sizes)) <= max(sizes) * len(ratio)


def test_one_photo_more_moves_at_most_one_other() -> None:
    names = [file_name(number) for number in range(300)]
    before = split(names, {}, Split())
    assert Counter(before.values()) == {"train": 240, "val": 60}
    for number in range(300, 310):
        after = split([*names, file_name(number)], {}, Split())
        assert sum(before[name] != after[name] for name in names) <= 1


def test_growing_by_a_third_moves_few() -> None:
    moved = []
    for start in range(0, 10_000, 1_000):
        names = [file_name(number) for number in range(start, start + 400)]
        before, after = split(names[:300], {}, Split()), split(names, {}, Split())
        moved.append(sum(before[name] != after[name] for name in names[:300]) / 300)
    assert sum(moved) / len(moved) <= 0.03


@settings(max_examples=30, deadline=None)
@given(sizes=st.lists(st.integers(1, 5), min_size=5, max_size=20), k=st.integers(2, 5))
def test_each_photo_is_val_in_one_fold_and_groups_stay_together(sizes: list[int], k: int) -> None:
    owners = [group for group, size in enumerate(sizes) for _ in range(size)]
    groups = {file_name(i): f"group{owner}" for i, owner in enumerate(owners)}
    rules = Split(kfold=k)
    divided = places(list(groups), groups, rules)
    val = {name: fold for fold in split_names(rules) for name in divided[f"{fold}/val"]}
    assert val.keys() == groups.keys()
    assert len({(groups[name], fold) for name, fold in val.items()}) == len(sizes)
    for fold in split_names(rules):
        assert set(divided[f"{fold}/train"]) == {name for name in val if val[name] != fold}


def test_the_order_of_files_moves_no_photo() -> None:
    names = [file_name(number) for number in range(100)]
    assert split(names, {}, Split()) == split(list(reversed(names)), {}, Split())


def test_split_folders_own_shuffle_moves_many() -> None:
    """Why the default is no shuffle; README quotes the mean of 20 sets, 40."""
    moved = []
    for start in range(0, 4_000, 400):
        names = [file_name(number) for number in range(start, start + 300)]
        before = split(names, {}, Split(seed=1337))
        after = split([*names, file_name(start + 300)], {}, Split(seed=1337))
        moved.append(sum(before[name] != after[name] for name in names))
    assert sum(moved) / len(moved) > 20


def test_a_seed_shuffles_with_split_folders() -> None:
    names = [file_name(number) for number in range(50)]
    one, two = split(names, {}, Split(seed=1)), split(names, {}, Split(seed=2))
    assert one != two
    assert one == split(names, {}, Split(seed=1))
    assert Counter(one.values()) == {"train": 40, "val": 10}


def test_a_class_too_small_for_every_side_is_named() -> None:
    with pytest.raises(DataError, match=r"class n00000001: too small .*raise per_class"):
        split([file_name(1)], {}, Split())
    with pytest.raises(DataError, match=r"into 3 folds: 2 photos in 2 groups; lower kfold, raise"):
        split([file_name(1), file_name(2)], {}, Split(kfold=3))
