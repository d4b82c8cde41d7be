"""Photos of the misbehaving web: small, made from a seed, no two alike."""

import io
import random
import struct
import zlib
from functools import cache

from PIL import Image


@cache
def photo(seed: str = "fault", side: int = 48, form: str = "JPEG") -> bytes:
    """A good photo: noise, so that its bytes do not compress away."""
    noise = random.Random(seed).randbytes(side * side * 3)
    out = io.BytesIO()
    Image.frombytes("RGB", (side, side), noise).save(out, form)
    return out.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that says it has this size and holds a single row."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        tail = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + tail

    size = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    row = chunk(b"IDAT", zlib.compress(bytes(1 + width // 8)))
    return b"\x89PNG\r\n\x1a\n" + size + row + chunk(b"IEND", b"")
