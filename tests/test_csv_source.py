"""Source csv: every format gives the same candidates; what cannot be read is said with its line."""

import csv
import gzip
import io
import json
import re
import sys
import tracemalloc
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet
from pydantic import TypeAdapter

from allrounder.core.errors import DataError, UsageError
from allrounder.core.rows import Candidate
from allrounder.core.tables import read_csv, write_csv
from allrounder.fetch_urls import listing
from allrounder.params.classes import read_classes
from allrounder.params.loading import load_params
from allrounder.params.schema import Network
from allrounder.params.sources import Source
from allrounder.web.lists import ListClient
from loopback import Handler, Loopback
from project import Project
from webfaults import archives
from webfaults.archives import make_tar

HUSKY, CAT = "n02109961", "n02123394"
SAMPLE = Path(__file__).resolve().parent.parent / "data" / "sample"
ROWS = [
    {"url": "http://h.example/1.jpg", "label": HUSKY, "id": "one", "author": "A, B"},
    {"url": "http://h.example/2.jpg", "label": "husky", "id": "two", "author": 'C "D"\nE'},
    {"url": "http://h.example/3.jpg", "label": "283", "id": "three", "author": ""},
    {"url": "http://h.example/4.jpg", "label": "zebra", "id": "four", "author": "F"},
    {"url": "http://h.example/5.jpg", "label": "Persian_cat", "id": "five", "author": "G"},
]
FORMS = ("csv", "tsv", "jsonl", "parquet")
Row = dict[str, str]
Answer = tuple[int, dict[str, str], bytes]


def packed(rows: Sequence[Row], form: str, names: Sequence[str] = ()) -> bytes:
    """A table in one of the formats."""
    names = names or list(rows[0])
    if form == "parquet":
        out = io.BytesIO()
        columns = {name: [row[name] for row in rows] for name in names}
        kinds = pyarrow.schema([(name, pyarrow.string()) for name in names])
        parquet.write_table(pyarrow.table(columns, kinds), out, row_group_size=2)
        return out.getvalue()
    if form == "jsonl":
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    text = io.StringIO(newline="")
    writer = csv.DictWriter(
        text, names, delimiter="," if form == "csv" else "\t", quoting=csv.QUOTE_ALL
    )
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def listed(
    location: object, wnids: Sequence[str] = (HUSKY, CAT), **more: Any
) -> dict[str, list[Candidate]]:
    source = TypeAdapter[Source](Source).validate_python(
        {"kind": "csv", "location": str(location)} | more
    )
    return {
        key: list(found)
        for key, found in listing.list_classes(
            [source],
            read_classes(dict.fromkeys(wnids)),
            ListClient(Network(tries=2, total_timeout=30)),
        ).items()
    }


def written(tmp_path: Path, name: str, body: bytes | str) -> Path:
    path = tmp_path / name
    path.write_bytes(body if isinstance(body, bytes) else body.encode())
    return path


@pytest.mark.parametrize("form", FORMS)
def test_a_table_is_read_in_its_order(tmp_path: Path, form: str) -> None:
    found = listed(written(tmp_path, f"list.{form}", packed(ROWS, form)))
    assert [(c.image_id, c.url[-5:], c.author) for c in found[HUSKY]] == [
        ("one", "1.jpg", "A, B"),
        ("two", "2.jpg", 'C "D" E'),
    ]
    assert [c.image_id for c in found[CAT]] == ["three", "five"]


