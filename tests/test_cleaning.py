"""Clean: what of the sample is dropped and why; normal form; decisions over several classes."""

import contextlib
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from draw import FAULTS, GOOD_KINDS
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from allrounder.csvfiles import read_csv
from allrounder.curate import Item, curate
from allrounder.jpeg import NotPlainError, stripped
from allrounder.neighbours import components, near_pairs
from allrounder.params import Clean
from allrounder.photo import Bounds
from allrounder.pixels import Look, normal
from allrounder.records import CleanRow, RawRow, Status
from project import Project

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "data" / "sample"
BOUNDS = Bounds(2**30, 32, 100_000_000)

EXPECTED = {
    "placeholder": {Status.PLACEHOLDER, Status.DUPLICATE},
    "truncated": {Status.CORRUPT},
    "garbage_in_middle": {Status.CORRUPT},
    "exact_duplicate": {Status.DUPLICATE},
    "near_duplicate": {Status.NEAR_DUPLICATE},
    "cross_class": {Status.CROSS_CLASS},
    "tiny": {Status.TOO_SMALL},
    "html": {Status.NOT_IMAGE},
    "empty": {Status.EMPTY},
}


@pytest.fixture(scope="module")
def fates(origin: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Status]:
    """The fate of each picture of the sample, by image id, from a build."""
    clone = Project.cloned(origin, tmp_path_factory.mktemp("built") / "clone")
    clone.dvc("pull")
    found: dict[str, Status] = {}
    for path in sorted((clone.folder / "data/raw").glob("*.csv")):
        found |= {row.image_id: row.status for row in read_csv(path, RawRow)}
        clean = clone.folder / "data/clean" / path.name
        found |= {row.image_id: row.status for row in read_csv(clean, CleanRow)}
    return found


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_of_the_sample_has_its_reason(fates: dict[str, Status], name: str) -> None:
    kind = FAULTS[name]
    expected = {Status.KEPT} if kind in GOOD_KINDS else EXPECTED[kind]
    assert fates[Path(name).stem] in expected


def test_nothing_else_of_the_sample_is_dropped(fates: dict[str, Status]) -> None:
    faulty = {Path(name).stem for name in FAULTS}
    fine = {Status.KEPT, Status.SURPLUS, Status.UNUSED}
    assert {name: s for name, s in fates.items() if name not in faulty and s not in fine} == {}
    assert len(fates) == 260


def test_every_drawn_file_is_what_the_script_draws(tmp_path: Path) -> None:
    script = ROOT / "tests" / "sample" / "draw.py"
    subprocess.run([sys.executable, script, "--out", tmp_path], check=True, capture_output=True)
    drawn = {p.relative_to(tmp_path): p.read_bytes() for p in tmp_path.glob("*/*")}
    assert drawn == {p.relative_to(SAMPLE): p.read_bytes() for p in SAMPLE.glob("*/*")}


def picture(seed: int, size: tuple[int, int] = (120, 90)) -> Image.Image:
    """A smooth random picture."""
    cells = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(cells).resize(size, Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_plain_jpeg_keeps_its_data_and_loses_its_metadata(progressive: bool, mode: str) -> None:
    image = picture(1).convert(mode)
    exif = image.getexif()
    exif[0x010E] = "secret words"
    plain = encoded(image, "JPEG", progressive=progressive)
    full = encoded(image, "JPEG", progressive=progressive, exif=exif, comment=b"secret comment")
    assert b"secret" in full
    photo = normal(full + b"secret trailer", BOUNDS, 90)
    assert photo.status is Status.OK
    assert b"secret" not in photo.body
    assert photo.body == stripped(plain)
    assert Image.open(io.BytesIO(photo.body)).tobytes() == Image.open(io.BytesIO(full)).tobytes()


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF", "BMP"])
def test_other_formats_become_jpeg(kind: str) -> None:
    photo = normal(encoded(picture(2), kind), BOUNDS, 90)
    with Image.open(io.BytesIO(photo.body)) as image:
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (120, 90))


def test_transparency_lies_on_white_and_sideways_is_turned() -> None:
    clear = Image.new("RGBA", (64, 64), (200, 0, 0, 0))
    photo = normal(encoded(clear, "PNG"), BOUNDS, 90)
    assert Image.open(io.BytesIO(photo.body)).getpixel((30, 30)) == (255, 255, 255)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = normal(encoded(picture(3), "JPEG", exif=exif), BOUNDS, 90)
    assert (turned.width, turned.height) == (90, 120)
    assert b"Exif" not in turned.body


def test_a_cmyk_jpeg_becomes_rgb() -> None:
    photo = normal(encoded(picture(4).convert("CMYK"), "JPEG"), BOUNDS, 90)
    assert Image.open(io.BytesIO(photo.body)).mode == "RGB"


