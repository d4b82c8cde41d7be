"""Ranks the kept photos of each class by how much they look like another class.

An ONNX model of the user's turns photos into embeddings. Nothing is dropped. Embeddings are rounded
to integers before they are compared, so the last bits of a CPU's arithmetic rarely decide.
"""

import importlib.util
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from allrounder.core.errors import UsageError
from allrounder.core.progress import progress
from allrounder.core.rows import CleanRow
from allrounder.core.tars import StoredBytes, tar_members
from allrounder.core.workers import worker_pool
from allrounder.params.schema import Network, Suspects
from allrounder.web.cache import local_or_cached_list
from allrounder.web.lists import ListClient

_NEAREST = 10  # photos of a class that a photo is compared with
_SCALE = 1024  # of rounded embeddings: their products are exact in 32-bit floats
_SIDE = 224  # pixels, if the model takes any size
_CHUNK = 100  # photos of a job
_PRODUCTS = 2**25  # that are in memory at once

Embeddings = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Likeness:
    """How much a photo looks more like another class than like its own, and which.

    `score` is the difference of the mean similarities to the nearest photos of either, in
    thousandths.
    """

    score: int
    other: int  # the class's number


def check_installed(rules: Suspects | None) -> None:
    """Raise UsageError if a model is to be used and onnxruntime is missing."""
    if rules and importlib.util.find_spec("onnxruntime") is None:
        raise UsageError(
            "clean.suspects: needs onnxruntime: pip install onnxruntime, or write suspects: null"
        )


def with_model_here(rules: Suspects, network: Network) -> Suspects:
    """The rules with the path of the model: a URL's is fetched once, into the cache of lists.

    Raises UsageError without onnxruntime or for what is no model, DataError for a model that
    cannot be had or has another hash.
    """
    check_installed(rules)
    what = f"clean.suspects.model {rules.model}"
    path = local_or_cached_list(rules.model, ListClient(network), what, rules.sha256)
    _session(str(path))
    return rules.model_copy(update={"model": str(path)})


def add_suspects(
    rows: Mapping[str, Sequence[CleanRow]], out: Path, rules: Suspects
) -> dict[str, list[CleanRow]]:
    """The rows of all classes, with scores for the kept photos, whose tars are in `out`.

    `suspected_class` is set for the share of each class with the highest scores. Raises UsageError
    for a model that cannot be used.
    """
    keys = list(rows)
    stored = {key: dict(tar_members(out / f"{key}.tar")) for key in keys}
    kept = [(key, row.file) for key in keys for row in rows[key] if row.file]
    embeddings = _embed([stored[key][file] for key, file in kept], rules)
    numbers = {key: at for at, key in enumerate(keys)}
    found = likenesses(embeddings, [numbers[key] for key, _ in kept])
    by_file = {file: one for (_, file), one in zip(kept, found, strict=bool(found))}
    return {key: _scored(rows[key], by_file, keys, rules.share) for key in keys}


def _scored(
    rows: Sequence[CleanRow], found: Mapping[str, Likeness], keys: Sequence[str], share: float
) -> list[CleanRow]:
    files = sorted((row.file for row in rows if row.file in found), key=lambda f: -found[f].score)
    first = {*files[: ceil(share * len(files))]}
    scored = []
    for row in rows:
        if one := found.get(row.file):
            like = keys[one.other] if row.file in first else ""
            row = replace(row, suspect=one.score, suspected_class=like)
        scored.append(row)
    return scored


# Embeddings


def _embed(photos: Sequence[StoredBytes], rules: Suspects) -> Embeddings:
    """A row for each photo, in order."""
    jobs = [(photos[at : at + _CHUNK], rules) for at in range(0, len(photos), _CHUNK)]
    rows: list[list[NDArray[np.float32]]] = []
    with (
        worker_pool(max(len(jobs), 1)) as pool,
        progress(total=len(photos), unit=" embeddings") as bar,
    ):
        for part in pool.map(_embed_some, jobs):
            rows.append(part)
            bar.update(len(part))
    return np.array([row for part in rows for row in part], np.float32)


