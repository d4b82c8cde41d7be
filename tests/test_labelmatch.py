"""What a source's label means: wnid, index, names, the params' own words; never a guess."""

from allrounder.labelmatch import matcher, plain

HUSKY, CRANE_BIRD, CRANE_MACHINE = "n02109961", "n02012849", "n03126707"


def test_a_class_goes_by_wnid_index_and_names() -> None:
    found = matcher([HUSKY], {})
    for label in (HUSKY, "248", "Eskimo dog", "eskimo_dog", "HUSKY", "Eskimo dog, husky"):
        assert found[plain(label)] == HUSKY
    assert plain("249") not in found


def test_a_label_of_two_classes_means_none() -> None:
    found = matcher([CRANE_BIRD, CRANE_MACHINE], {})
    assert "crane" not in found
    assert found["134"] == CRANE_BIRD


def test_the_params_words_stand_alone() -> None:
    found = matcher([HUSKY, CRANE_BIRD], {HUSKY: "Sled Dog"})
    assert found["sled dog"] == HUSKY
    assert "248" not in found
    assert found["134"] == CRANE_BIRD
