"""Flags for a look, on pictures made in code."""

import io

import numpy as np
import pytest
from PIL import Image, ImageFilter

from allrounder.clean.decode import normalize
from allrounder.clean.flags import flag_sizes
from allrounder.core.rows import CleanRow, Status
from allrounder.params.schema import Clean


def scene(low: int = 0, high: int = 255) -> Image.Image:
    """A picture with edges and blocks of all sizes, between two grey levels."""
    rng, side = np.random.default_rng(1), 384
    layers = [
        np.kron(rng.random((cells, cells)), np.ones((side // cells, side // cells)))
        for cells in (3, 12, 48, 96)
    ]
    pixels = low + np.mean(layers, axis=0) * (high - low)
    return Image.fromarray(pixels.astype(np.uint8))


def flags(image: Image.Image) -> frozenset[str]:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=90)
    photo = normalize(out.getvalue(), Clean())
    assert photo.fingerprint
    return photo.flags


@pytest.mark.parametrize(
    ("image", "found"),
    [
        (scene(), set()),
        (scene().filter(ImageFilter.GaussianBlur(12)), {"blurred"}),
        (scene().resize((3000, 2000), Image.Resampling.BICUBIC), set()),  # sharp when reduced
        (scene(0, 30), {"nearly_black"}),
        (scene(225, 255), {"nearly_white"}),
        (scene(0, 120), set()),
        (Image.new("L", (300, 200), 128), {"blurred"}),
    ],
)
def test_a_photo_is_flagged_by_its_looks(image: Image.Image, found: set[str]) -> None:
    assert flags(image) == found


def test_a_photo_is_flagged_by_its_size_in_its_class() -> None:
    sizes = [(400, 300)] * 5 + [(90, 60), (900, 300), (100, 75), (None, None)]
    rows = [CleanRow(str(at), Status.KEPT, "", *size, file="f") for at, size in enumerate(sizes)]
    rows = flag_sizes(rows)
    assert [row.image_id for row in rows if row.tiny_for_class] == ["5"]
    assert [row.image_id for row in rows if row.extreme_aspect] == ["6"]
    assert flag_sizes([]) == []
