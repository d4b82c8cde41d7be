"""Clean: photos whose metadata is damaged, hostile or secret; costly ones; dead workers."""

import faulthandler
import hashlib
import io
import json
import multiprocessing
import os
import random
import shutil
import signal
import struct
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import hostile
from allrounder.clean import alone, colour, decode
from allrounder.clean.alone import decode_alone
from allrounder.clean.cleaning import clean
from allrounder.clean.decode import normalize
from allrounder.core.errors import DataError
from allrounder.core.photos import Bounds, ends_whole, judge
from allrounder.core.rows import CleanRow, RawRow, Status
from allrounder.core.tables import read_csv, write_csv
from allrounder.core.tars import StoredBytes, TarWriter
from allrounder.params.schema import Clean, Params
from hostile import SECRET, encoded, picture

RULES, BOUNDS = Clean(), Bounds(10**7, 32, 10**8)
DAMAGED = dict(hostile.damaged_outside_pixels())
SECRETS = dict(hostile.with_secrets())


def opened(body: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(body))
    image.load()
    return image


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_outside_the_pixels_costs_no_photo(name: str) -> None:
    body = DAMAGED[name]
    assert judge(body, BOUNDS).status is Status.OK
    photo = normalize(body, RULES)
    assert (photo.status, photo.detail, photo.width) == (Status.OK, "", 120)
    apart = np.asarray(opened(photo.body), int) - np.asarray(picture(1), int)
    assert abs(apart).mean() < 6


def test_the_orientation_is_read_from_a_damaged_block() -> None:
    odd = [(0x11A, 10, 1, struct.pack(">L", 2**31)), (0x128, 2, 2, b"2\0")]
    block = hostile.exif(hostile.TURNED, *odd)
    jpeg = hostile.inserted(encoded(picture(1), "JPEG"), 0xDB, hostile.segment(0xE1, block))
    png = hostile.with_chunk(encoded(picture(1), "PNG"), hostile.chunk(b"eXIf", block[6:]))
    webp = encoded(picture(1), "WEBP", exif=block)
    for body in (jpeg, png, webp):
        assert (normalize(body, RULES).width, normalize(body, RULES).height) == (90, 120)


@pytest.mark.parametrize("name", SECRETS)
def test_nothing_but_the_pixels_comes_through(name: str) -> None:
    body = SECRETS[name]
    assert SECRET[:8] in body
    for rules in (RULES, Clean(max_side=100)):
        photo = normalize(body, rules)
        if photo.status is Status.OK:
            assert SECRET[:8] not in photo.body
            assert len(photo.body) < 8_000
            assert "comment" not in opened(photo.body).info
        else:
            assert name == "8000 before the end.jpg"


@pytest.mark.skipif(not shutil.which("exiftool"), reason="needs exiftool")
def test_exiftool_finds_no_metadata(tmp_path: Path) -> None:
    for number, body in enumerate([*SECRETS.values(), *DAMAGED.values()]):
        photo = normalize(body, RULES)
        if photo.status is Status.OK:
            (tmp_path / f"{number}.jpg").write_bytes(photo.body)
    groups = ("-x", "File:System:all", "-x", "ExifTool:ExifToolVersion", "-x", "ICC_Profile:all")
    done = subprocess.run(
        ["exiftool", "-json", "-G0", "-u", *groups, tmp_path], capture_output=True, check=True
    )
    allowed = ("File:", "Composite:", "JFIF:", "APP14:", "SourceFile")
    files = json.loads(done.stdout)
    assert len(files) > len(SECRETS)
    for found in files:
        assert not [tag for tag in found if not tag.startswith(allowed) or "Comment" in tag]
        assert not [tag for tag in found if "Thumb" in tag or tag == "ExifTool:Warning"]


@pytest.mark.parametrize("cut", [hostile.JFIF, hostile.ADOBE])
def test_each_kept_photo_is_one_that_pillow_opens(cut: bytes) -> None:
    plain = encoded(picture(1), "JPEG").replace(hostile.JFIF, b"")
    for length in range(len(cut) - 4):
        short = hostile.segment(cut[1], cut[4 : 4 + length])
        photo = normalize(hostile.inserted(plain, 0xDB, short), RULES)
        assert photo.status is Status.OK
        assert opened(photo.body).size == (120, 90)


