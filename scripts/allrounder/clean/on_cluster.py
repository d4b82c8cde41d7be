"""Decodes slices on a Ray cluster: photos go there, the slices' files come back into the store."""

import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from allrounder.clean.slices import Slice, decoding, is_whole, name_of, write_slice
from allrounder.cluster.ray_cluster import Cluster
from allrounder.core.errors import DataError
from allrounder.core.progress import progress
from allrounder.params.schema import Clean


@dataclass(frozen=True, slots=True)
class SliceJob:
    """The photos of a slice, and how to decode them. `decoding` is this machine's hash of that."""

    bodies: list[bytes]
    rules: Clean
    decoding: bytes


def decode_on_cluster(address: str, slices: Sequence[Slice], store: Path, rules: Clean) -> None:
    """Have the slices decoded that the store does not have.

    It still lacks those that ended each worker that tried them. The cluster is connected only if
    it is needed. Raises DataError when a node has other decoders or code than this machine.
    """
    missing = _missing(slices, store, rules)
    if (first := next(missing, None)) is None:
        return
    with Cluster(address) as cluster, progress(unit=" slices") as bar:
        for name, body in cluster.run(decode_photos, chain([first], missing)):
            if body is not None:
                new = store / f"{name}.{os.getpid()}.part"
                new.write_bytes(body)
                new.replace(store / name)
                bar.update()


def decode_photos(job: SliceJob) -> bytes:
    """Decode a slice on a node; returns its file. Raises DataError if the decoders differ."""
    if decoding(job.rules) != job.decoding:
        raise DataError(
            "network.ray: a node has other versions of the decoders than this machine, so that "
            "photos would get other bytes; pip install -r requirements.txt on all of them"
        )
    file = io.BytesIO()
    write_slice(file, job.bodies, job.rules, {})
    return file.getvalue()


def _missing(slices: Sequence[Slice], store: Path, rules: Clean) -> Iterator[tuple[str, SliceJob]]:
    for part in slices:
        if not is_whole(store / (name := name_of(part, rules))):
            yield name, SliceJob([*part.bodies()], rules, decoding(rules))
