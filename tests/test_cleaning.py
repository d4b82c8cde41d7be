"""Clean: what of the sample is dropped and why; normal form; decisions over several classes."""

import contextlib
import io
import random
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageOps

from allrounder.clean import cleaning, close_hashes, close_memory, jpeg, neighbours, search
from allrounder.clean.alignment import THUMB, Floats
from allrounder.clean.cleaning import check_decoders
from allrounder.clean.close_hashes import Hashes, close_pairs
from allrounder.clean.close_memory import CloseMemory
from allrounder.clean.columns import Origin
from allrounder.clean.curate import SAME, components
from allrounder.clean.decode import normalize
from allrounder.clean.fingerprints import Fingerprint, fingerprint
from allrounder.clean.jpeg import BrokenJpegError, parse
from allrounder.clean.neighbours import Pictures, near_pairs
from allrounder.clean.search import FingerprintColumns
from allrounder.core.photos import Bounds, judge
from allrounder.core.rows import CleanRow, RawRow, Status
from allrounder.core.tables import read_csv
from allrounder.core.urls import flickr_photo_id
from allrounder.core.workers import worker_pool
from allrounder.params.schema import Clean
from curating import Item, curate
from draw import FAULTS, GOOD_KINDS
from hostile import encoded, picture

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "data" / "sample"
RULES = Clean()

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
def results(pulled_once: Path) -> dict[str, Status]:
    """The result of each picture of the sample, by image id, from a build."""
    found: dict[str, Status] = {}
    for path in sorted((pulled_once / "data/raw").glob("*.csv")):
        found |= {row.image_id: row.status for row in read_csv(path, RawRow)}
        clean = pulled_once / "data/clean" / path.name
        found |= {row.image_id: row.status for row in read_csv(clean, CleanRow)}
    return found


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_of_the_sample_has_its_reason(results: dict[str, Status], name: str) -> None:
    kind = FAULTS[name]
    expected = {Status.KEPT} if kind in GOOD_KINDS else EXPECTED[kind]
    assert results[Path(name).stem] in expected


def test_nothing_else_of_the_sample_is_dropped(results: dict[str, Status]) -> None:
    faulty = {Path(name).stem for name in FAULTS}
    fine = {Status.KEPT, Status.SURPLUS, Status.UNUSED}
    assert {name: s for name, s in results.items() if name not in faulty and s not in fine} == {}
    assert len(results) == 260


def test_every_drawn_file_is_what_the_script_draws(tmp_path: Path) -> None:
    script = ROOT / "sample" / "draw.py"
    subprocess.run([sys.executable, script, "--out", tmp_path], check=True, capture_output=True)
    drawn = {p.relative_to(tmp_path): p.read_bytes() for p in tmp_path.glob("*/*")}
    assert drawn == {p.relative_to(SAMPLE): p.read_bytes() for p in SAMPLE.glob("*/*")}


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_plain_jpeg_keeps_its_data_and_loses_its_metadata(progressive: bool, mode: str) -> None:
    image = picture(1).convert(mode)
    exif = image.getexif()
    exif[0x010E] = "secret words"
    plain = encoded(image, "JPEG", progressive=progressive)
    full = encoded(image, "JPEG", progressive=progressive, exif=exif, comment=b"secret comment")
    assert b"secret" in full
    photo = normalize(full + b"secret trailer", RULES)
    assert photo.status is Status.OK
    assert b"secret" not in photo.body
    assert photo.body == plain
    assert Image.open(io.BytesIO(photo.body)).tobytes() == Image.open(io.BytesIO(full)).tobytes()


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF", "BMP"])
def test_other_formats_become_jpeg(kind: str) -> None:
    photo = normalize(encoded(picture(2), kind), RULES)
    with Image.open(io.BytesIO(photo.body)) as image:
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (120, 90))


