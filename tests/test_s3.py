"""Moving the dataset to another remote: a real S3 protocol server."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

import tiny
import verify

KEYS: dict[str, Any] = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}


@pytest.fixture
def s3() -> Iterator[str]:
    """An S3 endpoint with one bucket, `datasets`."""
    import boto3  # type: ignore[import-untyped]  # takes a second: not while tests are collected
    from moto.server import ThreadedMotoServer

    running = ThreadedMotoServer("127.0.0.1", 0)
    running.start()
    host, port = running.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    client = boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1",
        aws_access_key_id="test", aws_secret_access_key="test",
    )  # fmt: skip
    client.create_bucket(Bucket="datasets")
    yield endpoint
    running.stop()


@pytest.mark.usefixtures("own_folder")
def test_the_recipe_of_s3_works_as_written(
    s3: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import boto3

    tiny.environment(monkeypatch, **KEYS)
    tiny.make(".dvc/cache")
    for command in tiny.commands("s3://bucket/path", "s3://datasets/all-rounder"):
        if command == ["push"]:
            assert tiny.dvc(["remote", "modify", "mine", "endpointurl", s3]) == 0
        assert tiny.dvc(command) == 0
    tiny.call(verify.main, "--remote")
    tiny.check_pull()

    bodies = (tiny.MANIFEST, tiny.RAW["n02123394.tar"])
    keys = ["all-rounder/" + tiny.place(tiny.md5(body), "").as_posix() for body in bodies]
    client = boto3.client("s3", endpoint_url=s3)
    client.put_object(Bucket="datasets", Key=keys[0], Body=b"damaged")
    client.delete_object(Bucket="datasets", Key=keys[1])
    capsys.readouterr()
    tiny.call(verify.main, "--remote", "--json", expect=1)
    found = json.loads(capsys.readouterr().out)
    assert {one["path"]: one["kind"] for one in found["problems"]} == {
        f"s3://datasets/{keys[0]}": "bad",
        f"s3://datasets/{keys[1]}": "missing",
    }
