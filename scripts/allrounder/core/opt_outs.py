"""Opt-outs from use for training: the signals that are obeyed, and those inside a photo."""

import re
import zlib
from contextlib import suppress
from enum import StrEnum
from itertools import islice

from allrounder.core.rows import Result, Status


class Signal(StrEnum):
    """Where an opt-out was found. docs/network.md has the sources."""

    ROBOTS_TXT = "robots.txt"
    X_ROBOTS_TAG = "X-Robots-Tag"
    TDM = "tdm-reservation"
    TDM_FILE = "tdmrep.json"
    CONTENT_USAGE = "Content-Usage"
    DATA_MINING = "plus:DataMining"
    C2PA = "c2pa.training-mining"


def opted_out(signal: Signal, directive: str) -> Result:
    """The result of a photo that may not be used; its `opt_out` keeps the evidence."""
    evidence = f"{signal}: {directive}"
    return Result(Status.OPTED_OUT, evidence, opt_out=evidence)


def signal_of(evidence: str) -> str:
    """The signal of a row's `opt_out`."""
    return evidence.partition(": ")[0]


_MINING = re.compile(rb":DataMining\b[^<]{0,300}?\b(DMI-[A-Z-]+)")
"""PLUS's property in XMP, as an attribute or an element: IPTC Photo Metadata 2023.1, 12.5.

The values that start with DMI-PROHIBITED forbid mining, all of it or for training.
"""
_TRAINING = re.compile(
    rb"(?:c2pa|cawg)\.(ai_training|ai_generative_training|data_mining)\b.{0,12}?use.{0,12}?notAllowed",
    re.DOTALL,
)
"""An entry of C2PA's assertion `training-mining`, in CBOR or JSON (C2PA 1.4, 18.21)."""
_MANIFEST = b"c2pa\x00\x11\x00\x10\x80\x00\x00\xaa\x00\x38\x9b\x71"
"""The UUID of a C2PA manifest store's box (C2PA 2.1, 11.1.4.2)."""
_PACKED_XMP = re.compile(
    rb"Xt(?:XML:com\.adobe\.xmp\x00\x01\x00[^\x00]*\x00[^\x00]*|(Raw profile type xmp))\x00"
)
"""The start of a PNG chunk of compressed XMP (PNG, third edition, 11.3.3.4), or of ImageMagick's:
zTXt or tEXt with a line of its name, one of its length, and hexadecimal digits."""
_DIGITS = re.compile(rb"\n.*\n.*\n((?:[0-9a-f]{2}\n?)*)")
_MOST_CHUNKS = 4
_MAX_XMP = 2**20


def embedded_opt_out(body: bytes) -> Result | None:
    """The result of a photo whose own metadata has an opt-out, or None."""
    for text in (body, *_packed_xmp(body)):
        if b":DataMining" in text:
            for value in _MINING.findall(text):
                if value.startswith(b"DMI-PROHIBITED"):
                    return opted_out(Signal.DATA_MINING, value.decode())
    if b".training-mining" in body and (found := _TRAINING.search(body)):
        return opted_out(Signal.C2PA, found[1].decode())
    return None


def has_c2pa(body: bytes) -> bool:
    """Whether a photo has a C2PA manifest. That is no opt-out."""
    return _MANIFEST in body


def _packed_xmp(body: bytes) -> list[bytes]:
    """The XMP of a PNG that is compressed."""
    chunks = _PACKED_XMP.finditer(body) if body.startswith(b"\x89PNG") else ()
    texts = []
    for found in islice(chunks, _MOST_CHUNKS):
        text = body[found.end() : found.end() + _MAX_XMP]
        with suppress(zlib.error, ValueError):
            if not text.startswith(b"\n"):  # compressed, also in a zTXt chunk
                text = zlib.decompressobj().decompress(text.removeprefix(b"\0"), _MAX_XMP)
            if digits := _DIGITS.match(text) if found[1] else None:
                text = bytes.fromhex(digits[1].decode())
            texts.append(text)
    return texts