def test_sixteen_bits_of_grey_become_eight() -> None:
    ramp = np.tile(np.arange(0, 65536, 512, dtype=np.uint16), (90, 1))
    photo = normalize(encoded(Image.fromarray(ramp), "PNG"), RULES)
    with Image.open(io.BytesIO(photo.body)) as image:
        grey = np.asarray(image.convert("L"))
    assert grey.min() < 8
    assert grey.max() > 245


def test_transparency_lies_on_white_and_sideways_is_turned() -> None:
    clear = Image.new("RGBA", (64, 64), (200, 0, 0, 0))
    photo = normalize(encoded(clear, "PNG"), RULES)
    assert Image.open(io.BytesIO(photo.body)).getpixel((30, 30)) == (255, 255, 255)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = normalize(encoded(picture(3), "JPEG", exif=exif), RULES)
    assert (turned.width, turned.height) == (90, 120)
    assert b"Exif" not in turned.body


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0"])
def test_a_cmyk_jpeg_becomes_rgb(subsampling: str) -> None:
    body = encoded(picture(4).convert("CMYK"), "JPEG", subsampling=subsampling)
    assert Image.open(io.BytesIO(normalize(body, RULES).body)).mode == "RGB"


@settings(max_examples=60, deadline=None)
@given(cut=st.floats(0.01, 0.99))
def test_a_cut_jpeg_is_corrupt(cut: float) -> None:
    body = encoded(picture(5), "JPEG")
    photo = normalize(body[: int(len(body) * cut)], RULES)
    assert photo.status is Status.CORRUPT
    assert photo.detail


def test_the_detail_of_a_broken_photo_holds_no_address() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # on its side, so that Pillow has to open it
    body = encoded(picture(1), "JPEG", exif=exif)
    short_table = b"\xff\xdb\x00\x05\x00\x01\x02"
    body = body[:2] + short_table + body[2:]
    assert judge(body, Bounds(10**6, 32, 10**6)).status is Status.OK  # so it comes to clean
    photo = normalize(body, Clean())
    assert (photo.status, photo.detail) == (Status.CORRUPT, "cannot identify image file")


@pytest.mark.parametrize("fill", [b"", b"\xff\xff"])
def test_a_segment_that_is_cut_off_is_named_by_its_first_fill_byte(fill: bytes) -> None:
    comment = b"\xff\xfe\x00\x04ab"
    with pytest.raises(BrokenJpegError, match=r"^cut off at byte 8$"):
        parse(b"\xff\xd8" + comment + fill + b"\xff\xfe\x00\x50ab")


def test_a_jpeg_of_a_million_scans_is_refused_at_once() -> None:
    scan = b"\xff\xda\x00\x03\x01ab"
    with pytest.raises(BrokenJpegError, match="more than 10000 segments"):
        parse(b"\xff\xd8" + scan * 1_000_000 + b"\xff\xd9")


@settings(max_examples=100, deadline=None)
@given(
    before=st.binary(max_size=20),
    scan=st.lists(st.sampled_from([b"\0", b"\xff", b"\xd3", b"\xd9", b"a"]), max_size=30),
    piece=st.integers(2, 40),
)
def test_a_scan_ends_at_the_first_marker(before: bytes, scan: list[bytes], piece: int) -> None:
    body = before + b"".join(scan)
    found = re.search(rb"\xff[^\x00\xd0-\xd7\xff]", body[len(before) :])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jpeg, "_PIECE", piece)
        try:
            end = jpeg._scan_end(body, len(before)) - len(before)
        except BrokenJpegError:
            assert found is None
        else:
            assert found
            assert end == found.start()


@settings(max_examples=100, deadline=None)
@given(body=st.binary(max_size=300), head=st.sampled_from([b"", b"\xff\xd8", b"\xff\xd8\xff\xe0"]))
def test_stripping_any_bytes_gives_bytes_or_its_error(body: bytes, head: bytes) -> None:
    with contextlib.suppress(BrokenJpegError):
        assert parse(head + body).lean(head + body, with_profile=True)[0][:2] == b"\xff\xd8"


