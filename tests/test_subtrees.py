"""What a class key of the params stands for: a synset, or the ILSVRC classes of a subtree."""

import pytest

from allrounder.catalogue.synsets import (
    all_synsets,
    ancestors,
    class_labels,
    find_synset,
    is_subtree,
    synsets_of,
    wnid_of,
)


def test_a_plain_key_is_its_synset() -> None:
    assert not is_subtree("n02109961")
    assert wnid_of("n02109961") == "n02109961"
    assert synsets_of("n02109961") == ["n02109961"]


def test_a_subtree_is_its_ilsvrc_classes_in_their_order() -> None:
    assert is_subtree("n02084071+")
    assert wnid_of("n02084071+") == "n02084071"
    indices = [find_synset(wnid).ilsvrc_index for wnid in synsets_of("n02084071+")]  # type: ignore[union-attr]
    # ILSVRC's 118 dogs are 151 (Chihuahua) to 268 (Mexican hairless), as every detector paper says.
    assert indices == list(range(151, 269))


@pytest.mark.parametrize("key", ["n02109961+", "n02690373+"])
def test_an_ilsvrc_leaf_is_its_own_subtree(key: str) -> None:
    assert synsets_of(key) == [wnid_of(key)]


def test_every_parent_is_in_the_catalogue_and_above_its_child() -> None:
    for synset in all_synsets().values():
        assert set(synset.hypernyms) <= ancestors(synset.wnid) - {synset.wnid}
        assert all(find_synset(parent) for parent in synset.hypernyms)


def test_a_gap_in_the_catalogue_does_not_cut_a_subtree() -> None:
    # Of WordNet's people ImageNet kept three, and not what lies between them and person.
    assert synsets_of("n00007846+") == ["n09835506", "n10148035", "n10565667"]
    assert "n02512053" in ancestors("n01440764")  # a tench is a fish


def test_a_subtree_without_ilsvrc_classes_is_empty() -> None:
    assert synsets_of("n00006024+") == []  # heterotroph
    assert synsets_of("n99999999+") == []


def test_no_label_is_taken_for_a_missing_value() -> None:
    """pandas' `na_values`, in any case; Synset n07684289 is nan, naan."""
    missing = {"", "na", "nan", "null", "none", "n_a", "nil"}
    assert not missing & {synset.label for synset in all_synsets().values()}
    assert class_labels(["n07684289"]) == {"n07684289": "naan"}


def test_a_subtrees_label_is_its_synsets() -> None:
    assert class_labels(["n02084071+", "n02109961"]) == {
        "n02084071+": "dog",
        "n02109961": "eskimo_dog",
    }
    # Two cranes: both get their wnid too, and no folder's name ends in +.
    assert class_labels(["n02012849+", "n03126707"]) == {
        "n02012849+": "crane_n02012849",
        "n03126707": "crane_n03126707",
    }
