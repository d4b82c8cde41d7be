"""Detectors' labels as data: their order, and what ImageNet's classes are among them."""

import pytest

from allrounder.catalogue.labels import coco_labels, coco_of
from allrounder.catalogue.synsets import VOC_LABELS, all_synsets, find_synset

BY_INDEX = {s.ilsvrc_index: s.wnid for s in all_synsets().values() if s.ilsvrc_index is not None}

EXPECTED = {
    "tench": "", "cock": "bird", "kite": "bird", "Chihuahua": "dog", "timber wolf": "",
    "tabby": "cat", "lynx": "", "lion": "", "brown bear": "bear", "ice bear": "bear",
    "giant panda": "", "zebra": "zebra", "sorrel": "horse", "ox": "cow", "water buffalo": "",
    "ram": "sheep", "bighorn": "", "African elephant": "elephant", "airliner": "airplane",
    "airship": "", "ambulance": "car", "analog clock": "clock", "backpack": "backpack",
    "baseball": "sports ball", "beer bottle": "bottle", "beer glass": "", "bolo tie": "tie",
    "bullet train": "train", "cellular telephone": "cell phone", "cleaver": "knife",
    "coffee mug": "cup", "computer keyboard": "keyboard", "typewriter keyboard": "",
    "desk": "", "desktop computer": "", "digital watch": "", "dining table": "dining table",
    "Dutch oven": "", "fire engine": "truck", "folding chair": "chair", "four-poster": "bed",
    "goblet": "wine glass", "hand blower": "hair drier", "laptop": "laptop",
    "microwave": "microwave", "minivan": "car", "mixing bowl": "bowl", "monitor": "tv",
    "moped": "motorcycle", "mountain bike": "bicycle", "mouse": "mouse", "notebook": "laptop",
    "park bench": "bench", "parking meter": "parking meter", "pickup": "truck",
    "police van": "truck", "pot": "potted plant", "coffeepot": "", "punching bag": "",
    "purse": "handbag", "refrigerator": "refrigerator", "remote control": "remote",
    "school bus": "bus", "ski": "skis", "soccer ball": "sports ball", "street sign": "",
    "studio couch": "couch", "submarine": "boat", "teddy": "teddy bear", "television": "tv",
    "toaster": "toaster", "toilet seat": "toilet", "traffic light": "traffic light",
    "trailer truck": "truck", "umbrella": "umbrella", "vase": "vase", "washbasin": "sink",
    "water jug": "bottle", "Windsor tie": "tie", "wooden spoon": "spoon", "comic book": "",
    "cheeseburger": "sandwich", "hotdog": "hot dog", "pretzel": "", "broccoli": "broccoli",
    "Granny Smith": "apple", "orange": "orange", "lemon": "", "banana": "banana",
    "pizza": "pizza", "red wine": "", "scuba diver": "person", "daisy": "",
}  # fmt: skip


def test_both_lists_have_their_usual_order() -> None:
    assert len(VOC_LABELS) == 20
    assert list(VOC_LABELS) == sorted(VOC_LABELS)
    labels = coco_labels()
    assert [label.index for label in labels] == list(range(80))
    ids = [label.category_id for label in labels]
    assert ids == sorted(set(ids))
    # COCO's gaps: categories that were planned and never annotated.
    assert set(range(1, 91)) - set(ids) == {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
    known = {0: "person", 16: "dog", 39: "bottle", 56: "chair", 62: "tv", 79: "toothbrush"}
    assert {index: labels[index].label for index in known} == known
    assert labels[79].category_id == 90


def test_the_roots_exist_and_belong_to_one_label_each() -> None:
    roots = [root for label in coco_labels() for root in (*label.roots, *label.not_below)]
    assert all(find_synset(root) for root in roots)
    assert len(set(roots)) == len(roots)
    rootless = {label.label for label in coco_labels() if not label.roots}
    assert rootless == {"fire hydrant", "stop sign", "surfboard"}


def test_each_voc_label_is_one_of_cocos() -> None:
    assert sorted(label.voc for label in coco_labels() if label.voc) == list(VOC_LABELS)


def test_coco_and_voc_agree_on_every_synset() -> None:
    for synset in all_synsets().values():
        coco = coco_of(synset.wnid)
        assert (coco.voc if coco else None) == synset.voc, synset


@pytest.mark.parametrize("name", EXPECTED)
def test_ilsvrc_classes_have_the_label_that_a_person_would_give(name: str) -> None:
    classes = [find_synset(wnid) for wnid in BY_INDEX.values()]
    wnids = [synset.wnid for synset in classes if synset and synset.names[0] == name]
    assert len(wnids) == 1
    label = coco_of(wnids[0])
    assert (label.label if label else "") == EXPECTED[name]


def test_a_synset_that_is_not_there_has_no_label() -> None:
    assert coco_of("n99999999") is None