def test_headers_are_rewritten_with_their_exact_length() -> None:
    plain = encoded(picture(1), "JPEG")
    thumbnail = plain.replace(b"\xff\xe0\0\x10", b"\xff\xe0\0\x13", 1)
    thumbnail = thumbnail[:18] + b"\1\1abc" + thumbnail[20:]
    photo = normalize(thumbnail, RULES)
    assert (photo.body, photo.kept) == (plain, ())


@pytest.mark.parametrize("transform", [0, 1, 2, 3, 255])
def test_any_adobe_transform_is_read_as_decoders_read_it(transform: int) -> None:
    body = encoded(picture(1), "JPEG").replace(
        hostile.JFIF, hostile.ADOBE[:-1] + bytes([transform])
    )
    written = opened(normalize(body, RULES).body)
    assert written.tobytes() == opened(body).tobytes()


# Colours


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "RGB with a clear colour"])
def test_a_profile_is_applied_in_every_mode(mode: str) -> None:
    image = Image.new("RGB", (64, 64), (40, 200, 60))
    if mode == "P":
        image = image.quantize(8)
    elif mode == "RGBA":
        image = image.convert(mode)
    clear = {"transparency": (1, 2, 3)} if "clear" in mode else {}
    body = encoded(image, "PNG", icc_profile=hostile.swapped_profile(), **clear)
    seen = np.asarray(opened(normalize(body, RULES).body))[5, 5]
    assert np.allclose(seen, (200, 40, 60), atol=3)


def test_a_jpeg_in_another_space_is_converted_and_one_in_srgb_is_not() -> None:
    image = Image.new("RGB", (64, 64), (40, 200, 60))
    other = normalize(encoded(image, "JPEG", icc_profile=hostile.swapped_profile()), RULES)
    assert np.allclose(np.asarray(opened(other.body))[5, 5], (200, 40, 60), atol=4)
    assert "icc_profile" not in opened(other.body).info
    body = encoded(image, "JPEG", icc_profile=hostile.srgb_profile())
    assert normalize(body, RULES).body == body


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "PA", "L", "1", "CMYK", "I;16"])
def test_strips_give_what_the_whole_gives(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    image = picture(3)
    if mode == "I;16":
        image = Image.fromarray(np.arange(90 * 120, dtype=np.uint16).reshape(90, 120) * 6)
    elif mode == "P":
        image = image.quantize(50)
    elif mode == "PA":
        image = image.quantize(50).convert("PA")
    else:
        image = image.convert(mode)
    for profile in (b"", hostile.swapped_profile()):
        monkeypatch.setattr(colour, "_ROWS", 1000)
        whole = colour.to_srgb(image, profile)
        monkeypatch.setattr(colour, "_ROWS", 7)
        assert colour.to_srgb(image, profile).tobytes() == whole.tobytes()


# Formats


def test_avif_is_accepted_and_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for options in ({}, {"exif": exif}):
        body = encoded(picture(1), "AVIF", **options)
        assert judge(body, BOUNDS).suffix == "avif"
        photo = normalize(body, RULES)
        assert (photo.width, photo.height) == ((90, 120) if options else (120, 90))
        assert ends_whole(body, "avif")
        assert not ends_whole(body[:-9], "avif")


@pytest.mark.parametrize(
    ("kind", "suffix", "size"),
    [
        ("TIFF", "tif", (120, 90)),
        ("JPEG2000", "jp2", (120, 90)),
        ("HEIF", "heic", (120, 90)),
        ("MPO", "jpg", (120, 90)),
        ("ICO", "ico", (64, 48)),
    ],
)
def test_other_formats_of_photos_are_accepted(
    kind: str, suffix: str, size: tuple[int, int]
) -> None:
    body = encoded(picture(1), kind)
    result = judge(body, BOUNDS)
    assert (result.status, result.suffix) == (Status.OK, suffix)
    assert ends_whole(body, suffix)
    photo = normalize(body, RULES)
    assert (photo.status, photo.width, photo.height) == (Status.OK, *size)
    assert normalize(body[: len(body) // 2], RULES).status is Status.CORRUPT


def test_of_a_tiff_the_first_page_is_taken() -> None:
    pages = [picture(1), picture(2, (60, 60))]
    body = encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    photo = normalize(body, RULES)
    assert (photo.width, photo.height) == (120, 90)


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"%PDF-1.4", "PDF"),
        (b"8BPS\0\1", "PSD"),
        (b"II+\0\x08\0\0\0", "BigTIFF"),
        (b"P6\n1 1\n255\n\0\0\0", "PPM"),
        (b"qoif\0\0\0\1", "QOI"),
        (b"DDS |\0\0\0", "DDS"),
        (b"\x0a\5\1\x08\0\0\0\0", "PCX"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1", "camera raw"),
        (b"IIRO\x08\0\0\0", "camera raw"),
        (b"\x1f\x8b\x08\0", "gzip"),
        (b"PK\3\4\x14\0\0\0", "ZIP"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0", "MP4"),
    ],
)
def test_other_formats_are_refused_by_name(body: bytes, name: str) -> None:
    result = judge(body, BOUNDS)
    assert result.status is Status.NOT_IMAGE
    hint = ": install libjxl-tools, convert it with djxl" * (name == "JPEG XL")
    assert result.detail == f"format {name} is not accepted{hint}"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"http://h/1.jpg\nhttp://h/2.jpg\n", "a list of URLs"),
        (b"n02109961_1\thttps://h/1.jpg\r\nn02109961_2", "a list of URLs"),
        (b"See http://h/ for more", "text"),
        (b"\0\1\2\3", "unknown format"),
    ],
)
def test_a_body_of_no_format_is_named(body: bytes, words: str) -> None:
    assert judge(body, BOUNDS).detail == words