Indices = np.ndarray[tuple[int], np.dtype[np.int64]]
Urls = Sequence[str | tuple[str, str]]


def item(
    wnid: str, number: int, look: Fingerprint, pixels: int = 100, sha: str = "", urls: Urls = ()
) -> Item:
    origins = [Origin(*one) if isinstance(one, tuple) else Origin(one) for one in urls]
    own = origins or [Origin(f"photos/{wnid}/{number}")]
    return Item(
        wnid, f"{wnid}_{number}", sha or f"{wnid}{number:060d}", pixels, own, fingerprint=look
    )


@cache
def look_of(seed: int) -> Fingerprint:
    rng = np.random.default_rng(seed)
    thumb = rng.integers(0, 255, (THUMB, THUMB), dtype=np.uint8)
    return replace(fingerprint(Image.fromarray(thumb)), flat=0.1)


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
    items = [item("a", 1, one), item("a", 2, replace(two, horizontal=one.horizontal))]
    assert statuses(items) == [Status.KEPT, Status.KEPT]


FLAT = replace(look_of(6), flat=0.9)
PAGES = [f"http://farm{n}.shop.example/{n}.jpg" for n in range(9)]


def led(count: int) -> list[tuple[str, str]]:
    return [(url, "https://gone.example/gone.png") for url in PAGES[:count]]


@pytest.mark.parametrize(
    ("flat", "urls", "detail"),
    [
        (True, PAGES[:5], "behind 5 URLs of shop.example in 1 classes"),
        (False, PAGES[:5], "behind 5 URLs of shop.example in 1 classes"),
        (True, led(3), "3 URLs in 1 classes lead to gone.example/gone.png"),
        (False, led(5), "5 URLs in 1 classes lead to gone.example/gone.png"),
        (True, [f"photos/{n}.jpg" for n in range(5)], "behind 5 URLs in 1 classes"),
        # a product on pages of a shop, the same file of mirrors, copies in a dataset
        (True, PAGES[:3], ""),
        (True, [f"http://h{n}.example/a.jpg" for n in range(9)], ""),
        (True, [(f"http://h{n}.example/a.jpg", "http://h.example/b/a.jpg") for n in range(9)], ""),
        (False, led(3), ""),
        (False, [f"photos/{n}.jpg" for n in range(9)], ""),
        (False, [f"http://h.example/a.tar#{n}.jpg" for n in range(9)], ""),
    ],
)
def test_the_urls_of_a_picture_tell_whether_it_is_a_notice(
    flat: bool, urls: Urls, detail: str
) -> None:
    look = FLAT if flat else replace(FLAT, flat=0.1)
    (judged,) = curate([item("a", 1, look, urls=urls)], 10, RULES)
    assert (judged.status, judged.detail) == (
        Status.PLACEHOLDER if detail else Status.KEPT, detail,
    )  # fmt: skip


def test_a_flat_picture_of_one_site_in_two_classes_is_a_notice_of_two_sites_a_copy() -> None:
    one, two = [["http://h.example/1"], ["http://h.example/2"]], [["http://i.example/1"]]
    assert statuses([item(c, 1, FLAT, urls=u) for c, u in zip("ab", one, strict=True)]) == [
        *(Status.PLACEHOLDER, Status.PLACEHOLDER)
    ]
    product = replace(FLAT, flat=0.8)
    items = [item(c, 1, product, urls=u) for c, u in zip("ab", one, strict=True)]
    assert statuses(items) == [Status.CROSS_CLASS] * 2
    assert statuses(items, cross_class="first") == [Status.KEPT, Status.CROSS_CLASS]
    items.append(item("c", 1, product, urls=["http://h.example/3"]))
    assert statuses(items) == [Status.PLACEHOLDER] * 3
    for urls in (two[0], one[0]):  # another site; the same photo in two classes
        items = [item("a", 1, FLAT, urls=one[0]), item("b", 1, FLAT, urls=urls)]
        assert statuses(items) == [Status.CROSS_CLASS] * 2
    assert statuses([item("a", n, FLAT, urls=PAGES[n : n + 1]) for n in range(3)]) == [
        *(Status.KEPT, Status.NEAR_DUPLICATE, Status.NEAR_DUPLICATE)
    ]


