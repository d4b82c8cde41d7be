"""Parses a JPEG's marker segments: what it is, and which of its bytes are understood.

Only the segments are read; the compressed data stays as it is. Source: ITU-T T.81, annex B.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

_EOI, _SOS, _DHT, _DQT, _DRI, _DAC = 0xD9, 0xDA, 0xC4, 0xDB, 0xDD, 0xCC
_COMMON = {0xC0, 0xC1, 0xC2}  # baseline, extended sequential, progressive: every reader opens these
_FRAMES = {*range(0xC0, 0xD0)} - {_DHT, 0xC8, _DAC}
_TABLES = {_DHT, _DQT, _DRI, _DAC}
_NEEDED = {*_FRAMES, *_TABLES, _SOS, _EOI}
_APP0, _APP1, _APP2, _APP14 = 0xE0, 0xE1, 0xE2, 0xEE
_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd9-\xfe]")
"""A marker of a segment. Other bytes between segments are skipped, as decoders do."""
_IN_SCAN = np.array([code in (0x00, 0xFF) or 0xD0 <= code <= 0xD7 for code in range(256)])
"""What may follow 0xFF within entropy-coded data: stuffing, fill bytes and restart markers."""
_PIECE = 2**16
_MAX_SEGMENTS = 10_000
"""A profile or XMP of 16 MB takes about 250 segments."""
_TABLES_MAX = 4 * (4 + 1 + 128) + 8 * (4 + 17 + 256)
"""Bytes of all the tables that one scan can use: 4 for quantization, 8 for Huffman codes."""
_TRANSFORMS = {1: (0, 1, 2), 3: (1, 0), 4: (2, 0)}
"""By number of components: Adobe's colour transforms; the first one is what decoders assume."""

ByteRanges = tuple[tuple[int, int], ...]
"""Parts of a body: (first byte, one past the last) of each, in order."""
Segment = tuple[int, int, int, bytes]
"""First byte, one past the last, marker, and what to write for it if not its own bytes."""


class BrokenJpegError(ValueError):
    """The segments end too early or are invalid. The message becomes the detail of a row."""


@dataclass(frozen=True, slots=True)
class Jpeg:
    """What the segments say.

    `common`: 8 bits, Huffman-coded, baseline or progressive, so every reader opens it.
    `exif` is the EXIF block, `profile` the ICC profile. `bloated`: there are tables that no scan
    uses. `segments` are those that a decoder needs, and the profile's.
    """

    width: int
    height: int
    components: int
    common: bool
    exif: bytes
    profile: bytes
    bloated: bool
    segments: tuple[Segment, ...]

    def lean(self, body: bytes, with_profile: bool) -> tuple[bytes, ByteRanges]:
        """The JPEG without metadata, and the ranges of the body that form it.

        There are no ranges if a header was rewritten.
        """
        taken = [one for one in self.segments if with_profile or one[2] != _APP2]
        if any(rewritten for *_, rewritten in taken):
            return body[:2] + b"".join(new or body[first:end] for first, end, _, new in taken), ()
        ranges = [(0, 2)]
        for start, end, _, _ in taken:
            first = ranges.pop()[0] if ranges[-1][1] == start else start
            ranges.append((first, end))
        if ranges == [(0, len(body))]:
            return body, tuple(ranges)
        return b"".join(body[first:end] for first, end in ranges), tuple(ranges)


def parse(body: bytes) -> Jpeg:
    """Parse a JPEG. Raises BrokenJpegError.

    It understands frames, scans and their tables, JFIF's header, Adobe's colour transform (APP14)
    and ICC profiles (APP2). All else is metadata, also what follows the last scan.
    """
    frame, scans, needed, others = b"", 0, [], []
    for start, end, marker in _segments(body):
        if marker in _NEEDED:
            needed.append((start, end, marker, b""))
            if marker == _SOS:
                scans, last = scans + 1, len(needed)
            elif marker in _FRAMES:
                frame = frame or body[start:end]
        elif not scans and _APP0 <= marker <= _APP14:
            others.append((start, end, marker))
    if len(frame) < 10 or not scans:
        raise BrokenJpegError("no scan" if len(frame) >= 10 else "no frame")
    exif, profile, headers = _others(body, others, frame[9])
    common = frame[1] in _COMMON and frame[4] == 8
    needed = [one for one in [*needed[:last], needed[-1]] if one[2] != _DAC or not common]
    return Jpeg(
        width=int.from_bytes(frame[7:9], "big"),
        height=int.from_bytes(frame[5:7], "big"),
        components=frame[9],
        common=common,
        exif=exif,
        profile=profile,
        bloated=_is_bloated(body, needed),
        segments=tuple(sorted(needed + headers)),
    )


