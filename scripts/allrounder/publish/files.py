"""Chooses what is published: the files of data/dataset, their licences, the texts for the Hub."""

import json
import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from allrounder.core import licences
from allrounder.core.commands import git, output_of
from allrounder.core.errors import DataError
from allrounder.core.files import file_sha256, files_below, hash_folder
from allrounder.core.funnel import ranked
from allrounder.core.paths import CLASSES, FINGERPRINTS, LOCK, MANIFEST
from allrounder.core.rows import ManifestRow
from allrounder.core.tables import read_csv
from allrounder.history.lock import locked_output

CARD, CROISSANT = "README.md", "croissant.json"
RECIPE = (CARD, "ATTRIBUTION.csv", CLASSES, "recipe.csv")
"""The files that are published without photos."""
_WITHOUT_PHOTOS = (
    "**No photos here**, and none of the files below that describe them: `recipe.csv` has their "
    "addresses and hashes, to build the dataset from the web."
)
PACKED = "data"
"""The folder of Parquet."""
TABLES = (*RECIPE, MANIFEST, FINGERPRINTS)
"""The files that are published beside Parquet. The Hub makes its Croissant metadata itself."""
MAX_FILES, MAX_IN_FOLDER = 100_000, 10_000
"""Files of a repository, and entries of a folder in it.

Source: https://huggingface.co/docs/hub/storage-limits
"""
_NAMED = 5  # licences in a message


@dataclass(frozen=True, slots=True)
class Publication:
    """Where and when a version is published. Dates are those of commits: a repeat is the same."""

    url: str
    creator: str
    by_person: bool
    date: str = ""  # YYYY-MM-DD
    doi: str = ""


def local_files(dataset: Path) -> dict[str, Path]:
    """The files of the dataset. Raises DataError if they are not those that dvc.lock records."""
    files = {path.relative_to(dataset).as_posix(): path for path in sorted(files_below(dataset))}
    if MANIFEST not in files:
        raise DataError(f"{dataset} has no {MANIFEST}; run dvc repro, or dvc pull {dataset}")
    if hash_folder(dataset) != locked_output("split"):
        raise DataError(
            f"{dataset} is not what {LOCK} records; run dvc repro, or dvc checkout --force "
            f"{dataset}"
        )
    return files


def check_limits(files: Collection[str]) -> None:
    """Raise DataError for more files than the Hub takes."""
    way_out = "publish it as Parquet (--parquet) or without photos (--recipe-only)"
    if len(files) > MAX_FILES:
        raise DataError(f"{len(files):,} files, and the Hub takes {MAX_FILES:,}; {way_out}")
    folder, count = Counter(name.rpartition("/")[0] for name in files).most_common(1)[0]
    if count >= MAX_IN_FOLDER:
        raise DataError(
            f"{folder} has {count:,} files, and the Hub takes fewer than {MAX_IN_FOLDER:,} in a "
            f"folder; {way_out}"
        )


def check_licences(dataset: Path, allowed: Collection[str]) -> None:
    """Raise DataError for photos whose licence does not let everybody pass them on.

    `allowed` are licences that the user may publish all the same.
    """
    rows = list(read_csv(dataset / MANIFEST, ManifestRow))
    forms = Counter(licences.normal(row.license) for row in rows)
    may = set(map(licences.normal, allowed))
    refused = {form: n for form, n in forms.items() if form not in may and not may_share(form)}
    if refused:
        named, rest = ranked(refused, _NAMED)
        words = [f"{form[:60]} ({count:,})" for form, count in named]
        words += [f"others ({rest:,})"] if rest else []
        raise DataError(
            f"{sum(refused.values()):,} of {len(rows):,} photos have licences that do not let you "
            f"publish them: {', '.join(words)}; build without them (clean.licenses), publish "
            "without photos (--recipe-only), or name those for which you have permission: "
            f"--allow-licenses {' '.join(repr(form) for form, _ in named)}"
        )