def test_the_same_bytes_after_conversion_are_an_exact_duplicate() -> None:
    blank = [fingerprint(Image.new("L", (64, 64), value)) for value in (0, 255)]
    items = [item("a", n, look, sha="x") for n, look in enumerate(blank)]
    assert statuses(items) == [Status.KEPT, Status.EXACT_DUPLICATE]


@settings(deadline=None)
@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=12), st.integers(1, 12))
def test_of_a_subtree_each_synset_keeps_the_same_number(synsets: list[str], per_class: int) -> None:
    items = [
        replace(item("n1+", number, look_of(number)), synset=synset)
        for number, synset in enumerate(synsets)
    ]
    kept = Counter(one.synset for one in curate(items, per_class, Clean()) if one.status == "kept")
    assert kept.total() == min(per_class, len(items))
    for synset, count in Counter(synsets).items():
        assert kept[synset] == count or max(kept.values()) - kept[synset] <= 1


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


def hashes_of(seed: int, count: int) -> Hashes:
    """Some hashes around four others."""
    rng = np.random.default_rng(seed)
    picked = rng.choice(rng.integers(0, 2**63, 4, dtype=np.uint64), count)
    flips = [sum({1 << int(b) for b in rng.integers(0, 64, n % 14)}) for n in range(count)]
    return np.asarray(picked ^ np.array(flips, dtype=np.uint64), dtype=np.uint64)