@pytest.mark.parametrize("form", FORMS)
def test_what_is_packed_is_unpacked(tmp_path: Path, form: str) -> None:
    body = packed(ROWS, form)
    plain = listed(written(tmp_path, f"list.{form}", body))
    assert listed(written(tmp_path, f"l.{form}.gz", gzip.compress(body))) == plain
    tar = gzip.compress(make_tar([archives.plain("list", body)]))
    assert listed(written(tmp_path, f"l.{form}.tgz", tar)) == plain
    assert listed(written(tmp_path, f"l.{form}.tar.gz", tar)) == plain
    with zipfile.ZipFile(tmp_path / f"l.{form}.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("list", body)
    assert listed(tmp_path / f"l.{form}.zip") == plain


def test_a_row_may_have_keys_that_the_first_lacks(tmp_path: Path) -> None:
    rows = [{"url": "http://h/1", "label": HUSKY}, {"url": "http://h/2", "label": HUSKY}]
    rows[1] |= {"license": "CC0", "title": "On ice"}
    found = listed(written(tmp_path, "l.jsonl", packed(rows, "jsonl")), [HUSKY])[HUSKY]
    assert [(c.license, c.title) for c in found] == [("", ""), ("CC0", "On ice")]


_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_url = st.one_of(st.just(""), _text, _text.map("http://h.example/".__add__))
_label = st.sampled_from([HUSKY, " husky", "EskImo_dog", "248", CAT, "Persian cat", "zebra", ""])
_row = st.fixed_dictionaries(
    {"url": _url, "label": _label, "id": _text, "license": _text, "title": _text}
)


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(_row, min_size=1, max_size=6))
def test_every_format_gives_the_same_candidates(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Row]
) -> None:
    rows = [{"url": "http://h/", "label": w, "id": "", "license": "", "title": ""}
            for w in (HUSKY, CAT)] + rows  # fmt: skip
    folder = tmp_path_factory.mktemp("lists")
    found = [listed(written(folder, f"list.{form}", packed(rows, form))) for form in FORMS]
    assert found[1:] == found[:1] * 3
    for wnid, candidates in found[0].items():  # and the stages' own files can hold them
        write_csv(folder / f"{wnid}.csv", Candidate, candidates)
        assert list(read_csv(folder / f"{wnid}.csv", Candidate)) == candidates


def test_bom_crlf_blank_lines_and_quoted_newlines(tmp_path: Path) -> None:
    text = f'\ufeffurl,label,author\r\n\r\nhttp://h/1,{HUSKY},"a\r\nb"\r\nhttp://h/2,{CAT},c\r\n'
    found = listed(written(tmp_path, "list.csv", text))
    assert found[HUSKY][0].author == "a b"
    assert found[CAT][0].url == "http://h/2"


def test_texts_may_be_latin_1(tmp_path: Path) -> None:
    body = f"url,label,author\nhttp://h/Jos\xe9,{CAT},Jos\xe9 N\xfa\xf1ez\n"
    found = listed(written(tmp_path, "l.csv", body.encode("latin-1")), [CAT])[CAT][0]
    assert (found.url, found.author) == ("http://h/José", "José Núñez")


@pytest.mark.parametrize(
    ("encoding", "named"),
    [("utf-16", None), ("utf-16-le", None), ("utf-16-be", None), ("utf-8-sig", None)]
    + [(name, name) for name in ("latin-1", "cp1250", "utf-16", "utf-32", "shift_jis", "utf-8")],
)
def test_encodings_are_detected_or_named(tmp_path: Path, encoding: str, named: str | None) -> None:
    name = {"shift_jis": "猫", "cp1250": "Jiří"}.get(encoding, "José")
    body = f'url,label,author\nhttp://h/{name}.jpg,{CAT},"{name}"\n'.encode(encoding)
    found = listed(written(tmp_path, "l.csv", body), [CAT], encoding=named)[CAT][0]
    assert (found.url, found.author) == (f"http://h/{name}.jpg", name)


def test_a_wrong_encoding_is_reported(tmp_path: Path) -> None:
    path = written(tmp_path, "l.csv", f"url,label\nhttp://h/\xe9,{CAT}\n".encode("latin-1"))
    with pytest.raises(DataError, match="after line 0: is not ascii; correct its encoding"):
        listed(path, [CAT], encoding="ascii")


def test_a_table_may_have_no_header_and_any_delimiter(tmp_path: Path) -> None:
    path = written(tmp_path, "l.tsv", f"a husky\thttp://h/1\n{CAT}\thttp://h/2\n")
    assert [c.url for c in listed(path, [CAT], columns=["label", "url"])[CAT]] == ["http://h/2"]
    body = f"url;label;title\nhttp://h/1;{CAT};a\\;b\\\\c\n"
    found = listed(written(tmp_path, "l.csv", body), [CAT], delimiter=";", escape="\\")
    assert found[CAT][0].title == "a;b\\c"


