"""Writes ATTRIBUTION.csv: whom each photo is by, under which licence, and where it was found.

That is what Creative Commons' licences ask to be named. Not for what a licence allows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from allrounder.core import licences
from allrounder.core.rows import ManifestRow
from allrounder.core.tables import write_csv

FILE = "ATTRIBUTION.csv"
_FORMULA = "=+-@\t\r\uff1d\uff0b\uff0d\uff20"  # and the full-width forms


@dataclass(frozen=True, slots=True)
class Credit:
    """A row: title, author, source, licence ("TASL"), as far as the photo's source names them.

    Source: https://wiki.creativecommons.org/wiki/Recommended_practices_for_attribution
    """

    file: str
    title: str
    author: str
    license: str
    license_url: str
    landing_url: str
    url: str


def write(out: Path, manifest: Sequence[ManifestRow]) -> bool:
    """Write a row for each photo with an author or a licence; False, and no file, for none."""
    credits = [_credit(row) for row in manifest if row.author or row.license]
    if credits:
        write_csv(out / FILE, Credit, credits)
    return bool(credits)


def _credit(row: ManifestRow) -> Credit:
    form = licences.normal(row.license)
    known = licences.address(form)
    stated = row.license if row.license.startswith(("http://", "https://")) else ""
    return Credit(
        row.file,
        _no_formula(row.title),
        _no_formula(row.author),
        licences.title(form) if known else _no_formula(row.license),
        known or stated,
        _no_formula(row.landing_url),
        _no_formula(row.url),
    )


def _no_formula(text: str) -> str:
    """A stranger's text as no spreadsheet runs it: people open this table in one.

    Source: https://owasp.org/www-community/attacks/CSV_Injection
    """
    return f"'{text}" if text.startswith(tuple(_FORMULA)) else text
