"""Writes the files that describe the dataset: ATTRIBUTION.csv, README.md, croissant.json."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from allrounder.core import licences
from allrounder.core.files import file_sha256
from allrounder.core.funnel import Funnel
from allrounder.core.paths import MANIFEST
from allrounder.core.rows import ManifestRow
from allrounder.core.tables import no_formula
from allrounder.params.schema import Params
from allrounder.split import card, croissant
from allrounder.split.facts import Tally, dataset_facts

ATTRIBUTION = "ATTRIBUTION.csv"


def describe(params: Params, funnels: Mapping[str, Funnel], out: Path, tally: Tally) -> None:
    """Describe the dataset in `out` by its own files and the counts of each class.

    The version is the first 12 hex digits of the SHA-256 of manifest.csv.
    """
    version = file_sha256(out / MANIFEST)[:12]
    facts = dataset_facts(params, funnels, tally)
    card.write(out, params, facts, version, ATTRIBUTION if (out / ATTRIBUTION).exists() else "")
    if params.split.layout == "folders":  # of Parquet the Hub makes it
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


def credit(row: ManifestRow) -> Credit | None:
    """The credit of a photo; None for one without author and licence.

    Creative Commons licences with BY ask for this.
    """
    if not (row.author or row.license):
        return None
    form = licences.normal(row.license)
    address = licences.address(form)
    stated = row.license if row.license.startswith(("http://", "https://")) else ""
    title, author, landing, url = map(no_formula, (row.title, row.author, row.landing_url, row.url))
    licence = licences.title(form) if address else no_formula(row.license)
    return Credit(row.file, title, author, licence, address or stated, landing, url)