def test_all_rows_may_be_of_one_class(tmp_path: Path) -> None:
    path = written(tmp_path, "l.csv", f"url,label\nhttp://h/1,a cat\nhttp://h/2,{HUSKY}\n")
    other = written(tmp_path, "other.csv", f"url,label\nhttp://h/3,{HUSKY}\n")
    assert len(listed(path, [CAT], wnid=CAT)[CAT]) == 2
    with pytest.raises(DataError, match="lists no photo for any class"):
        listed(other, [HUSKY], wnid=CAT)


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_keys_within_keys_and_lists_of_labels(tmp_path: Path, form: str) -> None:
    rows: list[dict[str, Any]] = [
        {"image": {"url": "http://h/1", "by": "A"}, "boxes": [{"name": "husky"}, {"name": CAT}]},
        {"image": {"url": "http://h/2", "by": "B"}, "boxes": [{"name": "zebra"}, {"name": CAT}]},
        {"image": {"url": "http://h/3", "by": "C"}, "boxes": []},
        {"image": None, "boxes": None},
    ]
    path = tmp_path / f"l.{form}"
    if form == "parquet":
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = listed(path, url="image.url", label="boxes.name", author="image.by")
    assert [(c.url[-1], c.author) for c in found[HUSKY]] == [("1", "A")]
    assert [(c.url[-1], c.author) for c in found[CAT]] == [("1", "A"), ("2", "B")]
    with pytest.raises(UsageError, match=r"title: it has no column 'about\.title', but 'image'"):
        listed(path, url="image.url", label="boxes.name", title="about.title")


def test_a_cell_may_hold_many_labels(tmp_path: Path) -> None:
    path = written(tmp_path, "l.csv", f"url,label\nhttp://h/1,dog|husky|{CAT}|husky\n")
    found = listed(path, label_separator="|")
    assert [len(found[wnid]) for wnid in (HUSKY, CAT)] == [1, 1]
    path = written(tmp_path, "l.tsv", f'url\tlabel\nhttp://h/1\t["dog", "{HUSKY}", 283]\n')
    assert listed(path) == found


def test_a_table_in_parts_is_read_in_their_order(
    tmp_path: Path, web: tuple[str, dict[str, Answer]]
) -> None:
    base, answers = web
    for number in (8, 9, 10):
        body = f"url,label\n{number}.jpg,{CAT}\n".encode()
        written(tmp_path, f"p{number:02}.csv", body)
        answers[f"/{number:02}/p.csv"] = (200, {}, body)
    found = listed(tmp_path / "p{08..10}.csv", [CAT])[CAT]
    assert [c.url for c in found] == ["8.jpg", "9.jpg", "10.jpg"]
    found = listed(f"{base}/{{08..10}}/p.csv", [CAT])[CAT]
    assert [c.url.removeprefix(base) for c in found] == ["/08/8.jpg", "/09/9.jpg", "/10/10.jpg"]
    with pytest.raises(DataError, match=re.escape(f"csv {tmp_path}/p11.csv: no such file")):
        listed(tmp_path / "p{10..11}.csv", [CAT])


def test_the_sources_in_the_documentation_are_valid() -> None:
    page = (SAMPLE.parent.parent / "docs" / "sources.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```yaml\n(sources:.*?)^```$", page, re.M | re.S)
    assert len(blocks) > 3
    for block in blocks:
        TypeAdapter(list[Source]).validate_python(yaml.safe_load(block)["sources"])


def test_tsv_has_quotes_only_if_it_is_asked_for(tmp_path: Path) -> None:
    body = f'url\tlabel\ttitle\nhttp://h/1\t{CAT}\t"Rex" in the park\n'
    path = written(tmp_path, "l.tsv", body)
    assert listed(path, [CAT])[CAT][0].title == '"Rex" in the park'
    with pytest.raises(DataError, match="line 2: "):
        listed(path, [CAT], quotes=True)
    plain = written(tmp_path, "l.csv", body.replace("\t", ","))
    assert listed(plain, [CAT], quotes=False)[CAT][0].title == '"Rex" in the park'


def test_parquet_bombs_take_no_memory(tmp_path: Path) -> None:
    rows = 2_000
    texts = pyarrow.DictionaryArray.from_arrays(
        pyarrow.array([0] * rows, pyarrow.int32()), ["http://h/" + "a" * 10**6]
    )
    table = pyarrow.table({"url": texts, "label": pyarrow.array([CAT] * rows)})
    parquet.write_table(table, tmp_path / "l.parquet")
    tracemalloc.start()
    try:
        assert len(listed(tmp_path / "l.parquet", [CAT])[CAT]) == 1
        assert tracemalloc.get_traced_memory()[1] < 50 * 2**20
    finally:
        tracemalloc.stop()
    plain = pyarrow.table({"url": ["a" * 10**6, "b" * 10**6], "label": [CAT, CAT]})
    parquet.write_table(plain, tmp_path / "p.parquet", use_dictionary=False)
    with pytest.raises(DataError, match=r"column 'url' has 2,0.* bytes in 2 cells"):
        listed(tmp_path / "p.parquet", [CAT])


