"""What a class key of the params stands for: a synset, or the ILSVRC classes of a subtree."""

import pytest

from allrounder.subtrees import ancestors, is_subtree, synsets_of, wnid_of
from allrounder.synsets import find, synsets


def test_a_plain_key_is_its_synset() -> None:
    assert not is_subtree("n02109961")
    assert wnid_of("n02109961") == "n02109961"
    assert synsets_of("n02109961") == ["n02109961"]


def test_a_subtree_is_its_ilsvrc_classes_in_their_order() -> None:
    assert is_subtree("n02084071+")
    assert wnid_of("n02084071+") == "n02084071"
    indices = [find(wnid).ilsvrc_index for wnid in synsets_of("n02084071+")]  # type: ignore[union-attr]
    # ILSVRC's 118 dogs are 151 (Chihuahua) to 268 (Mexican hairless), as every detector paper says.
    assert indices == list(range(151, 269))


@pytest.mark.parametrize("key", ["n02109961+", "n02690373+"])
def test_an_ilsvrc_leaf_is_its_own_subtree(key: str) -> None:
    assert synsets_of(key) == [wnid_of(key)]


def test_a_synset_is_below_each_of_its_parents() -> None:
    # Parents that are not in the catalogue (device, matter) are nobody's ancestors.
    for synset in synsets().values():
        known = {parent for parent in synset.hypernyms if find(parent)}
        assert known <= ancestors(synset.wnid)


def test_a_subtree_without_ilsvrc_classes_is_empty() -> None:
    assert synsets_of("n00006024+") == []  # heterotroph
    assert synsets_of("n99999999+") == []
