"""Decodes photos on a Ray cluster: slices of the raw archives go there, decoded photos come back.

A slice is a small raw archive of its own, so that a node does what this machine would do.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from tarfile import BLOCKSIZE
from tempfile import TemporaryDirectory

from allrounder.clean.decoding import DecodedPhoto, decode_class
from allrounder.cluster.ray_cluster import SLICE_BYTES, Cluster
from allrounder.core.errors import DataError
from allrounder.core.progress import progress
from allrounder.core.rows import RawRow, Status
from allrounder.core.tables import read_csv, write_csv
from allrounder.core.tars import StoredBytes, tar_members
from allrounder.params.schema import Clean

_DECODERS = ("numpy", "pillow", "simplejpeg")


@dataclass(frozen=True, slots=True)
class Slice:
    """Some consecutive photos of a class: a part of its tar, their rows, and how to decode them."""

    key: str
    tar: bytes
    rows: list[RawRow]
    rules: Clean
    versions: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Place:
    """Which slice of a class it is, and where it begins in the tar."""

    key: str
    number: int
    start: int


def decode_on_cluster(
    address: str, keys: Sequence[str], raw: Path, work: Path, rules: Clean
) -> dict[str, list[DecodedPhoto]]:
    """The photos of the classes that the cluster could decode, as `decode_class` gives them.

    Converted photos go into tars in the work folder. A class is left out if one of its slices
    ended each worker that tried it, or its archive does not agree with its table. Raises DataError
    when a node has other decoders than this machine.
    """
    parts: dict[str, dict[int, list[DecodedPhoto]]] = defaultdict(dict)
    missing, failed = Counter[str](), set[str]()

    def slices() -> Iterator[tuple[_Place, Slice]]:
        for key in keys:
            found = list(_slices(key, raw))
            missing[key] = len(found)
            for number, (start, end, rows) in enumerate(found):
                with (raw / f"{key}.tar").open("rb") as file:
                    file.seek(start)
                    part = Slice(key, file.read(end - start), rows, rules, _versions())
                yield _Place(key, number, start), part

    with Cluster(address) as cluster, progress(total=len(keys), unit=" classes") as bar:
        for place, result in cluster.run(decode_slice, slices()):
            missing[place.key] -= 1
            if result is None:
                failed.add(place.key)
                continue
            photos, converted = result
            path = work / f"{place.key}-{place.number}.tar"
            path.write_bytes(converted)
            parts[place.key][place.number] = [_placed(one, place, raw, path) for one in photos]
            bar.update(not missing[place.key])
    whole = [key for key in keys if parts[key] and key not in failed]
    return {key: [one for _, part in sorted(parts[key].items()) for one in part] for key in whole}


def decode_slice(part: Slice) -> tuple[list[DecodedPhoto], bytes]:
    """Decode a slice on a node; returns its photos, and the tar of the converted ones."""
    if (here := _versions()) != part.versions:
        raise DataError(
            f"network.ray: a node has {_words(here)}, and this machine {_words(part.versions)}: "
            "photos would get other bytes; pip install -r requirements.txt on the nodes"
        )
    with TemporaryDirectory() as folder:
        raw, work = Path(folder, "raw"), Path(folder, "work")
        raw.mkdir()
        work.mkdir()
        (raw / f"{part.key}.tar").write_bytes(part.tar + bytes(2 * BLOCKSIZE))
        write_csv(raw / f"{part.key}.csv", RawRow, part.rows)
        photos = decode_class(part.key, raw, work, part.rules, {})
        return photos, (work / f"{part.key}.tar").read_bytes()


def _slices(key: str, raw: Path) -> Iterator[tuple[int, int, list[RawRow]]]:
    """The slices of a class: first byte and one past the last, and the rows of their photos.

    None if tar and table do not agree.
    """
    rows = [row for row in read_csv(raw / f"{key}.csv", RawRow) if row.sha256]
    of_photo: dict[str, list[RawRow]] = defaultdict(list)
    for row in rows:
        of_photo[row.sha256].append(row)
    sha256 = {row.image_id: row.sha256 for row in rows if row.status is Status.OK}
    members = list(tar_members(raw / f"{key}.tar"))
    names = [name.rpartition(".")[0] for name, _ in members]
    if sorted(names) != sorted(sha256):
        return
    start, found = 0, list[RawRow]()
    for name, (_, stored) in zip(names, members, strict=True):
        found += of_photo[sha256[name]]
        end = stored.offset + stored.size + -stored.size % BLOCKSIZE
        if end - start >= SLICE_BYTES or name == names[-1]:
            yield start, end, found
            start, found = end, []


def _placed(one: DecodedPhoto, place: _Place, raw: Path, converted: Path) -> DecodedPhoto:
    """A photo of a slice with its place on this machine."""
    at, path, start = one.stored, raw / f"{place.key}.tar", place.start
    if at.path.parent.name == "work":
        path, start = converted, 0
    return replace(one, stored=StoredBytes(path, start + at.offset, at.size))


def _versions() -> dict[str, str]:
    return {name: metadata.version(name) for name in _DECODERS}


def _words(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