def test_what_would_break_a_list_is_percent_encoded(tmp_path: Path) -> None:
    body = json.dumps({"url": "http://h/\ud800\n\r\x00é", "label": CAT})
    found = listed(written(tmp_path, "l.jsonl", body), [CAT])
    assert found[CAT][0].url == "http://h/%ED%A0%80%0A%0D%00é"


def test_columns_can_be_named(tmp_path: Path) -> None:
    body = f"ImageURL,Class,License\nhttp://h/1,sled dog,by\nhttp://h/2,{CAT},by-sa\n"
    found = listed(
        written(tmp_path, "photos.txt", body), format="csv", url="ImageURL", label="Class",
        license="License", labels={HUSKY: "Sled dog"},
    )  # fmt: skip
    assert found[HUSKY][0].license == "by"
    assert found[CAT][0].license == "by-sa"
    assert re.fullmatch(CAT + "_[0-9a-f]{10}", found[CAT][0].image_id)


def test_parquet_numbers_are_labels_too_and_other_columns_are_not_read(tmp_path: Path) -> None:
    table = pyarrow.table(
        {
            "url": ["http://h/1", "http://h/2", None],
            "label": pyarrow.array([248.0, 283.0, 248.0]),
            "image": [b"x" * 1000] * 3,
        }
    )
    parquet.write_table(table, tmp_path / "l.parquet")
    body = bytearray((tmp_path / "l.parquet").read_bytes())
    at = body.index(b"xxxx")
    body[at - 40 : at + 20] = b"\xff" * 60  # the pictures' column chunk is broken
    found = listed(written(tmp_path, "l.parquet", bytes(body)))
    assert [found[HUSKY][0].url, found[CAT][0].url] == ["http://h/1", "http://h/2"]


