"""Takes a JPEG apart by its marker segments: what it is, and the same without its metadata.

Only the segments are read (ITU-T T.81, annex B), the compressed data stays as it is. Decoding is
for pixels.py.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_EOI, _SOS, _COM = 0xD9, 0xDA, 0xFE
_SOF = {0xC0, 0xC1, 0xC2}  # baseline, extended sequential, progressive: what every reader opens
_OTHER_SOF = {0xC3, *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)}
_STANDALONE = {0x01, *range(0xD0, 0xD8)}
_APP0, _APP1, _APP2, _APP14 = 0xE0, 0xE1, 0xE2, 0xEE
_MARKER_IN_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


class BrokenJpegError(ValueError):
    """The segments end too early or make no sense: words, for the detail of a row."""


@dataclass(frozen=True, slots=True)
class Jpeg:
    """What the segments say: size, components; the body without metadata; the EXIF block.

    `common` says whether every reader opens it: 8 bits, Huffman-coded, baseline or progressive.
    """

    width: int
    height: int
    components: int
    common: bool
    exif: bytes
    stripped: bytes


def parse(body: bytes) -> Jpeg:
    """Take a JPEG apart. Raises BrokenJpegError.

    Stripped are EXIF, XMP, comments, thumbnails and what follows the end. Kept are JFIF's header,
    ICC profiles (APP2) and Adobe's colour transform (APP14), which say how to read the pixels.
    """
    frame, exif, parts = None, b"", [b"\xff\xd8"]
    for marker, part in _segments(body):
        if marker in _SOF or marker in _OTHER_SOF:
            frame = frame or (marker, part)
        elif marker == _APP1 and part[4:10] == b"Exif\0\0":
            exif = exif or part[4:]
        if _kept(marker, part):
            parts.append(part)
    if frame is None or len(frame[1]) < 10:
        raise BrokenJpegError("no frame")
    marker, part = frame
    height, width = int.from_bytes(part[5:7], "big"), int.from_bytes(part[7:9], "big")
    common = marker in _SOF and part[4] == 8
    return Jpeg(width, height, part[9], common, exif, b"".join(parts))


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
        raise BrokenJpegError("no start marker")
    at = 2
    while True:
        start = at
        if body[at : at + 1] != b"\xff":
            raise BrokenJpegError(f"no marker at byte {at}")
        while body[at : at + 1] == b"\xff":  # fill bytes, B.1.1.2
            at += 1
        if at >= len(body):
            raise BrokenJpegError("no end marker")
        marker = body[at]
        at += 1
        if marker == _EOI:
            yield marker, b"\xff\xd9"
            return
        if marker in _STANDALONE:
            continue
        length = int.from_bytes(body[at : at + 2], "big")
        if length < 2 or at + length > len(body):
            raise BrokenJpegError(f"cut off at byte {start}")
        end = at + length
        if marker == _SOS:
            found = _MARKER_IN_SCAN.search(body, end)
            if found is None:
                raise BrokenJpegError("no end marker")
            end = found.start()
        yield marker, b"\xff" + body[at - 1 : end]
        at = end
