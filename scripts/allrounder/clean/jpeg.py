"""Parses a JPEG's marker segments: what it is, and which byte ranges are not metadata.

Only the segments are read; the compressed data stays as it is. Source: ITU-T T.81, annex B.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

_EOI, _SOS, _COM = 0xD9, 0xDA, 0xFE
_SOF = {0xC0, 0xC1, 0xC2}  # baseline, extended sequential, progressive: every reader opens these
_OTHER_SOF = {0xC3, *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)}
_STANDALONE = {0x01, *range(0xD0, 0xD8)}
_APP0, _APP1, _APP2, _APP14 = 0xE0, 0xE1, 0xE2, 0xEE
_IN_SCAN = np.array([code in (0x00, 0xFF) or 0xD0 <= code <= 0xD7 for code in range(256)])
"""What may follow 0xFF within entropy-coded data: stuffing, fill bytes and restart markers."""
_PIECE = 2**16
_MAX_SCANS = 1_000
"""Real photos have about ten. Each scan costs a decoder a pass over the whole picture.

Source: libjpeg-turbo, README and `djpeg -maxscans`, on progressive files made to exhaust decoders.
"""

ByteRanges = tuple[tuple[int, int], ...]
"""Parts of a body: (first byte, one past the last) of each, in order."""


class BrokenJpegError(ValueError):
    """The segments end too early or are invalid. The message becomes the detail of a row."""


@dataclass(frozen=True, slots=True)
class Jpeg:
    """What the segments say.

    `common`: 8 bits, Huffman-coded, baseline or progressive, so every reader opens it.
    `exif` is the EXIF block; `kept` are the ranges of the body that are not metadata.
    """

    width: int
    height: int
    components: int
    common: bool
    exif: bytes
    kept: ByteRanges


def parse(body: bytes) -> Jpeg:
    """Parse a JPEG. Raises BrokenJpegError.

    Metadata is EXIF, XMP, comments, thumbnails and what follows the end marker. Kept are JFIF's
    header, ICC profiles (APP2) and Adobe's colour transform (APP14), which say how to read the
    pixels.
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
    marker, header = frame
    height, width = int.from_bytes(header[5:7], "big"), int.from_bytes(header[7:9], "big")
    common = marker in _SOF and header[4] == 8
    return Jpeg(width, height, header[9], common, exif, tuple(kept))


def joined(body: bytes, ranges: ByteRanges) -> bytes:
    """The given ranges of a body, in one piece."""
    if ranges == ((0, len(body)),):
        return body
    return b"".join(body[first:end] for first, end in ranges)


def _is_kept(marker: int, start: bytes) -> bool:
    """Whether a segment is not metadata, by its marker and its first bytes."""
    if marker == _COM:
        return False
    if marker == _APP0:
        return start[4:9] == b"JFIF\0"
    if marker == _APP2:
        return start[4:16] == b"ICC_PROFILE\0"
    return not 0xE0 <= marker <= 0xEF or (marker == _APP14 and start[4:9] == b"Adobe")


def _segments(body: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield each segment after the start marker: (marker, first byte, one past the last).

    A scan includes its entropy-coded data. Fill bytes before a marker (B.1.1.2) are in none.
    """
    if body[:2] != b"\xff\xd8":
        raise BrokenJpegError("no start marker")
    at, scans = 2, 0
    while True:
        before, (marker, first) = at, _marker(body, at)
        at = first + 2
        if marker == _EOI:
            yield marker, first, at
            return
        if marker in _STANDALONE:
            continue
        length = int.from_bytes(body[at : at + 2], "big")
        end = at + length
        if length < 2 or end > len(body):
            raise BrokenJpegError(f"cut off at byte {before}")
        if marker == _SOS:
            scans += 1
            if scans > _MAX_SCANS:
                raise BrokenJpegError(f"more than {_MAX_SCANS} scans")
            end = _scan_end(body, end)
        yield marker, first, end
        at = end


def _marker(body: bytes, at: int) -> tuple[int, int]:
    """The next marker and where it starts, behind its fill bytes."""
    if body[at : at + 1] != b"\xff":
        raise BrokenJpegError(f"no marker at byte {at}")
    while body[at : at + 1] == b"\xff":
        at += 1
    if at >= len(body):
        raise BrokenJpegError("no end marker")
    return body[at], at - 1


def _scan_end(body: bytes, start: int) -> int:
    """Where the next marker after entropy-coded data starts.

    numpy is twice as fast as `re`. Searching piece by piece keeps the cost independent of the
    number of scans.
    """
    while start < len(body) - 1:
        piece = np.frombuffer(body, np.uint8, min(_PIECE, len(body) - start), start)
        at = np.flatnonzero(piece[:-1] == 0xFF)
        ends = at[~_IN_SCAN[piece[at + 1]]]
        if len(ends):
            return start + int(ends[0])
        start += len(piece) - 1
    raise BrokenJpegError("no end marker")
