"""Strips a JPEG of its metadata without touching its compressed data.

Only the marker segments are read (ITU-T T.81, annex B); decoding is for pixels.py.
"""

from collections.abc import Iterator

_SOI, _EOI, _SOS, _COM = 0xD8, 0xD9, 0xDA, 0xFE
_STANDALONE = {0x01, *range(0xD0, 0xD8)}
_APP0, _APP2, _APP14 = 0xE0, 0xE2, 0xEE


class NotPlainError(ValueError):
    """The segments are not as they should be; convert the picture instead."""


def stripped(body: bytes) -> bytes:
    """The same JPEG without EXIF, XMP, comments, thumbnails and what follows its end.

    Kept are JFIF's header, ICC profiles (APP2) and Adobe's colour transform (APP14), which say
    how the pixels are to be read. Raises NotPlainError.
    """
    return b"\xff\xd8" + b"".join(part for marker, part in _segments(body) if _kept(marker, part))


def _kept(marker: int, part: bytes) -> bool:
    if marker == _COM:
        return False
    if marker == _APP0:
        return part[4:9] == b"JFIF\0"
    if marker == _APP2:
        return part[4:16] == b"ICC_PROFILE\0"
    return not 0xE0 <= marker <= 0xEF or (marker == _APP14 and part[4:9] == b"Adobe")


def _segments(body: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield each segment after the start marker; a scan comes with its entropy-coded data."""
    if body[:2] != b"\xff\xd8":
        raise NotPlainError("no start marker")
    at = 2
    while True:
        start = at
        if body[at : at + 1] != b"\xff":
            raise NotPlainError(f"no marker at byte {at}")
        while body[at : at + 1] == b"\xff":  # fill bytes, B.1.1.2
            at += 1
        if at >= len(body):
            raise NotPlainError("no end marker")
        marker = body[at]
        at += 1
        if marker == _EOI:
            yield marker, b"\xff\xd9"
            return
        if marker in _STANDALONE:
            continue
        length = int.from_bytes(body[at : at + 2], "big")
        if length < 2 or at + length > len(body):
            raise NotPlainError(f"cut off at byte {start}")
        head = b"\xff" + body[at - 1 : at + length]
        at += length
        if marker == _SOS:
            data = at
            at = _scan_end(body, at)
            head += body[data:at]
        yield marker, head


def _scan_end(body: bytes, at: int) -> int:
    """Where the entropy-coded data that starts at `at` ends: at a marker that is no restart."""
    while (at := body.find(b"\xff", at)) >= 0 and at + 1 < len(body):
        if body[at + 1] != 0 and not 0xD0 <= body[at + 1] <= 0xD7 and body[at + 1] != 0xFF:
            return at
        at += 1 if body[at + 1] == 0xFF else 2
    raise NotPlainError("no end marker")
