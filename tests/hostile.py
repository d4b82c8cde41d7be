"""Photos with metadata, damage outside the pixels, and payloads, built in code."""

import io
import resource
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image, ImageCms

SECRET = b"SECRETMARK"


def picture(seed: int, size: tuple[int, int] = (120, 90)) -> Image.Image:
    """A smooth random picture."""
    cells = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(cells).resize(size, Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """The picture as a file's bytes."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def segment(marker: int, payload: bytes) -> bytes:
    """A JPEG's segment."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(payload) + 2) + payload


def inserted(body: bytes, before: int, extra: bytes) -> bytes:
    """A JPEG with bytes before its first segment with this marker."""
    at = body.index(bytes([0xFF, before]))
    return body[:at] + extra + body[at:]


def lossless(side: int = 64) -> bytes:
    """A grey lossless JPEG (ITU-T T.81, SOF3, predictor 1): each difference is 0."""
    frame = segment(0xC3, struct.pack(">BHHB", 8, side, side, 1) + b"\1\x11\0")
    table = segment(0xC4, b"\0\1" + bytes(15) + b"\0")
    scan = segment(0xDA, b"\1\1\0\1\0\0") + bytes(side * side // 8)
    return b"\xff\xd8" + frame + table + scan + b"\xff\xd9"


def chunk(kind: bytes, data: bytes) -> bytes:
    """A PNG's chunk."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_chunk(png: bytes, extra: bytes) -> bytes:
    """A PNG with a chunk behind its header."""
    return png[:33] + extra + png[33:]


def exif(*entries: tuple[int, int, int, bytes]) -> bytes:
    """An EXIF block with these entries: tag, type, count, value or place."""
    block = b"Exif\0\0MM\0*" + struct.pack(">LH", 8, len(entries))
    for tag, kind, count, value in entries:
        block += struct.pack(">HHL", tag, kind, count) + value.ljust(4, b"\0")
    return block + bytes(4)


TURNED = (0x112, 3, 1, struct.pack(">H", 6))


def srgb_profile() -> bytes:
    """A profile of sRGB."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def swapped_profile() -> bytes:
    """A profile in which red and green are swapped: far from sRGB, and easy to check."""
    names = {b"rXYZ": b"gXYZ", b"gXYZ": b"rXYZ"}
    profile = srgb_profile()
    head, table = profile[:132], profile[132:]
    count = int.from_bytes(head[128:], "big")
    entries = [table[at : at + 12] for at in range(0, 12 * count, 12)]
    swapped = b"".join(names.get(entry[:4], entry[:4]) + entry[4:] for entry in entries)
    return head + swapped + table[12 * count :]


def icc(profile: bytes, number: int = 1, count: int = 1) -> bytes:
    """A segment with (a part of) a profile."""
    return segment(0xE2, b"ICC_PROFILE\0" + bytes([number, count]) + profile)


JFIF = b"\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"
ADOBE = segment(0xEE, b"Adobe\0\x64\0\0\0\0\1")


def damaged_outside_pixels() -> Iterator[tuple[str, bytes]]:
    """Whole photos with damage in what is not their pixels."""
    body, png = encoded(picture(1), "JPEG"), encoded(picture(1), "PNG")
    progressive = encoded(picture(1), "JPEG", progressive=True)
    blocks = {
        "garbage": b"Exif\0\0\0\0\x11\0\0\1\4\0",
        "two bytes": b"Exif\0\0MM",
        "text": b"Exif\0\0b'Exif",
        "cut": exif(TURNED)[:-14],
        "rational": exif((0x11A, 10, 1, struct.pack(">L", 2**31))),
        "cyclic": b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x69\x87\4\0\1\0\0\0\x08\0\0\0" * 9,
    }
    for name, block in blocks.items():
        yield f"EXIF {name}.jpg", inserted(body, 0xDB, segment(0xE1, block))
        yield f"EXIF {name}.png", with_chunk(png, chunk(b"eXIf", block[6:]))
        yield f"EXIF {name}.webp", encoded(picture(1), "WEBP", exif=block)
    for name, extra in {
        "ICC cut.jpg": segment(0xE2, b"ICC_PROFILE\0"),
        "ICC part.jpg": icc(srgb_profile(), 2, 3),
        "ICC garbage.jpg": icc(b"\xff" * 500),
        "JFIF 9.jpg": segment(0xE0, b"JFIF\0\x09\x09\0\0\1\0\1\0\0"),
        "JFIF cut.jpg": segment(0xE0, b"JFIF\0\1"),
        "MPF.jpg": segment(0xE2, b"MPF\0II*\0\xff\xff\xff\xff"),
        "Adobe 7.jpg": ADOBE[:-1] + b"\7",
        "Adobe cut.jpg": segment(0xEE, b"Adobe\0"),
        "Photoshop cut.jpg": segment(0xED, b"Photoshop 3.0\x008BIM\4"),
        "stray.jpg": b"\0\0\1",
        "stuffing.jpg": b"\xff\x00\xff\x00",
        "restart.jpg": b"\xff\xd3",
    }.items():
        yield name, inserted(body, 0xDB, extra)
    yield "stray before scan.jpg", inserted(body, 0xDA, b"\0" * 70)
    for name, extra in {
        "few": b"\1\2\3",
        "102": bytes(102),
        "text": b"some words of it " * 9,
    }.items():
        yield f"{name} before the end.jpg", body[:-2] + extra + b"\xff\xd9"
        yield f"{name} before the end, progressive.jpg", progressive[:-2] + extra + b"\xff\xd9"
    avif = encoded(picture(1), "AVIF", exif=exif((0x10E, 2, 4, b"abc")))
    assert b"MM\0*" in avif
    yield "EXIF.avif", avif.replace(b"MM\0*", b"XXXX")
    at = body.index(b"\xff\xda")
    yield "scan's header.jpg", body[: at + 11] + b"\0\0\0" + body[at + 14 :]
    yield "bad sum.png", with_chunk(png, chunk(b"tEXt", b"a\0b")[:-1] + b"\0")
    bomb = zlib.compress(bytes(2**26))
    for kind, head in {b"zTXt": b"a\0\0", b"iTXt": b"a\0\1\0\0\0", b"iCCP": b"a\0\0"}.items():
        yield f"{kind.decode()} bomb.png", with_chunk(png, chunk(kind, head + bomb))
        yield f"{kind.decode()} garbage.png", with_chunk(png, chunk(kind, b"\xff\0\3ab"))
    for kind in (b"pHYs", b"tIME", b"sRGB", b"gAMA", b"cHRM", b"acTL", b"fcTL"):
        yield f"{kind.decode()} cut.png", with_chunk(png, chunk(kind, b"\1"))


def with_secrets() -> Iterator[tuple[str, bytes]]:
    """Photos with SECRET in all kinds of places that are not pixels."""
    image, note = picture(2), exif((0x10E, 2, 4, b"abc"))[:-4] + SECRET
    turned = exif(TURNED)[:-4] + SECRET
    big = SECRET * 800
    body, progressive = encoded(image, "JPEG"), encoded(image, "JPEG", progressive=True)
    profile = srgb_profile()
    longer = struct.pack(">I", len(profile) + len(big)) + profile[4:] + big
    tagged = _with_tag(profile, b"SECR", big)
    known = _with_tag(profile, b"SECR", big).replace(b"SECR", b"targ", 1)
    for name, extra in {
        "comment": segment(0xFE, big),
        "EXIF": segment(0xE1, note),
        "XMP": segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x>" + SECRET),
        "JFIF thumbnail": segment(0xE0, JFIF[4:-2] + b"\x0a\1" + big[:30]),
        "JFXX": segment(0xE0, b"JFXX\0\x13\1\1" + SECRET),
        "JFIF trailer": segment(0xE0, JFIF[4:] + big),
        "Adobe trailer": ADOBE[:2] + struct.pack(">H", 14 + len(big)) + ADOBE[4:] + big,
        "IPTC": segment(0xED, b"Photoshop 3.0\x008BIM\4\4\0\0\0\0\0\x0a" + SECRET),
        "DNL": segment(0xDC, b"\0\x5a" + big),
        "JPG0": segment(0xF0, big),
        "DAC": segment(0xCC, SECRET),
        "no ICC": icc(big),
        "ICC trailer": icc(profile + big),
        "ICC longer": icc(longer),
        "ICC tag": icc(tagged),
        "ICC known tag": icc(known),
        "ICC parts": icc(profile, 1, 2) + icc(big, 2, 2),
        "MPF": segment(0xE2, b"MPF\0" + big),
        "stray": big,
        "tables": segment(0xDB, b"\0" + (SECRET * 7)[:64]) * 50,
    }.items():
        for kind, whole in {"baseline": body, "progressive": progressive}.items():
            yield f"{name} {kind}.jpg", inserted(whole, 0xDB, extra)
    for extra in (SECRET[:8], big, segment(0xFE, big), segment(0xDB, b"\0" + big[:64])):
        yield f"{len(extra)} before the end.jpg", body[:-2] + extra + b"\xff\xd9"
    yield "behind the end.jpg", body + big
    comment = {"comment": SECRET.decode()}
    yield "turned.jpg", encoded(image, "JPEG", exif=turned, **comment)
    yield "CMYK.jpg", encoded(image.convert("CMYK"), "JPEG", exif=note, **comment)
    yield "GIF.gif", encoded(image, "GIF", **comment)
    png = encoded(image, "PNG", exif=note)
    yield "behind the end.png", png + big
    for name, head in {"tEXt": b"comment\0", "iTXt": b"comment\0\0\0\0\0", "prVt": b""}.items():
        yield f"{name}.png", with_chunk(png, chunk(name.encode(), head + SECRET))
    for kind in ("WEBP", "AVIF"):
        yield f"{kind}.{kind.lower()}", encoded(image, kind, exif=note, xmp=b"<x>" + SECRET)
    yield "behind the end.bmp", encoded(image, "BMP") + big


def _with_tag(profile: bytes, name: bytes, value: bytes) -> bytes:
    """A profile with one tag more."""
    count = int.from_bytes(profile[128:132], "big")
    table = b""
    for at in range(132, 132 + 12 * count, 12):
        kind, start, size = struct.unpack(">4sII", profile[at : at + 12])
        table += struct.pack(">4sII", kind, start + 12, size)
    table += struct.pack(">4sII", name, len(profile) + 12, len(value))
    tail = struct.pack(">I", count + 1) + table + profile[132 + 12 * count :] + value
    return struct.pack(">I", 128 + len(tail)) + profile[4:128] + tail


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """A write beyond these bytes of a file is cut short, and the next one fails: a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
