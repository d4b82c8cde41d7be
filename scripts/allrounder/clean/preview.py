"""Tells the download which classes clean would leave short, so that it takes more for them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from allrounder.core import licences
from allrounder.core.candidates import candidate_lookup
from allrounder.core.corrections import Correction
from allrounder.core.rows import RawRow, Status
from allrounder.core.tables import read_csv
from allrounder.core.workers import cores, worker_pool
from allrounder.params.schema import Params


@dataclass(frozen=True, slots=True)
class Preview:
    """What clean will keep of the photos in `raw`."""

    params: Params
    corrections: Sequence[Correction]
    urls: Path
    raw: Path
    work: Path  # keeps what decoding gave, for clean to use

    def larger_quotas(self, quotas: Mapping[str, int]) -> dict[str, int]:
        """The next quotas of the classes that clean leaves short while candidates are left.

        `quotas` are those that the photos in `raw` were taken by. The result depends on nothing but
        these photos. Raises as `clean` does.
        """
        open_classes = [
            key for key in quotas if has_more(key, quotas[key], self.params, self.urls, self.raw)
        ]
        if not open_classes:
            return {}
        from allrounder.clean.cleaning import decide  # most runs do not need these
        from allrounder.clean.decoding import decode_classes

        params = self.params
        self.work.mkdir(parents=True, exist_ok=True)
        keys, ray = list(params.classes), params.network.ray
        with worker_pool(cores()) as pool:
            folders = self.raw, self.work
            photos = decode_classes(keys, *folders, params.clean, pool, ray)
            decisions, _ = decide(params, photos, self.urls, self.raw, self.corrections, pool)
        kept, per_class = decisions.kept_by_class(), params.per_class
        taken = {key: len(part.image_ids) for key, part in photos.listed.items()}
        wanted = {
            key: next_quota(quotas[key], kept[key], taken[key], per_class) for key in open_classes
        }
        return {key: quota for key, quota in wanted.items() if quota > quotas[key]}


def next_quota(quota: int, kept: int, taken: int, per_class: int) -> int:
    """The quota that fills a class if the same share of photos is kept; at most twice the last."""
    missing = max(0, per_class - kept)
    return quota + (min(ceil(missing * taken / kept), quota) if kept else quota)


def has_more(key: str, quota: int, params: Params, urls: Path, raw: Path) -> bool:
    """Whether a larger quota may give a class more photos that have an accepted licence.

    Unused candidates of a class that is not full can never be requested. An archive's unread rest
    can: archives share a class.
    """
    table = raw / f"{key}.csv"
    text = table.read_bytes()
    if Status.UNUSED.encode() not in text and Status.ARCHIVE.encode() not in text:
        return False  # without parsing a table of thousands of rows
    rows = list(read_csv(table, RawRow))
    taken = sum(row.status is Status.OK for row in rows)
    unused = (
        row
        for row in rows
        if (row.status is Status.UNUSED and taken >= quota)
        or (row.status is Status.ARCHIVE and row.resume_at is not None)
    )
    accepted = licences.accepted(params.clean.licenses)
    if accepted is None:
        return any(True for _ in unused)
    origin = candidate_lookup(urls / f"{key}.csv")
    return any(not licences.refused(origin(row.url).license, accepted) for row in unused)
