"""The words that describe a dataset to people, shared by the card and croissant.json.

Not for figures: those are facts.py's.
"""

from allrounder.records import Status
from allrounder.split.facts import Facts

NAME = "imagenet-all-rounder"

REASONS = {
    Status.OK: "taken",
    Status.UNUSED: "not needed: the class was full before",
    Status.DUPLICATE: "the same bytes as one taken before in its class",
    Status.BAD_URL: "no URL that may be asked",
    Status.BLOCKED: "leads to a private address",
    Status.HTTP_ERROR: "refused or gone",
    Status.TIMEOUT: "no answer in time",
    Status.CONNECTION_ERROR: "no connection",
    Status.REDIRECT_ERROR: "redirected to nowhere",
    Status.TOO_LARGE: "a file beyond the bound",
    Status.TRUNCATED: "cut off",
    Status.EMPTY: "an empty file",
    Status.NOT_IMAGE: "no image",
    Status.OPTED_OUT: "its host says that it is not for such use (X-Robots-Tag)",
    Status.TOO_SMALL: "too few pixels",
    Status.TOO_MANY_PIXELS: "too many pixels",
    Status.PLACEHOLDER: "a picture that says the photo is gone",
    Status.KEPT: "in this dataset",
    Status.SURPLUS: "good, but the class was full",
    Status.CORRUPT: "does not decode to its end",
    Status.EXACT_DUPLICATE: "the same as a better one of its class",
    Status.NEAR_DUPLICATE: "nearly the same as a better one of its class",
    Status.CROSS_CLASS: "in two classes, so nobody knows whose it is",
    Status.LICENSE: "under a licence that was not asked for",
}
"""What each status says of a candidate or a photo."""

LIMITS = (
    "Labels are those of the sources; nobody has looked at every photo of this dataset.",
    "Copies are found by how they look: strong crops, mirror images and other angles of one scene "
    "may be left.",
    "Photos that can still be fetched are not a fair sample of those that were listed, nor are "
    "those of the world: ImageNet's come mostly from North America and Europe (Shankar et al., No "
    "Classification without Representation, 2017).",
    "People may be in the photos; faces are not blurred.",
    "Each photo has one label, also where it shows things of several classes.",
)

CITATIONS = (
    """@inproceedings{deng2009imagenet,
  title = {{ImageNet}: A large-scale hierarchical image database},
  author = {Deng, Jia and Dong, Wei and Socher, Richard and Li, Li-Jia and Li, Kai and Fei-Fei, Li},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition},
  pages = {248--255},
  year = {2009}
}""",
    """@article{everingham2010pascal,
  title = {The {Pascal} Visual Object Classes ({VOC}) Challenge},
  author = {Everingham, Mark and Van Gool, Luc and Williams, Christopher K. I. and Winn, John
            and Zisserman, Andrew},
  journal = {International Journal of Computer Vision},
  volume = {88},
  number = {2},
  pages = {303--338},
  year = {2010}
}""",
)


def summary(facts: Facts) -> str:
    """The dataset in a sentence."""
    sides = ", ".join(f"{count:,} {side}" for side, count in facts.splits.items())
    return (
        f"{facts.photos:,} photos of {len(facts.classes)} ImageNet classes "
        f"({sides}), each with the Pascal VOC label it stands for, if any."
    )


def citation(facts: Facts, version: str) -> str:
    """BibTeX for this very version, told by the first hex digits of its manifest's SHA-256."""
    return f"""@misc{{imagenet_all_rounder_{version},
  title = {{{NAME}: {facts.photos} photos of {len(facts.classes)} ImageNet classes}},
  note = {{Version {version} (SHA-256 of manifest.csv)}}
}}"""
