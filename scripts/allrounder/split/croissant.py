"""Describes the dataset for programs, in croissant.json: Croissant 1.1, as mlcroissant reads it.

templates/croissant.json is the document, with gaps for what differs between datasets. Its
`@context` is the recommended one. The transform of `photos/file` turns a path into text, which
mlcroissant can join. Whoever publishes the dataset adds creator and datePublished.
Source: https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html
"""

import json
from pathlib import Path
from typing import Any

from allrounder.core import licences
from allrounder.core.files import file_sha256, write_text
from allrounder.params.dataset import split_folders
from allrounder.params.schema import Params
from allrounder.split import rai
from allrounder.split.facts import TEMPLATES, DatasetFacts, citations, summary

FILE = "croissant.json"
_ID = "a slug of its name, or its wnid, with + for a whole subtree"


def write(out: Path, params: Params, facts: DatasetFacts, version: str) -> None:
    """Write croissant.json into `out`, which must contain the tables that it describes."""
    about = params.dataset
    own = [licences.normal(about.license)] if about.license else []
    template = (TEMPLATES / FILE).read_text(encoding="utf-8")
    if any(one.is_own for one in facts.classes):
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
    } | rai.properties(params.clean, facts)
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
    write_text(out / FILE, json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def _licence(form: str) -> str:
    """A licence's URL if it has one; the normal form has no scheme."""
    return licences.address(form) or (f"https:{form}" if form.startswith("//") else form)