def changed_zip(kind: int = 8, encrypted: int = 0, method: int = 0, body: bytes = b"") -> bytes:
    """A zip of a table with other flags, another method or another body than it has."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", kind) as archive:
        archive.writestr("l.csv", packed(ROWS * 9, "csv"))
    made = bytearray(out.getvalue())
    directory = made.rindex(b"PK\1\2")
    for flags in (6, directory + 8):
        made[flags] |= encrypted
        made[flags + 2] = method or made[flags + 2]
    made[60 : 60 + len(body)] = body
    return bytes(made)


FAULTS: list[tuple[str, bytes | str, type[Exception], str]] = [
    ("l.csv", "link,label\nx,y\n", UsageError, "url: it has no column 'url', but 'link', 'label'"),
    ("l.csv", "url,klass\nx,y\n", UsageError, "label: it has no column 'label', but 'url', 'kl"),
    ("l.csv", "", UsageError, "url: it has no column 'url', but none"),
    ("l.csv", "url,label,url\nx,y,z\n", UsageError, "url: it has 2 columns 'url'"),
    ("l.csv", "<!doctype html>\n", UsageError, "no column 'url', but '<!doctype html>'"),
    ("l.jsonl", '{"a": 1}\n', UsageError, "url: it has no column 'url', but 'a'"),
    ("l.jsonl", "\n", UsageError, "url: it has no column 'url', but none"),
    ("l.csv", "url,label\nx,y\n1,2,3\n", DataError, "line 3: 3 cells, the header has 2"),
    ("l.tsv", "url\tlabel\nx\n", DataError, "line 2: 1 cells, the header has 2"),
    ("l.csv", 'url,label\nx,"y\n', DataError, "line 2: unexpected end of data"),
    ("l.csv", 'url,label\n"x"y,z\n', DataError, "line 2: ',' expected after '\"'"),
    ("l.csv", "url,label\n" + "x" * 2**21, DataError, "line 2: more than 1,048,576 characters"),
    ("l.csv", "url,label\n" + "x" * 2**18, DataError, "line 2: field larger than field limit"),
    ("l.jsonl", '{"url": "x", "label": "y"}\n\n{"url"', DataError, "line 3: no JSON object"),
    ("l.jsonl", '["url", "label"]\n', DataError, "line 1: no JSON object"),
    ("l.jsonl", "[" * 100_000 + "\n", DataError, "line 1: no JSON object"),
    ("l.csv.gz", gzip.compress(packed(ROWS * 99, "csv"))[:-20], DataError, "broken or cut off"),
    ("l.csv.gz", b"\x1f\x8b no gzip", DataError, "broken or cut off"),
    ("l.csv.tgz", b"no gzip", UsageError, "no column 'url', but 'no gzip'"),
    ("l.csv.zip", b"PK\3\4 no zip", DataError, "broken or cut off"),
    (
        "l.csv",
        "url,label\n".encode("utf-32"),
        DataError,
        "is not text; correct its location, or name",
    ),
    ("l.csv", "url,label\nx,y".encode("utf-16")[:-1], DataError, "after line 1: is not utf-16"),
    ("l.csv.zip", changed_zip(encrypted=1), DataError, "is encrypted"),
    ("l.csv.zip", changed_zip(method=99), DataError, "compression method is not supported"),
    ("l.csv.zip", changed_zip(zipfile.ZIP_LZMA, body=b"\xff" * 40), DataError, "broken or cut off"),
    ("l.parquet", b"PAR1 no Parquet", DataError, "broken or no Parquet"),
    ("l.parquet", packed(ROWS, "parquet")[:-9], DataError, "broken or no Parquet"),
    ("l.parquet", packed([{"a": "b"}], "parquet"), UsageError, "no column 'url', but 'a'"),
]


@pytest.mark.parametrize(("name", "body", "kind", "words"), FAULTS)
def test_a_fault_is_reported_with_its_place(
    tmp_path: Path, name: str, body: bytes | str, kind: type[Exception], words: str
) -> None:
    path = written(tmp_path, name, body)
    with pytest.raises(kind, match=re.escape(words)) as caught:
        listed(path)
    assert str(caught.value).startswith(f"source csv {path}")
    assert "\n" not in str(caught.value)


def test_a_parquet_time_beyond_all_calendars_is_reported(tmp_path: Path) -> None:
    when = pyarrow.array([10**18], pyarrow.timestamp("ms"))
    table = pyarrow.table({"url": when, "label": [HUSKY]})
    parquet.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(DataError, match="broken or no Parquet"):
        listed(tmp_path / "t.parquet")


def test_a_named_column_must_be_there(tmp_path: Path) -> None:
    path = written(tmp_path, "l.csv", f"url,label\nhttp://h/1,{CAT}\n")
    with pytest.raises(UsageError, match="license: it has no column 'rights', but 'url', 'label'"):
        listed(path, [CAT], license="rights")


def test_nothing_is_lost_in_silence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, "l.csv", f"url,label\n,{CAT}\nhttp://h/1,{CAT}\n")
    assert len(listed(path, [CAT])[CAT]) == 1
    assert "1 passed over: no URL (the first: row 1)" in capsys.readouterr().err
    with pytest.raises(DataError, match="lists no photo for any class"):
        listed(path, [HUSKY])
    said = capsys.readouterr().err
    assert f"its labels match no class; it has '{CAT}'; map them in labels" in said


def test_without_pyarrow_parquet_is_one_line(clone: Project, tmp_path: Path) -> None:
    location = written(tmp_path, "l.parquet", packed(ROWS, "parquet"))
    clone.edit(sources=[{"kind": "csv", "location": str(location)}])
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "pyarrow.py").write_text("raise ImportError")
    said = clone.run(
        sys.executable, "scripts/fetch_urls.py", expect=2, PYTHONPATH=str(tmp_path / "none")
    )
    assert said == f"error: source csv {location}: Parquet needs pyarrow: pip install pyarrow\n"


def test_the_params_are_checked(clone: Project) -> None:
    for source, words in (
        ({"location": "list"}, "format: unknown ending of the location; give csv"),
        ({"location": "l.csv", "labels": {"husky": "x"}}, "sources.0.labels.husky"),
        ({"location": "https://me:secret@h/l.csv"}, "location: must contain no password"),
        ({"location": "l.csv", "separator": ";"}, "unknown key. Did you mean label_separator"),
        ({"location": "l.csv", "delimiter": "||"}, "delimiter: must be one character, and no"),
        ({"location": "l.csv", "delimiter": "|", "escape": "|"}, "escape: is the delimiter too"),
        ({"location": "l.csv", "encoding": "latin-x"}, "encoding: is no encoding of Python"),
        ({"location": "l.csv", "encoding": "idna"}, "encoding: is no encoding of Python"),
        ({"location": "l.csv", "wnid": "n00000000"}, "wnid: ImageNet has no such synset"),
        ({"location": "l.jsonl", "columns": ["url"]}, "columns: is for csv and tsv; jsonl has"),
        ({"location": "l{0..2.csv"}, "location: braces are unbalanced"),
        ({"location": "{0..2}.csv", "sha256": "0" * 64}, "sha256: is for one file"),
    ):
        clone.edit(sources=[{"kind": "csv"} | source])
        with pytest.raises(UsageError, match=words) as caught:
            load_params(clone.folder / "params.yaml")
        assert "secret" not in str(caught.value)


# From the web


@pytest.fixture
def web() -> Iterator[tuple[str, dict[str, Answer]]]:
    """A server of answers by path."""
    answers: dict[str, Answer] = {}

    class Answers(Handler):
        protocol_version = "HTTP/1.0"

        def get(self) -> None:
            code, headers, body = answers.get(self.path, (404, {}, b""))
            self.send_response(code)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    with Loopback(Answers) as server:
        yield server.base, answers


@pytest.mark.parametrize("form", FORMS)
def test_a_table_of_the_web_is_read_and_its_relative_urls_are_resolved(
    web: tuple[str, dict[str, Answer]], form: str
) -> None:
    base, answers = web
    rows = [
        {"url": url, "label": CAT}
        for url in ("a.jpg", "/b.jpg", "//h/c.jpg", "http://h/d.jpg", "ftp://h/e", "//[/f")
    ]
    answers[f"/lists/l.{form}?v=1"] = (200, {}, packed(rows, form))
    found = listed(f"{base}/lists/l.{form}?v=1", [CAT])[CAT]
    assert [c.url for c in found] == [
        f"{base}/lists/a.jpg", f"{base}/b.jpg", "http://h/c.jpg", "http://h/d.jpg", "ftp://h/e",
        "//[/f",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "way_out"),
    [(401, "netrc"), (403, "netrc"), (404, "correct"), (429, "again later"), (500, "again later")],
)
def test_a_refusal_is_named_with_a_way_out(
    web: tuple[str, dict[str, Answer]], code: int, way_out: str
) -> None:
    base, answers = web
    answers["/l.csv"] = (code, {}, b"url,label\n")
    with pytest.raises(
        DataError, match=f"source csv {base}/l.csv: .* answered {code} .*; .*{way_out}"
    ):
        listed(f"{base}/l.csv")


def test_a_table_that_moved_is_found(web: tuple[str, dict[str, Answer]]) -> None:
    base, answers = web
    answers["/l.csv"] = (301, {"Location": "/new/l.csv"}, b"")
    answers["/new/l.csv"] = (200, {}, f"url,label\nx.jpg,{CAT}\n".encode())
    assert listed(f"{base}/l.csv", [CAT])[CAT][0].url == f"{base}/x.jpg"


@pytest.mark.parametrize("form", FORMS)
def test_a_table_that_is_cut_off_is_an_error(web: tuple[str, dict[str, Answer]], form: str) -> None:
    base, answers = web
    body = packed(ROWS, form)
    answers[f"/l.{form}"] = (200, {"Content-Length": str(len(body) + 1)}, body)
    with pytest.raises(DataError, match=rf"source csv {base}/l.{form}: .*(cut off|cannot be read)"):
        listed(f"{base}/l.{form}")


def test_end_to_end(clone: Project, web: tuple[str, dict[str, Answer]]) -> None:
    base, answers = web
    rows: list[Row] = []
    for wnid, label in ((HUSKY, "husky"), (CAT, "Persian cat")):
        for number in range(1, 9):
            name = f"{wnid}_{number:03d}.jpg"
            answers[f"/{name}"] = (200, {}, (SAMPLE / wnid / name).read_bytes())
            rows.append({"url": name, "label": label, "license": "CC BY", "author": "Ä"})
    answers["/l.csv"] = (200, {}, packed(rows, "csv"))
    clone.edit(
        sources=[{"kind": "csv", "location": f"{base}/l.csv"}], per_class=4, min_per_class=3,
        classes={HUSKY: "dog", CAT: "cat"}, network={"allow_private": ["127.0.0.1"]},
    )  # fmt: skip
    clone.repro("split")
    manifest = clone.read("data/dataset/manifest.csv").splitlines()
    assert len(manifest) == 9
    assert all(",csv," in line and ",CC BY,Ä," in line for line in manifest[1:])
    built = clone.files("data/urls", "data/raw")
    answers.clear()
    clone.rebuild("fetch_urls", "download")  # from the pins
    assert clone.files("data/urls", "data/raw") == built