def _is_bloated(body: bytes, segments: list[Segment]) -> bool:
    """Whether tables are replaced before a scan uses them, or larger than what a scan can use."""
    size, seen = 0, set[tuple[int, int]]()
    for start, end, marker, _ in segments:
        if marker == _SOS:
            size, seen = 0, set()
        elif marker in _TABLES:
            size += end - start
            table = marker, body[start + 4]
            if table in seen or size > _TABLES_MAX:
                return True
            seen.add(table)
    return False


def _others(
    body: bytes, segments: list[tuple[int, int, int]], components: int
) -> tuple[bytes, bytes, list[Segment]]:
    """The EXIF block, the ICC profile, and the headers to write, with the profile's segments."""
    exif, icc, headers = b"", [], {}
    for start, end, marker in segments:
        payload = body[start + 4 : end]
        if marker == _APP1 and payload.startswith(b"Exif\0\0"):
            exif = exif or payload
        elif marker == _APP2 and payload.startswith(b"ICC_PROFILE\0"):
            icc.append((payload[12:], (start, end, marker, b"")))
        elif header := _header(marker, payload, components):
            headers[marker] = start, end, marker, b"" if header == body[start:end] else header
    profile = _profile(sorted(part for part, _ in icc))
    return exif, profile, [*headers.values(), *(one for _, one in icc if profile)]


def _header(marker: int, payload: bytes, components: int) -> bytes:
    """JFIF's or Adobe's header as libjpeg understands it, without what it does not use.

    Empty for others and for too short ones, which libjpeg takes for no header at all. Sources:
    JFIF 1.02; Adobe technical note 5116, 18.
    """
    if marker == _APP0 and payload.startswith(b"JFIF\0") and len(payload) >= 14:
        version = payload[5:7] if payload[5] == 1 else b"\1\1"
        return b"\xff\xe0\0\x10JFIF\0" + version + payload[7:12] + b"\0\0"  # no thumbnail
    if marker == _APP14 and payload.startswith(b"Adobe") and len(payload) >= 12:
        known = _TRANSFORMS.get(components, (0,))
        transform = payload[11] if payload[11] in known else known[0]
        return b"\xff\xee\0\x0e" + payload[:11] + bytes([transform])
    return b""


def _profile(parts: list[bytes]) -> bytes:
    """The ICC profile from its parts in order, or nothing if one is missing (ICC.1:2022, B.4)."""
    numbers = [part[:2] for part in parts]
    if numbers != [bytes([number, len(parts)]) for number in range(1, len(parts) + 1)]:
        return b""
    return b"".join(part[2:] for part in parts)


def _segments(body: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield each segment after the start marker: first byte, one past the last, marker.

    A scan includes its entropy-coded data. Fill bytes before a marker (B.1.1.2) are in none.
    """
    if body[:2] != b"\xff\xd8":
        raise BrokenJpegError("no start marker")
    at, count = 2, 0
    while found := _MARKER.search(body, at):
        before, start, marker = at, found.start(), body[found.end() - 1]
        at, count = found.end(), count + 1
        if marker == _EOI:
            yield start, at, marker
            return
        end = at + int.from_bytes(body[at : at + 2], "big")
        if end < at + 2 or end > len(body):
            raise BrokenJpegError(f"cut off at byte {before}")
        if count > _MAX_SEGMENTS:
            raise BrokenJpegError(f"more than {_MAX_SEGMENTS} segments")
        if marker == _SOS:
            end = _scan_end(body, end)
        yield start, end, marker
        at = end
    raise BrokenJpegError("no end marker")


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
