"""Wrong labels: photos more like another class. The model of these tests averages colours."""

import base64
import hashlib
import importlib.util
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

import check_params
from allrounder.clean.suspects import add_suspects, likenesses, with_model_here
from allrounder.core.errors import DataError, UsageError
from allrounder.core.rows import CleanRow, Status
from allrounder.core.tars import atomic_tar
from allrounder.params.schema import Network, Suspects
from bucket import Bucket

MODEL = base64.b64decode(
    "CAgSADpaChkKAXgSAXkiEUdsb2JhbEF2ZXJhZ2VQb29sEgFnWh0KAXgSGAoWCAESEgoCCAEKAggDCgMSAWgKAxIBd2Ib"
    "CgF5EhYKFAgBEhAKAggBCgIIAwoCCAEKAggBQgQKABAN"
)  # onnx.helper.make_node("GlobalAveragePool", ["x"], ["y"]), of 1 x 3 x h x w
RED, BLUE = (200, 40, 40), (40, 40, 200)


def model(folder: Path, body: bytes = MODEL, **rules: Any) -> Suspects:
    path = folder / "model.onnx"
    path.write_bytes(body)
    return Suspects(
        **{"model": str(path), "sha256": hashlib.sha256(body).hexdigest(), "share": 0.2, **rules}
    )


def photos(out: Path, key: str, colours: Sequence[tuple[int, int, int]]) -> list[CleanRow]:
    """A class of photos of one colour each, a little apart, and a row without a photo."""
    rows = [CleanRow("lost", Status.CORRUPT)]
    with atomic_tar(out / f"{key}.tar") as tar:
        for at, (red, green, blue) in enumerate(colours):
            body = io.BytesIO()
            Image.new("RGB", (20, 30), (red, green + at, blue)).save(body, "JPEG")
            rows.append(CleanRow(f"{at}", Status.KEPT, file=f"{key}_{at}.jpg"))
            tar.add(rows[-1].file, body.getvalue())
    return rows


def test_a_photo_like_another_class_comes_first_and_names_it(tmp_path: Path) -> None:
    rows = {
        "n1": photos(tmp_path, "n1", [RED, RED, BLUE, RED, RED]),
        "n2": photos(tmp_path, "n2", [BLUE] * 5),
    }
    found = add_suspects(rows, tmp_path, model(tmp_path))
    assert [row.suspected_class for row in found["n1"]] == ["", "", "", "n2", "", ""]
    assert found["n1"][0] == rows["n1"][0]
    scores = [row.suspect for row in found["n1"][1:]]
    assert max(range(5), key=lambda at: scores[at] or 0) == 2
    assert sum(bool(row.suspected_class) for row in found["n2"]) == 1  # the share, ceiled
    assert found == add_suspects(rows, tmp_path, model(tmp_path))


def test_one_class_has_no_suspects(tmp_path: Path) -> None:
    rows = {"n1": photos(tmp_path, "n1", [RED, BLUE])}
    assert add_suspects(rows, tmp_path, model(tmp_path)) == rows


@given(st.lists(st.integers(0, 3), min_size=2, max_size=30), st.integers(0, 9))
def test_likenesses_do_not_depend_on_the_order_of_photos(classes: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(len(classes), 8))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rounded = vectors.astype(np.float32)
    found = likenesses(rounded, classes)
    order = rng.permutation(len(classes))
    moved = likenesses(rounded[order], [classes[at] for at in order])
    assert bool(found) == (len({*classes}) > 1)
    assert [found[at] for at in order if found] == moved
    assert all(one.other != own for one, own in zip(found, classes, strict=bool(found)))


def test_what_is_wrong_with_a_model_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = model(tmp_path)
    for other, said in (
        (
            rules.model_copy(update={"model": str(tmp_path / "no.onnx")}),
            r"model .*no\.onnx: no such file",
        ),
        (rules.model_copy(update={"sha256": "0" * 64}), "has SHA-256 .* pins 0000"),
        (model(tmp_path, b"no model"), "is no ONNX model"),
    ):
        with pytest.raises((UsageError, DataError), match=said) as error:
            with_model_here(other, Network())
        assert "\n" not in str(error.value)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="pip install onnxruntime"):
        with_model_here(rules, Network())


def test_a_model_without_its_hash_is_refused() -> None:
    with pytest.raises(ValidationError, match="sha256"):
        Suspects(model="m.onnx", sha256="")


@pytest.mark.usefixtures("own_folder")
def test_what_is_not_installed_is_said_before_dvc_removes_anything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("photos").mkdir()
    Path("params.yaml").write_text(
        "sources: [{kind: folder, location: photos}]\nclasses: {n02123394: cat}\nper_class: 5\n"
        f"min_per_class: 1\nclean: {{suspects: {{model: m.onnx, sha256: {'a' * 64}}}}}\n"
    )
    monkeypatch.setattr(sys, "argv", ["check_params.py"])
    check_params.main()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="pip install onnxruntime"):
        check_params.main()


@pytest.mark.usefixtures("own_folder")
def test_a_model_at_a_url_is_fetched_once_and_must_be_as_pinned(tmp_path: Path) -> None:
    with Bucket({"/m.onnx": MODEL}) as bucket:
        rules = model(tmp_path, model=f"{bucket.base}/m.onnx")
        here = [with_model_here(rules, Network(tries=1)) for _ in range(2)]
        assert Path(here[0].model).read_bytes() == MODEL
        assert (here[0], bucket.answered) == (here[1], {200: 1})
        other = rules.model_copy(update={"sha256": "0" * 64})
        with pytest.raises(DataError, match=r"^clean.suspects.model .*/m.onnx has SHA-256"):
            with_model_here(other, Network(tries=1))