def test_tags_of_a_tiff_may_not_repeat_the_file() -> None:
    body = encoded(picture(1), "TIFF")
    first = int.from_bytes(body[4:8], "little")
    entry = struct.pack("<HHII", 700, 1, len(body) // 2, 8)
    many = body + struct.pack("<H", 60) + entry * 60 + b"\0\0\0\0"
    many = many[:4] + struct.pack("<I", len(body)) + many[8:]
    assert judge(many, BOUNDS).status is Status.NOT_IMAGE
    strips = bytearray(body)
    at = first + 2
    while struct.unpack_from("<H", strips, at)[0] != 273:
        at += 12
    struct.pack_into("<I", strips, at + 4, 10**6)
    assert judge(bytes(strips), BOUNDS).status is Status.NOT_IMAGE


def test_large_pictures_in_an_icon_and_large_jpeg_2000s_are_refused() -> None:
    icon = bytearray(encoded(picture(1), "ICO"))
    png = icon.rindex(b"IHDR") + 4
    struct.pack_into(">II", icon, png, 60_000, 60_000)
    struct.pack_into(">I", icon, png + 13, zlib.crc32(icon[png - 4 : png + 13]))
    assert judge(bytes(icon), BOUNDS).status is Status.NOT_IMAGE
    photo = normalize(bytes(icon), RULES)
    assert (photo.status, photo.detail) == (Status.CORRUPT, "icon of 3600000000 pixels")
    text = struct.pack(">I4sII", 8, b"tEXt", 9, 9)  # before the header, where that should stand
    hidden = icon[: png - 8] + text + struct.pack(">I", zlib.crc32(text[4:])) + icon[png - 8 :]
    photo = normalize(bytes(hidden), RULES)
    assert (photo.status, photo.detail) == (Status.CORRUPT, "icon of 3600000000 pixels")
    body = bytearray(encoded(picture(1), "JPEG2000"))
    at = body.index(b"ihdr") + 4
    struct.pack_into(">II", body, at, 9_000, 9_000)
    photo = normalize(bytes(body), RULES)
    assert photo.status is Status.CORRUPT
    assert photo.detail.startswith("JPEG 2000 of")


# Costs


def test_a_jpeg_of_many_large_scans_is_refused() -> None:
    body = encoded(picture(1), "JPEG", progressive=True)
    at = body.index(b"\xff\xc2") + 5
    body = body[:at] + struct.pack(">HH", 9_999, 9_999) + body[at + 4 :]
    at = body.rindex(b"\xff\xda")
    scans = body.count(b"\xff\xda")
    assert "scans" not in normalize(body, RULES).detail
    photo = normalize(body[:-2] + body[at:-2] * 20 + b"\xff\xd9", RULES)
    assert photo.status is Status.CORRUPT
    assert photo.detail == f"{scans + 20} scans of 9999x9999 pixels"


def test_a_large_run_length_encoded_bmp_is_refused() -> None:
    def bmp(side: int) -> bytes:
        rows = bytes([side % 256, 9, 0, 0]) * 64
        header = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, 2, 0, 0, 256, 0)
        return (
            b"BM" + struct.pack("<IHHI", 1080, 0, 0, 1078) + header + bytes(1024) + rows + b"\0\1"
        )

    assert "run-length" in normalize(bmp(10_000), RULES).detail
    assert normalize(bmp(64), RULES).status is Status.OK


