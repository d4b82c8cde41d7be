"""Writes the dataset card, README.md: YAML for the Hugging Face hub, then text and tables.

Texts from the web (hosts, licences) are escaped. The same dataset gives the same card.
"""

import re
from bisect import bisect
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from allrounder.core import licences
from allrounder.core.files import replace_text
from allrounder.core.rows import Match
from allrounder.core.text import one_line
from allrounder.params.schema import Params
from allrounder.split.facts import REASONS, TEMPLATES, DatasetFacts, citations, limits, summary

FILE = "README.md"
LONGEST = 80
"""Characters of a text from the web, at most."""

_HUB_CC = (
    "cc0-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0",
    "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-3.0",
    "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0",
)  # fmt: skip
"""Creative Commons licences that the hub has a name for; see licences.OTHERS for the source."""
_PATTERNS = {"folders": "**", "webdataset": "*.tar", "parquet": "*.parquet"}
_HUB_SPLITS = {"val": "validation"}


def write(out: Path, params: Params, facts: DatasetFacts, version: str, attribution: str) -> None:
    """Write README.md into `out`; `attribution` is the file of the credits, or ''."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # the card is Markdown: see `escaped`
    )
    environment.filters |= {"md": escaped, "n": "{:,}".format}
    text = environment.get_template("card.md.j2").render(
        dataset=params.dataset,
        id="id" if facts.has_own else "wnid",
        own_licence=_own_licence(params),
        front=yaml.safe_dump(front_matter(params, facts), sort_keys=False, allow_unicode=True),
        facts=facts,
        clean=params.clean,
        kfold=params.split.kfold,
        layout=params.split.layout,
        accepted=[licences.title(licences.listed(one)) for one in params.clean.licenses or ()],
        summary=summary(facts),
        licences=[(licences.title(f), licences.address(f), n) for f, n in facts.licences.items()],
        attribution=attribution,
        reasons=REASONS,
        matches=[match for match in Match if match],
        limits=limits(facts),
        citations=citations(facts, version),
    )
    replace_text(out / FILE, text)


def escaped(text: str) -> str:
    """A text from the web as one line of Markdown without markup, cut at LONGEST.

    Source: CommonMark 0.31, 2.4: any ASCII punctuation may be escaped by a backslash.
    """
    plain = one_line(text)
    plain = plain if len(plain) <= LONGEST else plain[: LONGEST - 3] + "..."
    return re.sub(r"([\\`*_{}\[\]<>()#|~&!$:@^])", r"\\\1", plain)


def front_matter(params: Params, facts: DatasetFacts) -> dict[str, Any]:
    """The metadata for the hub and `datasets.load_dataset`.

    Source: https://github.com/huggingface/hub-docs/blob/main/datasetcard.md
    """
    configs: list[dict[str, Any]] = []
    infos: list[dict[str, Any]] = []
    for config, splits in _configs(facts, params.split.kfold).items():
        chosen = {} if configs else {"default": True}
        pattern = _PATTERNS[params.split.layout]
        labels = {"drop_labels": False} if params.split.layout == "folders" else {}
        files = [
            {"split": split, "path": f"{place}/{pattern}"} for split, (place, *_) in splits.items()
        ]
        configs.append({"config_name": config} | chosen | labels | {"data_files": files})
        counts = [
            {"name": split, "num_bytes": size, "num_examples": count}
            for split, (_, count, size) in splits.items()
        ]
        infos.append({"config_name": config, "features": _features(facts), "splits": counts})
    return {
        "pretty_name": params.dataset.name,
        **_hub_licence(params, facts),
        "task_categories": ["image-classification"],
        "task_ids": ["multi-class-image-classification"],
        "size_categories": [size_category(facts.photos)],
        "annotations_creators": ["found"],
        "tags": ["imagenet"] * facts.has_imagenet + ["pascal-voc"] * facts.has_voc,
        "configs": configs,
        **({"dataset_info": infos} if params.split.layout != "webdataset" else {}),
    }


def _features(facts: DatasetFacts) -> list[dict[str, Any]]:
    """The columns; a new object each time, or YAML would write an alias."""
    names = sorted({one.folder for one in facts.classes})
    label = {"class_label": {"names": {str(index): name for index, name in enumerate(names)}}}
    return [{"name": "image", "dtype": "image"}, {"name": "label", "dtype": label}]


def size_category(photos: int) -> str:
    """The hub's name for a number of photos."""
    names = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B")
    return names[bisect([10**power for power in range(3, 9)], photos)]


def _configs(facts: DatasetFacts, kfold: int | None) -> dict[str, dict[str, tuple[str, int, int]]]:
    """For each config its splits on the hub: folder, number of photos, bytes."""
    own = {name: (count, facts.tally.bytes[name]) for name, count in facts.total.splits.items()}
    if not kfold:
        return {"default": {_HUB_SPLITS.get(name, name): (name, *n) for name, n in own.items()}}
    total = sum(facts.tally.bytes.values())
    return {
        fold: {
            "train": (f"{fold}/train", facts.photos - count, total - size),
            "validation": (f"{fold}/val", count, size),
        }
        for fold, (count, size) in own.items()
    }


def _own_licence(params: Params) -> tuple[str, str]:
    """Title and address of the licence that the params give to the dataset, or ''."""
    form = licences.normal(params.dataset.license)
    title = licences.title(form) if licences.address(form) else params.dataset.license
    return title, licences.address(form)


def _hub_licence(params: Params, facts: DatasetFacts) -> dict[str, Any]:
    """All licences by the hub's names; `other` for those without one."""
    named = {*_HUB_CC, *licences.OTHERS, licences.UNKNOWN}
    own = params.dataset.license
    forms = [licences.normal(own)] if own else list(facts.licences)
    found = list(dict.fromkeys(form if form in named else "other" for form in forms))
    other = {"license_name": own or "by-photo"} if "other" in found else {}
    return {"license": found[0] if len(found) == 1 else found} | other
