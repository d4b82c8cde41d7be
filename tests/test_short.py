"""The sentence about classes that have fewer photos than were asked for."""

import pytest

from allrounder.core.funnel import short_sentence


@pytest.mark.parametrize(
    ("kept", "per_class", "said"),
    [
        ([300, 300], 300, ""),
        ([24, 25] * 5, 300, "245 of 3,000 photos asked for; all 10 classes are short"),
        ([20, 19, 20], 20, "59 of 60 photos asked for; 1 of 3 classes is short"),
        ([7], 20, "7 of 20 photos asked for; the class is short"),
    ],
)
def test_short_classes_are_counted_in_one_sentence(
    kept: list[int], per_class: int, said: str
) -> None:
    assert short_sentence(kept, per_class) == said
