"""Licences: the normal form, names in the params, and photos removed for their licence."""

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from allrounder.clean.columns import Origin
from allrounder.clean.fingerprints import fingerprint
from allrounder.clean.preview import has_more
from allrounder.core import licences
from allrounder.core.candidates import photo_origins
from allrounder.core.errors import UsageError
from allrounder.core.licences import OTHERS, UNKNOWN, address, listed, normal, title
from allrounder.core.rows import Candidate, CleanRow, RawRow, Status
from allrounder.core.tables import read_csv, write_csv
from allrounder.params.loading import load_params
from allrounder.params.schema import Clean
from curating import Item, curate
from project import Project

ROOT = Path(__file__).resolve().parent.parent

SAME = {
    "cc-by-2.0": [
        "https://creativecommons.org/licenses/by/2.0/",
        "http://creativecommons.org/licenses/by/2.0",
        "http://www.creativecommons.org/licenses/by/2.0/deed.en",
        "https://creativecommons.org/licenses/by/2.0/legalcode",
        "https://creativecommons.org/licenses/by/2.0/deed",
        "HTTPS://creativecommons.org/licenses/BY/2.0/?ref=x",
        *("CC BY 2.0", "cc-by-2.0", "CC-BY-2.0", " cc by  2.0 ", "CC_BY_2.0", "by 2.0"),
        "Creative Commons Attribution 2.0 Generic",
    ],
    "cc-by-4.0": [
        *("CC_BY_4_0", "CC BY 4.0 Deed", "CC-BY v4.0", "CC BY 4.0 International", "cc-by 4-0"),
        "Attribution 4.0 International (CC BY 4.0)",
        "Creative Commons Attribution 4.0 International Public License",
        "CC BY 4.0 Deed | Attribution 4.0 International | Creative Commons",
    ],
    "cc-by-nc-sa-4.0": [
        "https://creativecommons.org/licenses/by-nc-sa/4.0/deed.de",
        "Attribution-NonCommercial-ShareAlike 4.0 International License",
        *("CC BY-NC-SA 4.0", "CC_BY_NC_SA_4_0"),
        "Attribution-NonCommercial-ShareAlike 4.0 International (CC BY-NC-SA 4.0) Deed",
    ],
    "cc-by-nc-nd-1.0": ["https://creativecommons.org/licenses/by-nd-nc/1.0/", "CC BY-NC-ND 1.0"],
    "cc-by-sa-2.0-uk": ["https://creativecommons.org/licenses/by-sa/2.0/uk/", "CC BY-SA 2.0 UK"],
    "cc0-1.0": [
        "https://creativecommons.org/publicdomain/zero/1.0/",
        *("CC0", "cc0 1.0", "CC-0", "CC Zero", "CC0 1.0 Universal", "CC0_1_0"),
        "CC0 1.0 Universal (CC0 1.0) Public Domain Dedication",
    ],
    "cc-pdm-1.0": ["https://creativecommons.org/publicdomain/mark/1.0/", "Public Domain Mark 1.0"],
    "//example.org/terms": ["https://example.org/terms/", "http://EXAMPLE.org/terms#top"],
    UNKNOWN: ["", "  ", "Unknown"],
    "mit": ["MIT"],
}


@pytest.mark.parametrize(("form", "text"), [(form, t) for form in SAME for t in SAME[form]])
def test_spellings_of_one_licence_are_the_same(form: str, text: str) -> None:
    assert normal(text) == form


OTHER = ("CC BY", "CC BY 2", "CC BY-SA 2.0", "CC BY 2.5", "CC BY-NC 2.0", "not CC BY 2.0")
DOUBTFUL = ("CC BY 2.0 (CC BY-NC 2.0)", "CC BY 2.0 (text only)", "(c) CC BY 2.0", "CC BY 2.0.1")
LOOKALIKES = (
    "https://creativecommons.org.evil.example/licenses/by/2.0/",
    "https://evil.example/creativecommons.org/licenses/by/2.0/",
    "https://creativecommons.org/licenses/by/2.0/../../by-nc/2.0/",
    "https://creativecommons.org/licenses/bye/2.0/",
)


@pytest.mark.parametrize("text", [*OTHER, *DOUBTFUL, *LOOKALIKES])
def test_what_only_looks_like_a_licence_is_another(text: str) -> None:
    assert normal(text) != "cc-by-2.0"


TERMS, VERSIONS = licences._TERMS, licences._VERSIONS
FORMS = st.one_of(
    st.builds(
        lambda terms, version, port: f"cc-{terms}-{version}{port}",
        st.sampled_from([terms for terms in TERMS if terms != "nd-nc"]),
        st.sampled_from(VERSIONS),
        st.sampled_from(["", "-uk", "-igo", "-scotland"]),
    ),
    st.sampled_from(["cc0-1.0", "cc-pdm-1.0"]),
)


