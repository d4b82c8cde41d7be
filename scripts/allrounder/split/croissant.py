"""Describes the dataset for programs, in croissant.json: Croissant 1.1, as mlcroissant reads it.

templates/croissant.json is the document without what differs between datasets. templates/rai.json
has the properties of Croissant RAI 1.0 that every dataset has. The `@context` is the recommended
one. The transform of `photos/file` turns a path into text, which mlcroissant can join. publish.py
adds creator and datePublished.
Source: https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html, croissant-rai-spec.html
"""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from allrounder.core import licences
from allrounder.core.files import file_sha256, replace_text
from allrounder.core.rows import Status
from allrounder.core.text import one_line
from allrounder.params.dataset import split_folders
from allrounder.params.schema import Clean, Params
from allrounder.params.sources import KINDS
from allrounder.split.facts import REASONS, TEMPLATES, DatasetFacts, citations, limits, summary

FILE = "croissant.json"
_APIS = {kind for kind, model in KINDS.items() if model.is_api}
_MOSTLY = 0.5
"""A host that gives more than this share of the photos is named as a bias."""
_FIXED: dict[str, Any] = json.loads((TEMPLATES / "rai.json").read_text(encoding="utf-8"))
_ID = "a slug of its name, or its wnid, with + for a whole subtree"