def test_too_little_room_is_a_memory_error_before_libjpeg_sees_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(decode, "_ROOM", 2**40)
    for body in (encoded(picture(1), "PNG"), encoded(picture(1).convert("CMYK"), "JPEG")):
        with pytest.raises(MemoryError):
            normalize(body, RULES)


def test_a_picture_too_long_for_a_jpeg_is_corrupt() -> None:
    photo = normalize(encoded(Image.new("L", (65_501, 32)), "PNG"), RULES)
    assert (photo.status, "65500" in photo.detail) == (Status.CORRUPT, True)


# Workers


def raw_archive(folder: Path, key: str, bodies: list[bytes]) -> None:
    writer, rows = TarWriter(folder / f"{key}.tar"), []
    for number, body in enumerate(bodies):
        name = f"{key}_{number}"
        writer.add(f"{name}.jpg", body)
        sha256 = hashlib.sha256(body).hexdigest()
        rows.append(RawRow(name, f"http://h.example/{name}", Status.OK, sha256=sha256))
    writer.close()
    write_csv(folder / f"{key}.csv", RawRow, rows)


def cleaned(folder: Path, **classes: list[bytes]) -> dict[str, list[CleanRow]]:
    for name in ("raw", "urls", "out", "work"):
        (folder / name).mkdir()
    for key, bodies in classes.items():
        raw_archive(folder / "raw", key, bodies)
    params = Params.model_validate(
        {
            "sources": [{"kind": "folder", "location": "photos"}],
            "classes": dict.fromkeys(classes),
            "per_class": 10,
            "min_per_class": 1,
        }
    )
    clean(params, folder / "urls", folder / "raw", folder / "out", folder / "work")
    return {key: [*read_csv(folder / f"out/{key}.csv", CleanRow)] for key in classes}


def photos(*seeds: int) -> list[bytes]:
    return [encoded(picture(seed), "JPEG") for seed in seeds]


def stored(folder: Path, body: bytes) -> StoredBytes:
    (folder / "photo").write_bytes(body)
    return StoredBytes(folder / "photo", 0, len(body))


def fault_at(monkeypatch: pytest.MonkeyPatch, body: bytes, fault: Callable[[], object]) -> None:
    """Let something happen wherever this photo is decoded."""

    def decoded(one: bytes, rules: Clean) -> object:
        if one == body:
            fault()
        return normalize(one, rules)

    monkeypatch.setattr(alone, "normalize", decoded)


def crash() -> None:
    faulthandler.disable()
    os.kill(os.getpid(), signal.SIGSEGV)


def no_memory() -> None:
    raise MemoryError


forks = pytest.mark.skipif(
    multiprocessing.get_start_method() != "fork", reason="a patched function comes by fork only"
)