@given(form=FORMS, scheme=st.sampled_from(["http", "https"]), tail=st.sampled_from(["", "deed.fr"]))
def test_a_normal_form_its_url_and_its_title_mean_the_same(
    form: str, scheme: str, tail: str
) -> None:
    url = address(form)
    assert url
    assert normal(form) == normal(url) == normal(title(form)) == form
    assert normal(url.replace("https", scheme).rstrip("/") + ("/" + tail).rstrip("/")) == form
    assert listed(form) == listed(url) == form


@given(text=st.one_of(st.text(max_size=80), st.text("cbyn0ads-./:htp 1234", max_size=40)))
def test_a_normal_form_is_its_own_and_never_empty(text: str) -> None:
    assert normal(normal(text)) == normal(text) != ""


MISTAKES = {
    "[cc-by-2.O]": "'cc-by-2.O' is not a known licence. Did you mean cc-by-2",
    "[cc-by]": "'cc-by' has no version; list each that you accept, e.g. cc-by-4.0",
    "[mti]": "Did you mean mit",
    "['https://creativecommons.org/licenses/bye/2.0/']": "not a known licence.*Write a URL",
    "['']": "an empty licence; write unknown",
    "[]": "at least 1",
    "cc-by-2.0": "list",
}


@pytest.mark.parametrize("value", MISTAKES)
def test_a_misspelled_licence_in_params_is_reported_with_its_line(
    tmp_path: Path, value: str
) -> None:
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    (tmp_path / "params.yaml").write_text(text.replace("licenses: null", f"licenses: {value}"))
    line = text[: text.index("licenses: null")].count("\n") + 1
    with pytest.raises(UsageError) as caught:
        load_params(tmp_path / "params.yaml")
    assert re.search(rf"line {line}: clean\.licenses: .*{MISTAKES[value]}", str(caught.value))


@pytest.mark.parametrize("name", [*OTHERS, "CC0", "unknown", "https://example.org/terms"])
def test_other_names_and_urls_may_be_listed(name: str) -> None:
    assert Clean(licenses=[name]).licenses == [name]


def item(wnid: str, number: int, picture: int, refused: str = "", pixels: int = 100) -> Item:
    """A photo; those of one `picture` look just the same."""
    cells = np.random.default_rng(picture).integers(0, 255, (6, 8), dtype=np.uint8)
    seen = fingerprint(Image.fromarray(cells).resize((120, 90), Image.Resampling.BICUBIC))
    own = [Origin(f"photos/{wnid}/{number}")]
    sha256, image_id = f"{number:064x}", f"{wnid}_{number}"
    return Item(wnid, image_id, sha256, pixels, own, refused=refused, fingerprint=seen)


def statuses(items: list[Item], **rules: str) -> list[Status]:
    return [judged.status for judged in curate(items, 10, Clean.model_validate(rules))]


def test_a_refused_photo_does_not_remove_an_accepted_duplicate() -> None:
    refused = item("n1", 1, 1, "cc-by-nc-2.0", pixels=900)
    # The refused one is the first of its look, with which alone the others are compared.
    items = [refused, item("n1", 2, 1, pixels=100), item("n1", 3, 1, pixels=400)]
    assert statuses(items) == [Status.LICENSE, Status.NEAR_DUPLICATE, Status.KEPT]
    assert statuses([replace(one, refused="") for one in items]) == [
        *(Status.KEPT, Status.NEAR_DUPLICATE, Status.NEAR_DUPLICATE)
    ]


def test_a_refused_photo_still_counts_for_cross_class() -> None:
    items = [item("n1", 1, 1, "unknown"), item("n2", 2, 1), item("n2", 3, 2)]
    assert statuses(items) == [Status.CROSS_CLASS, Status.CROSS_CLASS, Status.KEPT]
    assert statuses(items, cross_class="first") == [
        *(Status.LICENSE, Status.CROSS_CLASS, Status.KEPT)
    ]


def test_refused_photos_still_count_for_placeholders() -> None:
    print_ = item("n1", 1, 1).fingerprint
    assert print_
    flat = replace(print_, flat=0.9)
    items = [replace(item(f"n{n}", n, 1, "x" if n else ""), fingerprint=flat) for n in range(3)]
    assert statuses(items) == [Status.PLACEHOLDER] * 3


def test_a_reason_holds_a_bounded_line_for_any_licence() -> None:
    judged = curate([item("n1", 1, 1, "free\n" * 99)], 10, Clean())[0]
    assert len(judged.detail) <= 80
    assert judged.detail.isprintable()


