"""Writes the files that describe the dataset: ATTRIBUTION.csv, README.md, croissant.json."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from allrounder.core import licences
from allrounder.core.funnel import Funnel
from allrounder.core.rows import ManifestRow
from allrounder.core.tables import no_formula, write_csv
from allrounder.params.schema import Params
from allrounder.split import card, croissant
from allrounder.split.facts import count_facts

ATTRIBUTION = "ATTRIBUTION.csv"


def describe(
    params: Params, funnels: Mapping[str, Funnel], out: Path, manifest: Sequence[ManifestRow]
) -> None:
    """Describe the dataset in `out` by its own files and the counts of each class.

    The version is the first 12 hex digits of the SHA-256 of manifest.csv.
    """
    version = hashlib.sha256((out / "manifest.csv").read_bytes()).hexdigest()[:12]
    facts = count_facts(params, funnels, out, manifest)
    attribution = ATTRIBUTION if write_attribution(out, manifest) else ""
    card.write(out, params, facts, version, attribution)
    croissant.write(out, params, facts, version)


@dataclass(frozen=True, slots=True)
class Credit:
    """A row: title, author, source and licence ("TASL"), as far as the photo's source has them.

    Source: https://wiki.creativecommons.org/wiki/Recommended_practices_for_attribution
    """

    file: str
    title: str
    author: str
    license: str
    license_url: str
    landing_url: str
    url: str


def write_attribution(out: Path, manifest: Sequence[ManifestRow]) -> bool:
    """Write a row for each photo with an author or a licence; return whether there is any.

    Creative Commons licences with BY ask for this. Without a row no file is written.
    """
    credits = [_credit(row) for row in manifest if row.author or row.license]
    if credits:
        write_csv(out / ATTRIBUTION, Credit, credits)
    return bool(credits)


def _credit(row: ManifestRow) -> Credit:
    form = licences.normal(row.license)
    address = licences.address(form)
    stated = row.license if row.license.startswith(("http://", "https://")) else ""
    title, author, landing, url = map(no_formula, (row.title, row.author, row.landing_url, row.url))
    licence = licences.title(form) if address else no_formula(row.license)
    return Credit(row.file, title, author, licence, address or stated, landing, url)