@forks
def test_a_photo_that_crashes_the_decoder_is_corrupt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dogs, cats = photos(1, 2, 3), photos(4, 5)
    fault_at(monkeypatch, dogs[1], crash)
    rows = cleaned(tmp_path, n02109961=dogs, n02123394=cats)
    found = [(row.status, row.detail) for part in rows.values() for row in part]
    kept = (Status.KEPT, "")
    assert found == [kept, (Status.CORRUPT, "crashed the decoder"), kept, kept, kept]


@forks
@pytest.mark.parametrize("fault", [no_memory, lambda: os.kill(os.getpid(), signal.SIGKILL)])
def test_too_little_memory_is_no_photos_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Callable[[], object]
) -> None:
    bodies = photos(1, 2)
    fault_at(monkeypatch, bodies[1], fault)
    with pytest.raises(DataError, match="n02109961_1 cannot be decoded on this machine"):
        cleaned(tmp_path, n02109961=bodies)
    assert not list((tmp_path / "out").iterdir())


@forks
@pytest.mark.parametrize("fault", [no_memory, crash])
def test_what_happens_once_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Callable[[], object]
) -> None:
    def once() -> None:
        if not (tmp_path / "once").exists():
            (tmp_path / "once").touch()
            fault()

    bodies = photos(1, 2)
    fault_at(monkeypatch, bodies[1], once)
    rows = cleaned(tmp_path, n02109961=bodies)
    assert [row.status for row in rows["n02109961"]] == [Status.KEPT] * 2


@forks
def test_a_photo_that_takes_too_long_is_corrupt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy() -> None:
        while True:
            pass

    body = photos(1)[0]
    fault_at(monkeypatch, body, busy)
    monkeypatch.setattr(alone, "_SECONDS", 0.05)
    photo = decode_alone("x", stored(tmp_path, body), RULES)
    assert photo.status is Status.CORRUPT
    assert "took the decoder more than" in photo.detail


def test_pictures_that_become_the_same_bytes_are_duplicates(tmp_path: Path) -> None:
    blank = Image.new("RGB", (128, 128), (128, 128, 128))
    almost = blank.copy()
    almost.putpixel((50, 50), (129, 128, 128))
    rows = cleaned(tmp_path, n02109961=[encoded(image, "PNG") for image in (blank, almost)])
    assert [row.status for row in rows["n02109961"]] == [Status.KEPT, Status.EXACT_DUPLICATE]


# Mutated photos


def test_a_lossless_jpeg_is_decoded_or_refused(tmp_path: Path) -> None:
    photo = decode_alone("x", stored(tmp_path, hostile.lossless(500)), RULES)
    assert photo.detail != "crashed the decoder"
    assert photo.status is Status.OK


def mutated(body: bytes, dice: random.Random) -> bytes:
    """The body with a few bytes changed, removed or added, mostly in its headers."""
    data = bytearray(body)
    for _ in range(dice.choice((1, 2, 8))):
        at = dice.randrange(dice.choice((len(data), min(len(data), 700))))
        change = dice.randrange(3)
        data[at : at + change % 2] = dice.randbytes(change + 1)
        if change == 2:
            del data[at : at + dice.choice((1, 20))]
    return bytes(data)


def fuzz() -> None:
    dice, image = random.Random(1), picture(1)
    bodies = [encoded(image, kind) for kind in ("PNG", "WEBP", "AVIF", "GIF", "BMP")]
    bodies += [encoded(image.convert(mode), "JPEG") for mode in ("RGB", "L", "CMYK")]
    bodies += [encoded(image, "JPEG", progressive=True), hostile.lossless()]
    frames = (*range(0xC1, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC))
    bodies += [bodies[5].replace(b"\xff\xc0", bytes([0xFF, frame])) for frame in frames]
    for _ in range(30):
        for body in bodies:
            photo = normalize(mutated(body, dice), Clean(max_pixels=10**6))
            if photo.status is Status.OK:
                assert opened(photo.body).size == (photo.width, photo.height)


def test_mutated_photos_end_no_process() -> None:
    process = multiprocessing.Process(target=fuzz)
    process.start()
    process.join()
    assert process.exitcode == 0