@settings(deadline=None, max_examples=20)
@given(
    seed=st.integers(0, 99),
    count=st.integers(0, 60),
    radius=st.integers(0, 11),
    bands=st.sampled_from([None, 2, 3]),
)
def test_close_pairs_are_those_of_a_plain_comparison(
    seed: int, count: int, radius: int, bands: int | None
) -> None:
    hashes = hashes_of(seed, count)
    with pytest.MonkeyPatch.context() as patch:
        if bands:
            patch.setattr(close_hashes, "_BRUTE_FORCE", 0)
            patch.setattr(close_hashes, "_FOUR_BANDS", 0 if bands == 3 else 2**19)
        found = {tuple(pair) for pair in close_pairs(hashes, hashes, radius).tolist()}
        pairs = close_pairs(hashes, None, radius).tolist()
        once = {tuple(pair) for pair in pairs}
    plain = {
        (i, j)
        for i in range(count)
        for j in range(count)
        if (int(hashes[i]) ^ int(hashes[j])).bit_count() <= radius
    }
    assert found == plain
    assert once == {(i, j) for i, j in plain if i <= j}
    assert pairs == sorted(map(list, once))


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 99), count=st.integers(1, 60), upper=st.booleans())
def test_an_index_finds_the_pairs_that_agree_in_a_band(seed: int, count: int, upper: bool) -> None:
    side = (hashes_of(seed, count), hashes_of(seed + 1, count))
    right = None if upper else (side[0] ^ np.uint64(64), side[1])
    found = []
    with pytest.MonkeyPatch.context() as patch:
        for few, batch in ((count, 2**18), (count, 64), (0, 2**18)):
            patch.setattr(close_hashes, "_BRUTE_FORCE", few)
            patch.setattr(close_hashes, "BATCH", batch)
            bands = close_hashes.DIAGONAL
            numbers = close_hashes.close_pair_numbers(side, right, (12, 20), bands)
            found.append(sorted(int(number) for batch in numbers for number in batch))
    assert found[0] == found[1] == found[2]
    xor = [(a ^ b[:, None]).T for a, b in zip(side, right or side, strict=True)]
    first, both = np.bitwise_count(xor[0]), np.bitwise_count(xor).sum(axis=0)
    agree = np.any([band.agree(*xor) for band in bands], axis=0)
    close = (first <= 12) & (both <= 20) & agree
    assert found[0] == np.flatnonzero(np.triu(close) if upper else close).tolist()


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "re-encoded": lambda im: im,
    "half": lambda im: im.resize((im.width // 2, im.height // 2)),
    "cropped": lambda im: im.crop((9, 7, im.width - 9, im.height - 7)),
    "brighter": lambda im: im.point(lambda v: min(255, int(v * 1.2))),
    "watermarked": lambda im: watermarked(im),
    "off centre": lambda im: im.crop((9, 7, im.width, im.height)),
    "cropped by 5 %": lambda im: im.crop((15, 11, im.width - 15, im.height - 11)),
    "cropped on one side": lambda im: im.crop((30, 0, im.width, im.height)),
    "mirrored": ImageOps.mirror,
    "bordered": lambda im: ImageOps.expand(im, 12, "white"),
    "letterboxed": lambda im: ImageOps.expand(im, (0, 40), "black"),
    "bordered twice": lambda im: ImageOps.expand(ImageOps.expand(im, 9, "white"), (0, 40), "black"),
    "turned": lambda im: im.rotate(1.5, Image.Resampling.BICUBIC),
    "captioned": lambda im: captioned(im),
}


def captioned(image: Image.Image) -> Image.Image:
    marked = image.copy()
    marked.paste((20, 20, 20), (0, 209, 300, 225))
    marked.paste((250, 250, 250), (10, 213, 160, 221))
    return marked


def watermarked(image: Image.Image) -> Image.Image:
    marked = image.copy()
    marked.paste((250, 250, 250), (190, 190, 280, 205))
    return marked


@pytest.mark.parametrize("kind", COPIES)
def test_copies_look_alike_and_other_pictures_do_not(kind: str) -> None:
    originals = [picture(seed, (300, 225)) for seed in range(8)]
    copies = [normalize(encoded(COPIES[kind](im), "JPEG", quality=60), RULES) for im in originals]
    looks = [fingerprint(im.convert("L")) for im in originals] + [
        c.fingerprint for c in copies if c.fingerprint
    ]
    found = set(near_pairs(looks, RULES.near_radius, SAME))
    assert found == {(n, n + 8) for n in range(8)}


def test_a_pool_of_processes_measures_the_same_similarities(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(neighbours, "_ALIGNED", 3)
    monkeypatch.setattr(neighbours, "_FEW", 9)
    monkeypatch.setattr(neighbours, "_SENT", 2)
    columns = FingerprintColumns.of(
        [fingerprint(picture(n % 5, (90, 60)).convert("L")) for n in range(20)]
    )
    ones, twos = (part.ravel() for part in np.indices((20, 20)))
    views = np.tile(list(search.SEARCHES), (30, 1))[: len(ones)]
    with worker_pool(2) as pool:
        pooled = Pictures(columns, pool).similarity(ones, twos, views)
    assert pooled.tolist() == Pictures(columns).similarity(ones, twos, views).tolist()
    assert len(set(pooled.tolist())) > 3


def altered(seed: int) -> Image.Image:
    """One of four pictures, perhaps with a border, mirrored or cropped."""
    dice = random.Random(seed)
    grey = picture(dice.randrange(4), (90, 60)).convert("L")
    left, top, right, bottom = (dice.randrange(9) for _ in range(4))
    return dice.choice((
        grey,
        ImageOps.mirror(grey),
        ImageOps.expand(grey, 4 + left, 255),
        grey.crop((left, top, 90 - right, 60 - bottom)),
    ))  # fmt: skip


@settings(deadline=None, max_examples=10)
@given(seeds=st.lists(st.integers(0, 999), max_size=30))
def test_few_pictures_have_the_candidates_of_a_search_among_many(seeds: list[int]) -> None:
    found = list[set[tuple[int, ...]]]()
    for small in (30, 0):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(search, "_SMALL", small)
            found.append({*map(of_either_order, candidates_of(seeds))})
    assert found[0] == found[1]


def of_either_order(pair: tuple[int, ...]) -> tuple[int, ...]:
    """A pair of the same view with the first picture first: few and many differ in that."""
    one, two, distance, *views = pair
    places = sorted((one, two)) if views[0] == views[1] else (one, two)
    return (*places, distance, *views)


@cache
def fingerprint_of_altered(seed: int) -> Fingerprint:
    return fingerprint(altered(seed))


def candidates_of(seeds: Sequence[int], memory: CloseMemory | None = None) -> list[tuple[int, ...]]:
    """The candidates among some pictures: places, distance and views."""
    columns = FingerprintColumns.of([*map(fingerprint_of_altered, seeds)])
    parts = search.candidates(columns, np.arange(len(seeds)), (14, 24), memory)
    cells = [(one.ones, one.twos, one.distances, *one.views.T) for one in parts]
    return [pair for part in cells for pair in zip(*(each.tolist() for each in part), strict=True)]


@settings(deadline=None, max_examples=20)
@given(
    builds=st.lists(
        st.lists(st.integers(0, 60), min_size=1, max_size=20, unique=True), min_size=2, max_size=4
    ),
    most=st.sampled_from((3, 2**20)),
    room=st.sampled_from((5, 2**20)),
)
def test_candidates_do_not_depend_on_what_is_remembered(
    builds: list[list[int]], most: int, room: int
) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "_SMALL", 0)
        patch.setattr(close_memory, "_FEW", 1)  # one remembered picture is enough
        patch.setattr(search, "_SORTED", most)
        patch.setattr(search, "_REMEMBERED", room)
        memory = CloseMemory.beside(Path(folder, "store"))
        for seeds in builds:
            anew = candidates_of(seeds)
            assert candidates_of(seeds, memory) == anew
            assert candidates_of(seeds, memory) == anew  # all of them are remembered


def test_new_pictures_alone_are_searched_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "_SMALL", 0)
    memory = CloseMemory.beside(tmp_path / "store")
    *seeds, last = {fingerprint(altered(seed)).picture_id: seed for seed in range(200)}.values()
    candidates_of(seeds, memory)
    monkeypatch.setattr(search, "close_pair_numbers", None)
    assert candidates_of([*seeds, last], memory)
    memory.pairs.write_bytes(memory.pairs.read_bytes()[:-40])
    with pytest.raises(TypeError):
        candidates_of(seeds, memory)