def test_an_accepted_url_of_the_same_bytes_is_preferred(tmp_path: Path) -> None:
    urls, raw = tmp_path / "urls", tmp_path / "raw"
    urls.mkdir()
    raw.mkdir()
    listed_photos = [
        Candidate("a", "http://h/a"),
        Candidate("b", "http://h/b", "CC BY-NC 2.0"),
        Candidate("c", "http://h/c", "CC BY 2.0", "Ann"),
        Candidate("d", "http://h/d", "CC0", "Bob"),
        Candidate("t", "http://h/t.tar", "CC BY 2.0"),
    ]
    rows = [RawRow("a", "http://h/a", Status.OK, sha256="1")]
    rows += [RawRow(n, f"http://h/{n}", Status.DUPLICATE, sha256="1") for n in ("b", "c", "d")]
    rows += [RawRow("m", "http://h/t.tar#m.jpg", Status.OK, sha256="2")]
    write_csv(urls / "n1.csv", Candidate, listed_photos)
    write_csv(raw / "n1.csv", RawRow, rows)
    assert photo_origins(urls, raw, "n1")["a"] == (rows[0], listed_photos[0])
    assert photo_origins(urls, raw, "n1")["m"] == (rows[4], listed_photos[4])
    found = photo_origins(urls, raw, "n1", {"cc-by-2.0", "cc0-1.0"})
    assert found["a"] == (rows[2], listed_photos[2])
    assert photo_origins(urls, raw, "n1", {UNKNOWN})["a"] == (rows[0], listed_photos[0])


@pytest.fixture
def licensed(clone: Project) -> Project:
    """A project whose candidates have licences: of four in turn NC, BY, BY as a name, none."""
    clone.edit(classes={"n02109961": "dog", "n02917067": "train"}, per_class=20, min_per_class=3)
    clone.stage("fetch_urls")
    head = "https://creativecommons.org/licenses"
    given_by = (f"{head}/by-nc/2.0/", f"{head}/by/2.0/", "CC BY 2.0", "")
    for path in sorted((clone.folder / "data/urls").glob("*.csv")):
        rows = list(read_csv(path, Candidate))
        rows = [replace(row, license=given_by[n % 4]) for n, row in enumerate(rows)]
        write_csv(path, Candidate, rows)
    clone.stage("download")
    return clone


def licences_and_statuses(project: Project) -> dict[str, tuple[str, Status]]:
    """Licence and status of each photo of raw, by image id."""
    found = {}
    accepted = licences.accepted(load_params(project.folder / "params.yaml").clean.licenses)
    for path in sorted((project.folder / "data/clean").glob("*[0-9].csv")):
        folders = (project.folder / "data/urls", project.folder / "data/raw")
        known = photo_origins(*folders, path.stem, accepted)
        for row in read_csv(path, CleanRow):
            found[row.image_id] = (known[row.image_id][1].license, row.status)
    return found


def test_the_clean_stage_keeps_only_what_may_be_used(licensed: Project) -> None:
    licensed.stage("clean")
    everything = licences_and_statuses(licensed)
    assert not any(status is Status.LICENSE for _, status in everything.values())
    for names, kept in (
        (["cc-by-2.0"], {"cc-by-2.0"}),
        (["CC BY-NC 2.0", "unknown"], {"cc-by-nc-2.0", "unknown"}),
    ):
        licensed.edit(clean={"licenses": names})
        licensed.stage("clean")
        for image_id, (licence, status) in licences_and_statuses(licensed).items():
            if normal(licence) not in kept:
                assert status is not Status.KEPT
                assert (status is Status.LICENSE) == (everything[image_id][1] in _GOOD)
            else:
                assert status is not Status.LICENSE
        assert {
            normal(licence)
            for licence, s in licences_and_statuses(licensed).values()
            if s == "kept"
        } == kept


_GOOD = {Status.KEPT, Status.SURPLUS, Status.NEAR_DUPLICATE, Status.EXACT_DUPLICATE}


def test_a_class_without_enough_of_them_fails_with_the_reason(licensed: Project) -> None:
    licensed.edit(clean={"licenses": ["cc0-1.0"]})
    said = licensed.stage("clean", expect=1)
    words = r"n02109961 keeps 0 of \d+ \(\d+ license.*widen clean\."
    assert re.search(words, said)
    assert (
        Counter(status for _, status in licences_and_statuses(licensed).values())[Status.KEPT] == 0
    )


@pytest.mark.parametrize(
    ("names", "quota", "more"),
    [
        (["cc-by-2.0"], 12, True),
        (["mit"], 12, False),  # none of those left would help
        (None, 12, True),
        (None, 13, False),  # those left cannot be requested: the class is not full
    ],
)
def test_a_class_has_more_if_candidates_with_a_good_licence_are_left(
    tmp_path: Path, names: list[str] | None, quota: int, more: bool
) -> None:
    """Of 40 candidates 12 were taken; every other one is BY."""
    photos = [Candidate(f"{n}", f"http://h/{n}", "CC BY 2.0" * (n % 2)) for n in range(40)]
    results = [Status.OK] * 12 + [Status.UNUSED] * 28
    raw = [
        RawRow(one.image_id, one.url, status) for one, status in zip(photos, results, strict=True)
    ]
    write_csv(tmp_path / "n1.csv", Candidate, photos)
    (tmp_path / "raw").mkdir()
    write_csv(tmp_path / "raw/n1.csv", RawRow, raw)
    params = load_params(ROOT / "params.yaml")
    clean = params.clean.model_copy(update={"licenses": names})
    wanted = params.model_copy(update={"clean": clean})
    assert has_more("n1", quota, wanted, tmp_path, tmp_path / "raw") is more
