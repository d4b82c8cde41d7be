"""Parses a JPEG's marker segments: what it is, and which byte ranges are not metadata.

Source: ITU-T T.81, annex B.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

_EOI, _SOS, _COM = 0xD9, 0xDA, 0xFE
_SOF = {0xC0, 0xC1, 0xC2}  # baseline, extended sequential, progressive: what every reader opens
_OTHER_SOF = {0xC3, *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)}
_STANDALONE = {0x01, *range(0xD0, 0xD8)}
_APP0, _APP1, _APP2, _APP14 = 0xE0, 0xE1, 0xE2, 0xEE
_IN_SCAN = np.array([code in (0x00, 0xFF) or 0xD0 <= code <= 0xD7 for code in range(256)])
"""What may follow 0xFF within entropy-coded data: stuffing, fill bytes and restart markers."""
_PIECE = 2**16
_MAX_SCANS = 1_000
"""Real photos have about ten. Each costs a decoder a pass over the whole picture.

Source: libjpeg-turbo, README and `djpeg -maxscans`, on progressive files made to exhaust decoders.
"""


Stretches = tuple[tuple[int, int], ...]


class BrokenJpegError(ValueError):
    """The segments end too early or make no sense: words, for the detail of a row."""


@dataclass(frozen=True, slots=True)
class Jpeg:
    """What the segments say: size, components; what is left without metadata; the EXIF block.

    `common` says whether every reader opens it: 8 bits, Huffman-coded, baseline or progressive.
    `kept` are the stretches of the body, (first byte, one past the last), that are no metadata.
    """

    width: int
    height: int
    components: int
    common: bool
    exif: bytes
    kept: Stretches


def parse(body: bytes) -> Jpeg:
    """Take a JPEG apart. Raises BrokenJpegError.

    Left out are EXIF, XMP, comments, thumbnails and what follows the end. Kept are JFIF's header,
    ICC profiles (APP2) and Adobe's colour transform (APP14), which say how to read the pixels.
    """
    frame, exif = None, b""
    kept = [(0, 2)]
    for marker, start, end in _segments(body):
        if marker in _SOF or marker in _OTHER_SOF:
            frame = frame or (marker, body[start:end])
        elif marker == _APP1 and body[start + 4 : start + 10] == b"Exif\0\0":
            exif = exif or body[start + 4 : end]
        if _is_kept(marker, body[start : start + 16]):
            first = kept.pop()[0] if kept[-1][1] == start else start
            kept.append((first, end))
    if frame is None or len(frame[1]) < 10:
        raise BrokenJpegError("no frame")
    marker, part = frame
    height, width = int.from_bytes(part[5:7], "big"), int.from_bytes(part[7:9], "big")
    common = marker in _SOF and part[4] == 8
    return Jpeg(width, height, part[9], common, exif, tuple(kept))


def taken(body: bytes, stretches: Stretches) -> bytes:
    """Those stretches of a body in one piece."""
    if stretches == ((0, len(body)),):
        return body
    return b"".join(body[first:end] for first, end in stretches)


def _is_kept(marker: int, part: bytes) -> bool:
    if marker == _COM:
        return False
    if marker == _APP0:
        return part[4:9] == b"JFIF\0"
    if marker == _APP2:
        return part[4:16] == b"ICC_PROFILE\0"
    return not 0xE0 <= marker <= 0xEF or (marker == _APP14 and part[4:9] == b"Adobe")


def _segments(body: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield each segment after the start marker: (marker, first byte, one past the last).

    A scan comes with its entropy-coded data, fill bytes (B.1.1.2) before a marker with none.
    """
    if body[:2] != b"\xff\xd8":
        raise BrokenJpegError("no start marker")
    at, scans = 2, 0
    while True:
        start = at
        if body[at : at + 1] != b"\xff":
            raise BrokenJpegError(f"no marker at byte {at}")
        while body[at : at + 1] == b"\xff":
            at += 1
        if at >= len(body):
            raise BrokenJpegError("no end marker")
        marker = body[at]
        at += 1
        if marker == _EOI:
            yield marker, at - 2, at
            return
        if marker in _STANDALONE:
            continue
        length = int.from_bytes(body[at : at + 2], "big")
        if length < 2 or at + length > len(body):
            raise BrokenJpegError(f"cut off at byte {start}")
        end = at + length
        if marker == _SOS:
            scans += 1
            if scans > _MAX_SCANS:
                raise BrokenJpegError(f"more than {_MAX_SCANS} scans")
            end = _scan_end(body, end)
        yield marker, at - 2, end
        at = end


def _scan_end(body: bytes, start: int) -> int:
    """Where the next marker after entropy-coded data starts; with numpy twice as quick as re.

    Looked for piece by piece, so that many scans cost no more than one.
    """
    while start < len(body) - 1:
        piece = np.frombuffer(body, np.uint8, min(_PIECE, len(body) - start), start)
        at = np.flatnonzero(piece[:-1] == 0xFF)
        ends = at[~_IN_SCAN[piece[at + 1]]]
        if len(ends):
            return start + int(ends[0])
        start += len(piece) - 1
    raise BrokenJpegError("no end marker")
