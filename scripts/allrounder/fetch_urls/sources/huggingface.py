"""Source `huggingface`: the rows of our classes in an image dataset on the Hub, never all of it.

The dataset viewer's /filter lists them, a hundred a request; what is written for each is its own
stable address, not the photo's signed URL. Not for fetching the photos: that is rowpages.py.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

from allrounder.download.rowpages import row_url
from allrounder.errors import DataError, UsageError
from allrounder.fetch_urls.datasetviewer import PAGE, Viewer
from allrounder.fetch_urls.labelmatch import matcher, plain, usual
from allrounder.fetch_urls.web import Web
from allrounder.records import Candidate
from allrounder.sourceparams import HuggingfaceSource
from allrounder.synsets import find, synsets

Value = int | str
_HUB = "https://datasets-server.huggingface.co"


def candidates(
    source: HuggingfaceSource, wnids: Sequence[str], web: Web
) -> Iterator[tuple[str, Candidate]]:
    """Yield the rows of each class, in the dataset's order.

    Raises DataError when the API cannot be read, refuses the dataset or answers in another form;
    UsageError for a config, split or column that the dataset does not have.
    """
    viewer = Viewer(source, web)
    _check_split(source, viewer)
    features, licence = viewer.info()
    _check_columns(source, features, viewer.what)
    values = _values(source, wnids, features[source.label_column], viewer.what)
    short = re.sub(r"[^A-Za-z0-9]+", "-", source.dataset.rpartition("/")[2])[:30].strip("-")
    split = re.sub(r"[^A-Za-z0-9]+", "-", source.split)[:12].strip("-")
    for wnid, wanted in values.items():
        for row in _rows(source, viewer, wnid, wanted):
            url, page = row_url(source, row, viewer.revision or ""), _landing_url(source, row)
            yield wnid, Candidate(f"{short}_{split}_{row}", url, licence, landing_url=page)
    if viewer.partial:
        _warn(viewer.what, "the viewer has indexed its first part only (5 GB); no row after it")


def _check_split(source: HuggingfaceSource, viewer: Viewer) -> None:
    there = viewer.splits()
    if f"{source.config}/{source.split}" not in there:
        raise UsageError(
            f"{viewer.what}: has no split {source.config}/{source.split}, but "
            f"{_some(there)}; correct its config or split"
        )


def _check_columns(source: HuggingfaceSource, features: dict[str, Any], what: str) -> None:
    for key, name in (("label_column", source.label_column), ("image_column", source.image_column)):
        if name not in features:
            there = _some(list(features))
            raise UsageError(f"{what}: {key}: it has no column {name!r}, but {there}; correct it")
    if features[source.image_column].get("_type") != "Image":
        images = [name for name, feature in features.items() if feature.get("_type") == "Image"]
        raise UsageError(
            f"{what}: image_column: {source.image_column!r} holds no photos; "
            f"those that do: {_some(images)}"
        )


def _values(
    source: HuggingfaceSource, wnids: Sequence[str], feature: dict[str, Any], what: str
) -> dict[str, list[Value]]:
    """What stands in the label column for each class that the dataset may know."""
    meant = matcher(wnids, source.labels)
    found: dict[str, list[Value]] = {wnid: [] for wnid in wnids}
    names, dtype = feature.get("names"), str(feature.get("dtype"))
    if feature.get("_type") == "ClassLabel" and isinstance(names, list):
        indices = _ilsvrc_indices(source, wnids, names)
        for index, name in enumerate(names):
            if (wnid := meant.get(plain(str(name)))) and wnid not in indices:
                found[wnid].append(index)
        for wnid, index in indices.items():
            found[wnid] = [index]
    elif dtype.startswith(("int", "uint")):
        for label, wnid in meant.items():
            if label.isascii() and label.isdigit():
                found[wnid].append(int(label))
    elif dtype in ("string", "large_string"):
        for wnid in wnids:
            found[wnid] = [
                text for text in _spellings(source, wnid) if meant.get(plain(text)) == wnid
            ]
    else:
        raise UsageError(
            f"{what}: label_column: {source.label_column!r} holds neither class labels nor "
            "strings nor whole numbers; name another"
        )
    if not any(found.values()):
        has = f"; it has {_some([str(name) for name in names])}" if isinstance(names, list) else ""
        _warn(what, f"no label of it means one of the classes{has}; say which in labels")
    return {wnid: values for wnid, values in found.items() if values}


def _ilsvrc_indices(
    source: HuggingfaceSource, wnids: Sequence[str], names: Sequence[object]
) -> dict[str, int]:
    """The classes' own indices, where the labels are ILSVRC's thousand in ILSVRC's order.

    Two of these thousand are a crane: there the index tells more than the name.
    """
    if len(names) != 1000:
        return {}
    thousand = [s for s in synsets().values() if s.ilsvrc_index is not None]
    same = (plain(str(names[s.ilsvrc_index or 0])) in usual(s.wnid) for s in thousand)
    if 2 * sum(same) < len(thousand):
        return {}
    own = {wnid: synset.ilsvrc_index for wnid in wnids if (synset := find(wnid))}
    return {w: index for w, index in own.items() if index is not None and w not in source.labels}


def _spellings(source: HuggingfaceSource, wnid: str) -> list[str]:
    """How a column of strings may write a class: /filter knows no other likeness than equality."""
    if wnid in source.labels:
        return [source.labels[wnid]]
    synset = find(wnid)
    texts = [wnid, *([*synset.names, ", ".join(synset.names)] if synset else [])]
    texts += [str(synset.ilsvrc_index)] if synset and synset.ilsvrc_index is not None else []
    texts += [text.lower() for text in texts]
    return list(dict.fromkeys([*texts, *(text.replace(" ", "_") for text in texts)]))


def _rows(source: HuggingfaceSource, viewer: Viewer, wnid: str, wanted: list[Value]) -> list[int]:
    """The indices of a class's rows, page by page and at most `limit`, in the dataset's order."""
    column = source.label_column.replace('"', '""')
    where = " OR ".join(f'"{column}"={_literal(value)}' for value in wanted)
    found: list[int] = []
    total = 1
    while len(found) < min(total, source.limit):
        length = min(PAGE, source.limit - len(found))
        page, total = viewer.rows(where, len(found), length)
        if not page and len(found) < total:
            raise DataError(
                f"{viewer.what}: class {wnid}: an empty page after {len(found)} of {total} rows; "
                "run it again later"
            )
        for index, cells in page[:length]:
            if not isinstance(cells, dict) or cells.get(source.label_column) not in wanted:
                viewer.schema("/filter")
            found.append(index)
    if total > len(found):
        _warn(viewer.what, f"class {wnid}: {len(found)} of {total} rows listed; raise its limit")
    return sorted(found)


def _literal(value: Value) -> str:
    return str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"


def _landing_url(source: HuggingfaceSource, row: int) -> str:
    if source.location != _HUB:
        return ""
    place = quote(f"{source.dataset}/viewer/{source.config}/{source.split}")
    return f"https://huggingface.co/datasets/{place}?row={row}"


def _some(names: Sequence[str]) -> str:
    """A few of a stranger's names, in one line."""
    shown = [repr(name)[:60] for name in names[:8]]
    return ", ".join([*shown, "..."] if len(names) > 8 else shown) or "none"


def _warn(what: str, words: str) -> None:
    print(f"warning: {what}: {words}", file=sys.stderr)
