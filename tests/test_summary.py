"""The download's last words: what a short class says, and when a run that reached nothing fails."""

from collections import Counter
from pathlib import Path

import pytest

from allrounder.core.errors import DataError
from allrounder.core.progress import _Lines
from allrounder.core.rows import Result, Status
from allrounder.download.class_quota import ClassResult
from allrounder.download.rounds import check_results, print_incomplete
from allrounder.params.schema import Params
from allrounder.web.fetcher import Fetcher, Traffic
from webfaults.project import WNID, make_params
from webfaults.server import Server


def params(**network: object) -> Params:
    return Params.model_validate(make_params([WNID], per_class=10, network=network))


def result(counts: dict[Status, int], codes: dict[int, int] | None = None) -> ClassResult:
    return ClassResult(
        WNID, Counter(counts), Counter(codes or {}), transient=counts.get(TIMEOUT, 0)
    )


TIMEOUT = Status.TIMEOUT
ANSWERED = Traffic(requests=9, answers=9)


@pytest.mark.parametrize(
    ("contact", "codes", "said"),
    [("", {403: 6}, True), ("mail@host", {403: 6}, False), ("", {404: 5, 403: 1}, False)],
)
def test_a_short_class_says_its_codes_and_whether_a_contact_is_wanted(
    contact: str, codes: dict[int, int], said: bool
) -> None:
    short = result({Status.HTTP_ERROR: 6}, codes)
    with pytest.raises(DataError) as caught:
        check_results([short], asked := params(contact=contact), asked.quotas, ANSWERED)
    for code, count in codes.items():
        assert f"{count} x {code}" in str(caught.value)
    assert ("network.contact" in str(caught.value)) is said


def test_a_short_class_without_failures_gives_no_reasons() -> None:
    with pytest.raises(DataError, match=r"n02109961 has 0 of 0 listed\. Add"):
        check_results([result({})], params(), params().quotas, ANSWERED)


def test_a_run_that_reached_nothing_fails_also_when_pins_fill_the_classes() -> None:
    traffic = Traffic(requests=3, failures=Counter({(TIMEOUT, ""): 1}))
    with pytest.raises(DataError, match="nothing could be reached"):
        check_results([result({Status.OK: 10})], params(), params().quotas, traffic)


def test_a_round_with_dead_hosts_only_is_no_outage_if_an_earlier_rounds_host_answers() -> None:
    with Server() as stopped:
        dead = stopped.url("good/1")
    asked = params()
    with Server() as server:
        fetcher = Fetcher(asked.network, asked.download, reference=server.url("good/1"))
        fetcher.submit("dead", dead)
        ended: list[tuple[object, Result, object]] = []
        while not ended:
            ended = list(fetcher.poll(0.1))
        fetcher.close()
    assert ended[0][1].detail == "could not connect"
    check_results([result({Status.OK: 10})], asked, asked.quotas, fetcher.traffic)
    assert fetcher.traffic.failures


def test_requests_that_ended_because_the_class_was_full_are_no_failure() -> None:
    """A round may find its photos in the journal before any host has answered."""
    check_results([result({Status.OK: 10})], params(), params().quotas, Traffic(requests=3))


@pytest.mark.parametrize(
    ("counts", "warned"),
    [
        ({Status.OK: 9, TIMEOUT: 2}, True),
        ({Status.OK: 10, TIMEOUT: 2}, False),
        ({Status.OK: 9, Status.EMPTY: 2}, False),
    ],
)
def test_a_class_that_may_get_more_photos_says_so(
    counts: dict[Status, int], warned: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    print_incomplete([result(counts)], {WNID: 10})
    assert ("make repro" in capsys.readouterr().err) is warned


def test_progress_without_a_terminal_is_lines(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w+", encoding="utf-8") as log:
        bar = _Lines(total=2, file=log, mininterval=0, miniters=1)
        bar.update(1)
        bar.update(1)
        bar.close()
        log.seek(0)
        text = log.read()
    assert "\r" not in text
    assert "2/2" in text.split("\n")[-3]