def unread(rows: object, trimmed: bool) -> NoReturn:
    raise ZeroDivisionError(rows)


def test_similarities_are_measured_once(tmp_path: Path) -> None:
    prints = [fingerprint(altered(seed)) for seed in range(40)]
    memory, rows = CloseMemory.beside(tmp_path / "store"), np.arange(40)
    found = list[list[tuple[int, int]]]()
    for thumbs in (True, False):
        columns = FingerprintColumns.of(prints)
        if not thumbs:
            columns = replace(columns, thumbs=unread)
        pictures = Pictures(columns, None, memory)
        found.append(list(pictures.near_pairs(rows, RULES.near_radius, SAME)))
        pictures.remember()
    assert found[0] == found[1] != []
    memory.similarities.write_bytes(b"damaged")
    with pytest.raises(ZeroDivisionError):
        list(Pictures(columns, None, memory).near_pairs(rows, RULES.near_radius, SAME))


def sky(seed: int, anywhere: bool = True) -> Image.Image:
    """A smooth picture with a small aeroplane somewhere, or one of any size in the middle."""
    random = np.random.default_rng(seed)
    down, across = np.mgrid[0:1:225j, -1:1:300j]
    grey = 90 + 90 * down + random.uniform(-20, 20) * across + random.normal(0, 3, down.shape)
    image = Image.fromarray(grey.clip(0, 255).astype(np.uint8))
    (low, high), (top, bottom) = ((30, 270), (30, 195)) if anywhere else ((145, 155), (110, 115))
    x, y, turn = random.integers(low, high), random.integers(top, bottom), random.uniform(0, 6)
    size = 16 if anywhere else random.uniform(16, 30)
    draw = ImageDraw.Draw(image)
    for left, right, width in ((-1, 1, 4), (-0.3 + 0.7j, 0, 5), (-0.3 - 0.7j, 0, 5)):
        ends = (size * end * np.exp(1j * turn) + complex(x, y) for end in (left, right))
        draw.line([(end.real, end.imag) for end in ends], 40, width)
    return image