def write(out: Path, params: Params, facts: DatasetFacts, version: str) -> None:
    """Write croissant.json into `out`, which must contain the tables that it describes."""
    about = params.dataset
    own = [licences.normal(about.license)] if about.license else []
    template = (TEMPLATES / FILE).read_text(encoding="utf-8")
    if facts.has_own:
        template = template.replace("an ImageNet synset, with + for its whole subtree", _ID)
        template = template.replace("first name of the synset in WordNet", "as in its id or folder")
    document: dict[str, Any] = json.loads(template)
    document |= {
        "name": about.name,
        "description": "\n\n".join(filter(None, [about.description, summary(facts)])),
        "license": [_licence(form) for form in [*own, *facts.licences]],
        "version": f"0.0.0+{version}",
        "citeAs": citations(facts, version),
        "keywords": [
            "image classification",
            *["ImageNet"] * facts.has_imagenet,
            *["Pascal VOC"] * facts.has_voc,
        ],
    } | rai_properties(params.clean, facts)
    if about.homepage:
        document["url"] = about.homepage
    *tables, photos = document["distribution"]
    for table in tables:
        path = out / table["name"]
        table |= {"contentSize": f"{path.stat().st_size} B", "sha256": file_sha256(path)}
    # Every photo once: for folds, their val.
    places = [place for place, split in split_folders(params.split).items() if split]
    photos["includes"] = [f"{place}/*/*.jpg" for place in places]
    splits, *_ = document["recordSet"]
    splits["data"] = [
        {"splits/name": name, "splits/photos": count} for name, count in facts.total.splits.items()
    ]
    replace_text(out / FILE, json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def _licence(form: str) -> str:
    """A licence's URL if it has one; the normal form has no scheme."""
    return licences.address(form) or (f"https:{form}" if form.startswith("//") else form)


def rai_properties(clean: Clean, facts: DatasetFacts) -> dict[str, Any]:
    """How the data came about: the properties of Croissant RAI, by name."""
    return {
        "rai:dataCollection": _collection(facts),
        "rai:dataCollectionType": list(_collection_types(facts)),
        "rai:dataCollectionMissingData": _losses("candidates were not downloaded", facts.total.raw),
        "rai:dataPreprocessingProtocol": list(_preprocessing(clean, facts)),
        "rai:dataAnnotationProtocol": list(_annotation(facts)),
        "rai:dataBiases": list(_biases(facts)),
        "rai:personalSensitiveInformation": list(_personal(facts)),
        "rai:dataLimitations": limits(facts),
        **_FIXED,
        "rai:dataUseCases": [
            one if facts.has_voc else one.partition(";")[0].rstrip(".") + "."
            for one in _FIXED["rai:dataUseCases"]
        ],
    }


def _collection(facts: DatasetFacts) -> str:
    places = ", ".join(
        f"{one.source} ({one_line(one.host, 80) or 'local files'}: {one.photos:,})"
        for one in facts.origins
    )
    words = (
        "Sources list candidate photos for each class. The first valid ones were downloaded in a "
        "fixed order and without changes. Not taken: photos whose host (robots.txt, headers) or "
        f"own metadata object to use for training, if the build honours this. Photos by source "
        f"and host: {places}."
    )
    if facts.tally.rescued:
        words += f" {facts.tally.rescued:,} photos were gone and come from a web archive."
    return words


def _collection_types(facts: DatasetFacts) -> Iterator[str]:
    """Terms of the specification's list."""
    if any(one.host for one in facts.origins):
        yield "Web Scraping"
    if any(one.source in _APIS for one in facts.origins):
        yield "Web API"
    if any(not one.host for one in facts.origins):
        yield "Others"
    if facts.corrected:
        yield "Manual Human Curator"


def _losses(what: str, counts: Counter[Status]) -> str:
    lost = {
        status: count
        for status, count in counts.items()
        if count and status not in (Status.OK, Status.KEPT)
    }
    reasons = "; ".join(f"{lost[one]:,} {one} ({REASONS[one]})" for one in REASONS if one in lost)
    of = f"{sum(lost.values()):,} of {counts.total():,} {what}"
    return f"{of}: {reasons}." if lost else f"{of}."


def _preprocessing(clean: Clean, facts: DatasetFacts) -> Iterator[str]:
    shrunk = f", reduced to {clean.max_side} pixels" if clean.max_side else ""
    yield (
        f"Decoded completely, rotated upright, stripped of metadata{shrunk}, and stored as JPEG: "
        f"with the original data where possible, else encoded at quality {clean.quality}."
    )
    where = "dropped" if clean.cross_class == "drop" else "kept in the first class only"
    yield (
        f"Near-duplicates (perceptual hashes, clean.near_radius {clean.near_radius}, confirmed by "
        f"thumbnails) dropped; pictures in two classes {where}. Similar photos and photos of one "
        "upload stay in one split."
    )
    if clean.licenses:
        names = ", ".join(licences.title(licences.listed(one)) for one in clean.licenses)
        yield f"Only photos under these licences: {names}."
    yield _losses("downloaded photos were dropped", facts.total.clean)


def _annotation(facts: DatasetFacts) -> Iterator[str]:
    own = facts.has_own
    kinds = f"There are {facts.kinds}" if own else "Classes are ImageNet synsets"
    usual = " wnid, ILSVRC index or WordNet name" if facts.has_imagenet or not own else ""
    by = " or".join(filter(None, [usual, " the names of the classes" * own]))
    yield (
        f"{kinds}. Labels are those of the sources, matched by{by}. No annotators were employed."
    )
    if facts.corrected:
        moved, excluded = sum(facts.tally.moved.values()), facts.total.clean[Status.EXCLUDED]
        yield f"By hand, {moved:,} photos were moved to another class and {excluded:,} taken out."


def _biases(facts: DatasetFacts) -> Iterator[str]:
    yield from (limit for limit in limits(facts) if "random sample" in limit)
    sizes = [sum(funnel.splits.values()) for funnel in facts.funnels.values()]
    if sizes:
        yield f"The classes have {min(sizes):,} to {max(sizes):,} photos each."
    hosts = Counter[str]()
    for one in facts.origins:
        hosts[one.host] += one.photos
    for host, count in hosts.items():
        if host and count > _MOSTLY * facts.photos:
            yield f"{count:,} of {facts.photos:,} photos are from {one_line(host, 80)}."


def _personal(facts: DatasetFacts) -> Iterator[str]:
    yield from (limit for limit in limits(facts) if "people" in limit)
    yield "The photos' metadata, e.g. places and cameras, was removed."
    if facts.tally.credited:
        yield f"{facts.tally.credited:,} photos are listed with the name of their author."
