"""Describes the dataset for programs, in croissant.json: Croissant 1.1, as mlcroissant reads it.

Whoever publishes the dataset adds url, creator and datePublished.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from allrounder.core import licences
from allrounder.core.files import atomic_write
from allrounder.core.text import PROJECT
from allrounder.params.dataset import split_folders
from allrounder.params.schema import Params
from allrounder.split.facts import CITATIONS, LIMITS, DatasetFacts, citation, summary

FILE = "croissant.json"
Json = dict[str, Any]

_TERMS = (
    "arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field",
    "fileObject", "fileProperty", "fileSet", "format", "includes", "isArray", "isLiveDataset",
    "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex",
    "repeated", "replace", "samplingRate", "separator", "source", "subField", "transform",
)  # fmt: skip
_CONTEXT: Json = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
} | {term: f"cr:{term}" for term in _TERMS}
"""The context that the specification recommends.

Source: https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html, appendix 1
"""

_MANIFEST = {
    "sha256": "SHA-256 of the file",
    "wnid": "the class key: an ImageNet synset, with + for its whole subtree",
    "label": "name of the class",
    "voc": "Pascal VOC label of the class",
    "synset": "synset of the photo: that of the class, or one below it",
    "image_id": "id of the photo in its class",
    "url": "where the photo was downloaded from",
    "source": "kind of the source that listed the photo",
    "width": "in pixels",
    "height": "in pixels",
    "license": "as stated by the source",
    "author": "as stated by the source",
    "title": "as stated by the source",
    "landing_url": "web page that shows the photo",
}
_CLASSES = {
    "class_index": "position of the class in the params, from 0",
    "folder": "folder of the class in each split",
    "wnid": "class key: an ImageNet synset, with + for its whole subtree",
    "label": "first name of the synset in WordNet",
    "voc": "Pascal VOC label of the class",
    "ilsvrc_index": "class index in ILSVRC 2012, from 0",
    "voc_index": "position in Pascal VOC's twenty labels, from 0",
}
_INTEGERS = {"width", "height", "class_index", "ilsvrc_index", "voc_index"}


def write(out: Path, params: Params, facts: DatasetFacts, version: str) -> None:
    """Write croissant.json into `out`, which must contain manifest.csv and classes.csv."""
    with atomic_write(out / FILE) as file:
        json.dump(metadata(out, params, facts, version), file, indent=2, ensure_ascii=False)
        file.write("\n")


def metadata(out: Path, params: Params, facts: DatasetFacts, version: str) -> Json:
    """Return the dataset as a Croissant document: `photos`, `classes` and `splits`."""
    manifest, classes = (_table(out / name) for name in ("manifest.csv", "classes.csv"))
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": PROJECT,
        "description": summary(facts),
        "license": [_licence(form) for form in facts.licences],
        "keywords": ["image classification", "ImageNet", "Pascal VOC"],
        "version": f"0.0.0+{version}",
        "citeAs": "\n".join([citation(facts, version), *CITATIONS]),
        "rai:dataLimitations": list(LIMITS),
        "distribution": [manifest, classes, _photo_files(params)],
        "recordSet": [_splits(facts), _classes(), _photos()],
    }


def _licence(form: str) -> str:
    """Return a licence's URL if it has one; the normal form has no scheme."""
    return licences.address(form) or (f"https:{form}" if form.startswith("//") else form)


def _table(path: Path) -> Json:
    body = path.read_bytes()
    return {
        "@type": "cr:FileObject",
        "@id": path.name,
        "name": path.name,
        "contentUrl": path.name,
        "contentSize": f"{len(body)} B",
        "encodingFormat": "text/csv",
        "sha256": hashlib.sha256(body).hexdigest(),
    }


def _photo_files(params: Params) -> Json:
    """Return the set of files with every photo once: for folds, their val."""
    return {
        "@type": "cr:FileSet",
        "@id": "photo-files",
        "name": "photo-files",
        "encodingFormat": "image/jpeg",
        "includes": [
            f"{place}/*/*.jpg" for place, split in split_folders(params.split).items() if split
        ],
    }


def _splits(facts: DatasetFacts) -> Json:
    return {
        "@type": "cr:RecordSet",
        "@id": "splits",
        "name": "splits",
        "dataType": "cr:Split",
        "key": {"@id": "splits/name"},
        "field": [_field("splits", "name"), _field("splits", "photos", "sc:Integer")],
        "data": [
            {"splits/name": name, "splits/photos": count} for name, count in facts.splits.items()
        ],
    }


def _classes() -> Json:
    return {
        "@type": "cr:RecordSet",
        "@id": "classes",
        "name": "classes",
        "dataType": "sc:Enumeration",
        "key": {"@id": "classes/class_index"},
        "field": list(_columns("classes", "classes.csv", _CLASSES)),
    }


def _photos() -> Json:
    """Return the record set of the photos: each file with its row of the manifest."""
    files, rows = {"fileSet": {"@id": "photo-files"}}, {"fileObject": {"@id": "manifest.csv"}}
    path = files | {"extract": {"fileProperty": "fullpath"}, "transform": {"regex": "(.+)"}}
    file = _field("photos", "file", description="path in the dataset") | {
        "source": path,  # the transform turns it into text, which mlcroissant can join
        "references": rows | {"extract": {"column": "file"}},
    }
    image = _field("photos", "image", "sc:ImageObject") | {
        "source": files | {"extract": {"fileProperty": "content"}}
    }
    index, split = _columns(
        "photos",
        "manifest.csv",
        {"class_index": "index of the class", "split": "or the fold whose val has the photo"},
    )
    index |= {"references": {"field": {"@id": "classes/class_index"}}}
    split |= {"references": {"field": {"@id": "splits/name"}}}
    return {
        "@type": "cr:RecordSet",
        "@id": "photos",
        "name": "photos",
        "key": {"@id": "photos/file"},
        "field": [file, image, index, split, *_columns("photos", "manifest.csv", _MANIFEST)],
    }


def _columns(record_set: str, file: str, columns: dict[str, str]) -> Iterator[Json]:
    for name, description in columns.items():
        kind = "sc:Integer" if name in _INTEGERS else "sc:Text"
        yield _field(record_set, name, kind, description) | {
            "source": {"fileObject": {"@id": file}, "extract": {"column": name}}
        }


def _field(record_set: str, name: str, kind: str = "sc:Text", description: str = "") -> Json:
    words = {"description": description} if description else {}
    return {
        "@type": "cr:Field",
        "@id": f"{record_set}/{name}",
        "name": name,
        "dataType": kind,
    } | words