def test_a_small_thing_before_a_smooth_background_tells_pictures_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def groups(skies: Sequence[Image.Image]) -> list[list[int]]:
        none = (0,) * 11
        looks = [replace(fingerprint(image), horizontal=none, vertical=none) for image in skies]
        found = near_pairs(looks, RULES.near_radius, SAME)
        return [group for group in components(len(looks), found) if len(group) > 1]

    monkeypatch.setattr(search, "SEARCHES", ((0, 0), (2, 2), (2, 0), (2, 3)))
    assert groups([sky(seed, anywhere=False) for seed in range(50, 60)]) == []
    skies = [sky(seed) for seed in range(8)]
    copies = [
        Image.open(io.BytesIO(encoded(COPIES[kind](image), "JPEG")))
        for kind in ("re-encoded", "half", "cropped")
        for image in skies
    ]
    assert groups([*skies, *copies]) == [list(range(n, 32, 8)) for n in range(8)]


def test_smooth_pictures_that_show_nothing_are_not_alike() -> None:
    ramps = [np.tile(np.linspace(90 + n, 130, 100).astype(np.uint8), (75, 1)) for n in range(2)]
    looks = [fingerprint(Image.fromarray(ramp)) for ramp in ramps]
    assert list(near_pairs(looks, RULES.near_radius, SAME)) == []


@pytest.mark.parametrize(("bits", "found"), [(24, [(0, 1)]), (25, [])])
def test_only_pictures_with_close_second_hashes_are_compared(
    bits: int, found: list[tuple[int, int]]
) -> None:
    look = look_of(1)
    vertical = tuple(each ^ (1 << bits) - 1 for each in look.vertical)
    copy = replace(look, vertical=vertical, thumb=look.thumb[:-1] + bytes([look.thumb[-1] ^ 1]))
    assert list(near_pairs([look, copy], RULES.near_radius, SAME)) == found


def test_the_work_grows_with_the_copies_not_with_their_pairs() -> None:
    random = np.random.default_rng(8)
    plain = np.asarray(picture(8, (64, 64)).convert("L"), np.int16)
    changes = random.integers(-3, 4, (400, *plain.shape))
    looks = [
        fingerprint(Image.fromarray((plain + c).clip(0, 255).astype(np.uint8))) for c in changes
    ]
    copies = [replace(look, horizontal=(n % 3,) * 11) for n, look in enumerate(looks)]
    others = [replace(look_of(seed), horizontal=(0,) * 11) for seed in range(9, 129)]
    compared = 0
    similarity = Pictures.similarity

    def counted(self: Pictures, ones: Indices, twos: Indices, views: Indices) -> Floats:
        nonlocal compared
        compared += len(ones)
        return similarity(self, ones, twos, views)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pictures, "similarity", counted)
        assert len(list(near_pairs(copies, 8, SAME))) == 399
        assert compared == 399
        patch.setattr(search, "SEARCHES", ((2, 2),))
        twin = replace(others[0], thumb=bytes([others[0].thumb[0] ^ 1]) + others[0].thumb[1:])
        assert list(near_pairs([*others, twin], 8, SAME)) == [(0, 120)]
        assert compared < 399 + 121 * 50


