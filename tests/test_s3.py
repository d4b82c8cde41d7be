"""Moving the dataset to another remote: a real S3 protocol server."""

from collections.abc import Iterator
from typing import Any

import pytest

from project import Project
from tiny import commands

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


def test_push_to_s3_and_pull_from_it(clone: Project, s3: str) -> None:
    clone.edit(classes={"n02109961": "dog", "n02123394": "cat"}, per_class=8, min_per_class=5)
    clone.repro()
    built = clone.files("data/dataset")
    for command in commands("s3://bucket/path", "s3://datasets/all-rounder"):
        if command == ["push"]:
            clone.dvc("remote", "modify", "mine", "endpointurl", s3)
        clone.dvc(*command, **KEYS)
    clone.commit("on S3")

    other = Project.cloned(clone.folder, clone.folder.parent / "other")
    other.dvc("pull", **KEYS)
    assert other.files("data/dataset") == built
    assert "up to date" in other.dvc("status")