@settings(max_examples=60, deadline=None)
@given(cut=st.floats(0.01, 0.99))
def test_a_cut_jpeg_is_corrupt(cut: float) -> None:
    body = encoded(picture(5), "JPEG")
    photo = normal(body[: int(len(body) * cut)], BOUNDS, 90)
    assert photo.status is Status.CORRUPT
    assert photo.detail


@settings(max_examples=100, deadline=None)
@given(body=st.binary(max_size=300), head=st.sampled_from([b"", b"\xff\xd8", b"\xff\xd8\xff\xe0"]))
def test_stripping_any_bytes_gives_bytes_or_its_error(body: bytes, head: bytes) -> None:
    with contextlib.suppress(NotPlainError):
        assert stripped(head + body)[:2] == b"\xff\xd8"


def item(
    wnid: str, number: int, look: Look, pixels: int = 100, sha: str = "", urls: int = 1
) -> Item:
    return Item(wnid, f"{wnid}_{number}", sha or f"{wnid}{number:060d}", pixels, urls, look)


def look_of(seed: int) -> Look:
    rng = np.random.default_rng(seed)
    thumb = rng.integers(0, 255, 256, dtype=np.uint8).tobytes()
    return Look(int(rng.integers(0, 2**63)), thumb, 0.1)


def statuses(items: list[Item], per_class: int = 10, **rules: object) -> list[Status]:
    judged = curate(items, per_class, Clean.model_validate(rules))
    return [item.status for item in judged]


def test_of_near_duplicates_the_largest_then_the_earliest_is_kept() -> None:
    same = look_of(1)
    items = [item("a", 1, same, 50), item("a", 2, same, 99), item("a", 3, same, 99)]
    assert statuses(items) == [Status.NEAR_DUPLICATE, Status.KEPT, Status.NEAR_DUPLICATE]
    twins = [item("a", 1, same, sha="x"), item("a", 2, same, sha="x")]
    assert statuses(twins) == [Status.KEPT, Status.EXACT_DUPLICATE]


def test_a_picture_in_two_classes_is_dropped_or_stays_with_the_first() -> None:
    same = look_of(2)
    items = [item("a", 1, same), item("b", 1, same), item("b", 2, look_of(3))]
    assert statuses(items) == [Status.CROSS_CLASS, Status.CROSS_CLASS, Status.KEPT]
    kept = [Status.KEPT, Status.CROSS_CLASS, Status.KEPT]
    assert statuses(items, cross_class="first") == kept


def test_hashes_alone_do_not_make_a_duplicate() -> None:
    one, two = look_of(4), look_of(5)
    items = [item("a", 1, one), item("a", 2, Look(one.hash, two.thumb, 0.1))]
    assert statuses(items) == [Status.KEPT, Status.KEPT]


def test_a_flat_picture_behind_many_urls_is_a_placeholder() -> None:
    flat = Look(7, look_of(6).thumb, 0.9)
    assert statuses([item("a", 1, flat), item("b", 1, flat)]) == [Status.PLACEHOLDER] * 2
    assert statuses([item("a", 1, flat, urls=3)]) == [Status.PLACEHOLDER]
    assert statuses([item("a", 1, flat)]) == [Status.KEPT]


def test_what_is_beyond_per_class_is_surplus() -> None:
    items = [item("a", n, look_of(n)) for n in range(4)]
    assert statuses(items, per_class=2) == [Status.KEPT] * 2 + [Status.SURPLUS] * 2


@settings(deadline=None)
@given(
    nodes=st.integers(1, 30),
    pairs=st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=40),
)
def test_components_part_all_nodes(nodes: int, pairs: list[tuple[int, int]]) -> None:
    inside = [(min(p), max(p)) for p in pairs if max(p) < nodes and p[0] != p[1]]
    parts = components(nodes, iter(inside))
    assert sorted(node for part in parts for node in part) == list(range(nodes))
    where = {node: index for index, part in enumerate(parts) for node in part}
    assert all(where[i] == where[j] for i, j in inside)


@settings(deadline=None, max_examples=30)
@given(hashes=st.lists(st.integers(0, 2**64 - 1), max_size=40), radius=st.integers(0, 20))
def test_near_pairs_are_those_of_a_plain_comparison(hashes: list[int], radius: int) -> None:
    thumb = bytes(range(256))
    found = set(near_pairs([Look(h, thumb, 0.1) for h in hashes], radius, 0.9))
    plain = {
        (i, j)
        for j in range(len(hashes))
        for i in range(j)
        if (hashes[i] ^ hashes[j]).bit_count() <= radius
    }
    assert found == plain
