"""What a source's label means: wnid, index, names, the params' own words; never a guess."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allrounder.catalogue.labels import ClassPart, label_matcher, normalized_label

HUSKY, PERSIAN, CRANE_BIRD, CRANE_MACHINE = "n02109961", "n02123394", "n02012849", "n03126707"
SCREEN, LIZARD = "n03782006", "n01694709"
POOL = [HUSKY, PERSIAN, CRANE_BIRD, CRANE_MACHINE, SCREEN, LIZARD, "n02084071"]


def parts(wnids: list[str]) -> list[ClassPart]:
    return [ClassPart(wnid, wnid) for wnid in wnids]


LABELS = ["crane", "monitor", "husky", "dog", "248", "x"]


def test_a_class_goes_by_wnid_index_and_names() -> None:
    found = label_matcher(parts([HUSKY]), {})
    for label in (HUSKY, "248", "Eskimo dog", "eskimo_dog", "HUSKY", "Eskimo dog, husky"):
        assert found[normalized_label(label)] == HUSKY
    assert normalized_label("249") not in found


@pytest.mark.parametrize("wnids", [[CRANE_BIRD], [CRANE_MACHINE], [CRANE_BIRD, CRANE_MACHINE]])
def test_a_label_of_two_synsets_means_none_whichever_are_requested(wnids: list[str]) -> None:
    found = label_matcher(parts(wnids), {})
    assert "crane" not in found
    assert set(wnids) == set(found.values())  # they still go by wnid and index


def test_a_name_means_the_only_one_of_its_synsets_in_ilsvrc() -> None:
    assert (
        label_matcher(parts([SCREEN]), {})["monitor"] == SCREEN
    )  # the lizard is not among the thousand
    assert "monitor" not in label_matcher(parts([LIZARD]), {})


def test_labels_in_the_params_replace_the_usual_ones() -> None:
    found = label_matcher(parts([HUSKY, CRANE_BIRD]), {HUSKY: "Sled Dog"})
    assert found["sled dog"] == HUSKY
    assert "248" not in found
    assert found["134"] == CRANE_BIRD


def test_what_the_params_say_of_one_class_no_other_goes_by() -> None:
    given = {CRANE_MACHINE: "crane", HUSKY: "Persian cat"}
    assert label_matcher(parts([CRANE_MACHINE, PERSIAN]), given) == {
        "crane": CRANE_MACHINE, "n02123394": PERSIAN, "283": PERSIAN,
    }  # fmt: skip
    assert "persian cat" not in label_matcher(parts([PERSIAN]), given)


@settings(deadline=None)
@given(st.data())
def test_a_list_does_not_depend_on_the_order_of_adding(data: st.DataObject) -> None:
    classes = data.draw(st.lists(st.sampled_from(POOL), unique=True, max_size=8))
    given = data.draw(st.dictionaries(st.sampled_from(POOL), st.sampled_from(LABELS), max_size=3))
    at_once = label_matcher(parts(classes), given)
    one_by_one: dict[str, str] = {}
    for wnid in classes:
        one_by_one |= label_matcher(parts([wnid]), given)
    assert at_once == one_by_one