def test_photos_of_one_upload_share_a_group() -> None:
    uploads = ["x", "y", "x", ""]
    items = [replace(item("a", n, look_of(n)), upload=upload) for n, upload in enumerate(uploads)]
    groups = [judged.group for judged in curate(items, 10, Clean())]
    assert groups[0] == groups[2] != ""
    assert groups[1] == groups[3] == ""


def test_an_upload_in_two_classes_is_in_two_classes_however_it_was_cropped() -> None:
    def judged(*uploads: tuple[str, str], **rules: object) -> list[tuple[Status, str]]:
        items = [
            replace(item(wnid, n, look_of(n)), upload=upload)
            for n, (wnid, upload) in enumerate(uploads)
        ]
        return [(one.status, one.detail) for one in curate(items, 10, Clean.model_validate(rules))]

    kept = (Status.KEPT, "")
    both = [(Status.CROSS_CLASS, "like b b_1"), (Status.CROSS_CLASS, "like a a_0")]
    assert judged(("a", "x"), ("b", "x"), ("b", "y"), ("b", "")) == [*both, kept, kept]
    assert judged(("a", "x"), ("b", "x"), cross_class="first") == [kept, both[1]]
    within = judged(("a", "x"), ("a", "x"), ("b", "x"))
    assert [status for status, _ in within] == [Status.CROSS_CLASS] * 3


@pytest.mark.parametrize(
    "url",
    [
        "http://farm3.static.flickr.com/2048/2185654129_5e1d7a9b33.jpg",
        "https://c1.staticflickr.com/9/8864/2185654129_56229f2bef_o.jpg",
        "https://live.staticflickr.com/65535/2185654129_aa11bb22cc_b.jpg",
        "http://static.flickr.com/2048/2185654129_5e1d7a9b33_m.jpg",
        "http://photos1.flickr.com/2185654129_5e1d7a9b33.jpg",
    ],
)
def test_a_flickr_photo_is_known_by_its_number(url: str) -> None:
    assert flickr_photo_id(url) == "flickr 2185654129"
    assert flickr_photo_id(url.replace("flickr", "flicker")) == ""
    assert flickr_photo_id(url.replace("://", "://h.example/")) == ""


def test_a_black_and_a_white_thing_in_one_pose_are_not_alike() -> None:
    def thing(grey: int) -> Fingerprint:
        image = Image.new("L", (200, 150), 255)
        image.paste(grey, (60, 40, 140, 110))
        return fingerprint(image)

    def similarity(*greys: int) -> float:
        pictures = Pictures(FingerprintColumns.of([thing(grey) for grey in greys]))
        (found,) = pictures.similarity(np.array([0]), np.array([1]), np.zeros((1, 2), np.int64))
        return float(found)

    assert similarity(30, 200) == 0
    assert similarity(30, 32) > SAME


def test_max_side_shrinks_larger_photos_only() -> None:
    rules = Clean(max_side=100)
    large, small = (
        normalize(encoded(picture(6, size), "JPEG"), rules) for size in ((400, 300), (90, 60))
    )
    assert (large.width, large.height) == (100, 75)
    assert (small.width, small.height) == (90, 60)


def test_damage_in_mid_file_is_noticed() -> None:
    rng = np.random.default_rng(0)
    noticed = 0
    for seed in range(20):
        body = bytearray(encoded(picture(seed, (400, 300)), "JPEG", quality=95))
        middle = len(body) // 2
        body[middle : middle + 200] = rng.integers(0, 256, 200, dtype=np.uint8).tobytes()
        noticed += normalize(bytes(body), RULES).status is Status.CORRUPT
    assert noticed >= 18


def test_another_decoder_than_the_pinned_one_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert check_decoders() == []
    pins = tmp_path / "decoders.txt"
    pins.write_text("numpy==1.0\npillow==1.0\npillow==2.0\nsimplejpeg==0.1\n")
    monkeypatch.setattr(cleaning, "DECODERS", pins)
    warnings = check_decoders()
    assert len(warnings) == 3
    assert "1.0 or 2.0 is pinned" in warnings[1]