def may_share(form: str) -> bool:
    """Whether a licence lets everybody pass on a photo that was cleaned.

    All of Creative Commons do, but ND: cleaning strips metadata, and may convert or shrink.
    """
    if form in licences.OTHERS:
        return True
    return bool(licences.address(form)) and "nd" not in form.split("-")


def version_of(dataset: Path) -> str:
    """The version that the card names: the start of the SHA-256 of manifest.csv."""
    return file_sha256(dataset / MANIFEST)[:12]


def published_texts(files: Mapping[str, Path], facts: Publication) -> dict[str, bytes]:
    """The card and the Croissant metadata as they are published: with address, date and DOI."""
    texts = {}
    if CARD in files:
        card = _cited(files[CARD].read_text(encoding="utf-8"), facts)
        texts[CARD] = card if CROISSANT in files else _with_other_files(card, files)
    if CROISSANT in files:
        document: dict[str, Any] = json.loads(files[CROISSANT].read_text(encoding="utf-8"))
        document |= {
            "url": facts.url,
            "creator": {
                "@type": "sc:Person" if facts.by_person else "sc:Organization",
                "name": facts.creator,
            },
            "citeAs": _cited(document["citeAs"], facts),
        }
        document |= {"datePublished": facts.date} if facts.date else {}
        document |= {"identifier": f"https://doi.org/{facts.doi}"} if facts.doi else {}
        texts[CROISSANT] = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    return {name: text.encode("utf-8") for name, text in texts.items()}


def _cited(text: str, facts: Publication) -> str:
    """The text with the address and the DOI in the dataset's BibTeX entry."""
    fields = {"url": facts.url, "year": facts.date[:4], "doi": facts.doi}
    more = "".join(f",\n  {name} = {{{value}}}" for name, value in fields.items() if value)
    return re.sub(r"(\(SHA-256 of manifest\.csv\)\})", lambda found: found[1] + more, text)


def _with_other_files(card: str, files: Collection[str]) -> str:
    """The card of a repository that has Parquet in place of the photos, or neither."""
    if any(name.startswith(("train/", "val/")) for name in files):
        return card  # of a dataset in shards, which says so itself
    _, front, body = card.split("---\n", 2)
    values = yaml.safe_load(front)
    if any(name.endswith(".parquet") for name in files):
        for config in values["configs"]:
            del config["drop_labels"]  # for folders only
            for one in config["data_files"]:
                one["path"] = f"{PACKED}/{one['path'].removesuffix('/**')}/*.parquet"
    else:
        del values["configs"], values["dataset_info"]
        body = re.sub(r"^(# .*\n)", rf"\1\n{_WITHOUT_PHOTOS}\n", body, count=1, flags=re.MULTILINE)
    return f"---\n{yaml.safe_dump(values, sort_keys=False, allow_unicode=True)}---\n{body}"


def commit_facts() -> tuple[str, str]:
    """A tag of the commit that the work tree is built from, and the commit's date; '' if none.

    Only a commit with this very dvc.lock counts.
    """
    committed = output_of("git", "show", f"HEAD:./{LOCK}")
    if not (committed and LOCK.is_file() and LOCK.read_text(encoding="utf-8") == committed):
        return "", ""
    named = git("tag", "--points-at", "HEAD").splitlines()
    tags = [tag for tag in named if "@" not in tag]  # dataset@v1.2.0 is for DVC
    seconds = int(git("show", "-s", "--format=%ct", "HEAD"))
    date = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")
    return min(tags, default=""), date


def stated_doi(citation: Path) -> str:
    """The `doi` of a CITATION.cff, or ''."""
    try:
        found = yaml.safe_load(citation.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError):
        return ""
    doi = found.get("doi") if isinstance(found, dict) else None
    return doi if isinstance(doi, str) and re.fullmatch(r"10\.[0-9]{4,9}/[!-~]+", doi) else ""