def _embed_some(job: tuple[Sequence[StoredBytes], Suspects]) -> list[NDArray[np.float32]]:
    photos, rules = job
    session = _session(rules.model)
    try:
        return [_embedding(session, photo.read(), rules) for photo in photos]
    except Exception as error:  # onnxruntime's errors have no common base
        raise _unusable(rules.model, error) from None


@cache
def _session(path: str) -> Any:
    """The model in this process: one thread, so the order of additions is fixed."""
    import onnxruntime  # an extra; `check_installed` says how to get it

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise _unusable(path, error) from None


def _unusable(path: str, error: Exception) -> UsageError:
    why = " ".join(str(error).split())[:200]
    return UsageError(
        f"clean.suspects.model: {path} is no ONNX model from one photo (1 x 3 x height x "
        f"width) to an embedding: {why}; name another model, or write suspects: null"
    )


def _embedding(session: Any, body: bytes, rules: Suspects) -> NDArray[np.float32]:
    """The model's first output for a photo, averaged over places, of length 1."""
    wanted = session.get_inputs()[0]
    height, width = (side if isinstance(side, int) else _SIDE for side in wanted.shape[2:])
    with Image.open(io.BytesIO(body), formats=("JPEG",)) as image:
        small = image.convert("RGB").resize((width, height), Image.Resampling.BICUBIC)
    pixels = np.asarray(small, np.float32) / np.float32(255)
    levels = (pixels - np.array(rules.mean, np.float32)) / np.array(rules.std, np.float32)
    output = session.run(None, {wanted.name: levels.transpose(2, 0, 1)[None]})[0][0]
    places = {2: (0,), 3: (1, 2)}.get(output.ndim, ())  # of tokens x features, features x h x w
    flat = output.astype(np.float64).mean(axis=places)
    return np.asarray(flat / max(float(np.linalg.norm(flat)), 1e-9), np.float32)


# Ranking


def likenesses(embeddings: Embeddings, classes: Sequence[int]) -> list[Likeness]:
    """For each photo the other class that it is most like, by its nearest photos there.

    `embeddings` is (photos, features), each row of length 1; `classes` has the photos' classes.
    Empty if there are fewer than two classes.
    """
    labels, numbers = np.array(classes), sorted({*classes})
    if len(numbers) < 2:
        return []
    whole = np.rint(embeddings * np.float32(_SCALE))
    columns = {number: np.flatnonzero(labels == number) for number in numbers}
    found: list[Likeness] = []
    block = max(1, _PRODUCTS // len(labels))
    for start in range(0, len(labels), block):
        own = labels[start : start + block]
        products = whole[start : start + block] @ whole.T
        products[np.arange(len(own)), start + np.arange(len(own))] = -np.inf  # itself
        means = np.stack([_nearest(products[:, columns[number]]) for number in numbers], axis=1)
        at = np.searchsorted(numbers, own)
        rows = np.arange(len(own))
        mine = means[rows, at].copy()
        means[rows, at] = -np.inf
        other = means.argmax(axis=1)
        scores = np.rint((means[rows, other] - mine) * 1000 / _SCALE**2).astype(int)
        found += [
            Likeness(score, numbers[which])
            for score, which in zip(scores.tolist(), other.tolist(), strict=True)
        ]
    return found


def _nearest(products: NDArray[np.float32]) -> NDArray[np.float64]:
    """The mean of each row's largest values; a photo itself does not count."""
    count = min(_NEAREST, products.shape[1])
    top = np.partition(products, products.shape[1] - count, axis=1)[:, -count:].astype(np.float64)
    top[np.isinf(top)] = np.nan
    sums, sizes = np.nansum(top, axis=1), np.isfinite(top).sum(axis=1)
    return np.asarray(sums / np.maximum(sizes, 1))
