"""Decides by its host's robots.txt (RFC 9309) and tdmrep.json whether a URL may be requested.

Obeyed are the rules that name this project or a collector of training sets, preferences about
training, and, if the params say so, the rules for every robot. The decision depends only on the
files and the URL.
"""

import csv
import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Generic, TypeVar
from urllib.parse import urljoin, urlsplit

import pycurl
from protego import Protego

from allrounder.core.files import part_of
from allrounder.core.opt_outs import Signal, opted_out
from allrounder.core.photos import Bounds
from allrounder.core.rows import TRANSIENT_CODES, Result, Status
from allrounder.core.text import PROJECT
from allrounder.params.schema import Download
from allrounder.web.decisions import (
    Decision,
    decide_redirect,
    http_error,
    may_train,
    transport_failure,
)
from allrounder.web.transfer import Reply

Job = TypeVar("Job")
Verdict = Callable[[str], Result | None]
"""Gives the result of a URL that may not be requested, or None."""

AGENTS = Path(__file__).with_name("training_agents.csv")
"""Agents that collect for training sets, or that stand for that use of what others collect."""
MAX_ROBOTS = 500 * 2**10
"""Bytes of a robots.txt that are read (RFC 9309, 2.5)."""
_FINAL = (pycurl.E_OPERATION_TIMEDOUT, pycurl.E_GOT_NOTHING)
POLL_OTHERS = 0.05  # seconds between two checks for answers of other processes
_LONGEST = 30.0  # seconds for a robots.txt's body
_MOST_RULES = 50_000
"""Once so many rules are read, those of other agents are not: hostile files have a million."""
_AGENT = re.compile(r"user[-\s]*agent\s*(?:[:\s]\s*(\*|[^*/\s]*).*)?", re.IGNORECASE)
_USAGE = re.compile(r"content-(?:usage|signal)\s*:\s*([/*]\S*)?(.*)", re.IGNORECASE)
TDM_PATH = "/.well-known/tdmrep.json"
_MOST_TDM_RULES = 5_000
_UNRESERVED = re.compile(r"%([46][1-9A-F]|[57][0-9A]|3[0-9]|2[DE]|5F|7E)", re.IGNORECASE)
"""Escapes of letters, digits and -._~ (RFC 3986, 2.3), which mean the character."""
_NO_RULE = re.compile(
    r"(?:site-?maps?|host|crawl-?delay|request-?rate|visit-?time|clean-?param)\s*:.*", re.IGNORECASE
)
"""Records that end no group (RFC 9309, 2.2.4): they may stand between two agents of one."""


class RobotsRules:
    """The rules of one robots.txt that are obeyed; `everyone`: also those for every robot.

    If a group names this project, only that group counts (RFC 9309, 2.2.1).
    """

    def __init__(self, text: str = "", everyone: bool = False):
        groups = _groups(text)
        own = groups.get(PROJECT)
        obeyed = [(agent, groups.get(agent.lower(), [])) for agent in _agents()]
        if everyone:
            obeyed.append(("*", groups.get("*", [])))
        if own is not None:
            obeyed = [(PROJECT, own)]
        obeyed.append(("train-ai=n", _usage_rules(groups.get("*", []) if own is None else own)))
        named: dict[str, str] = {}  # many agents often have the same rules
        count = 0
        for name, lines in obeyed:
            text = "\n".join(["User-agent: *", *lines])
            if lines and text not in named and count < _MOST_RULES:
                named[text], count = name, count + len(lines)
        self._rules = [(name, Protego.parse(rules)) for rules, name in named.items()]

    def result(self, url: str) -> Result | None:
        """The result of a URL that may not be requested, or None."""
        for name, rules in self._rules:
            if not rules.can_fetch(url, PROJECT):
                return opted_out(Signal.ROBOTS_TXT, name)
        return None


def _groups(text: str) -> dict[str, list[str]]:
    """The lines of each group, by agent in lower case; only for the agents that may be obeyed."""
    wanted = {PROJECT, "*", *map(str.lower, _agents())}
    groups: dict[str, list[str]] = {}
    current: list[list[str]] = []
    is_head = False
    for line in text.splitlines():
        line = line.partition("#")[0].strip()
        if not line or _NO_RULE.fullmatch(line):
            continue
        if found := _AGENT.fullmatch(line):
            current = current if is_head else []
            if (agent := (found[1] or "").lower()) in wanted:
                rules = groups.setdefault(agent, [])
                current += [rules] * all(rules is not other for other in current)
        else:
            for rules in current:
                rules.append(line)
        is_head = bool(found)
    return groups


def _usage_rules(lines: list[str]) -> list[str]:
    """Preferences about training as Allow and Disallow rules: their paths match alike."""
    rules = []
    for found in filter(None, map(_USAGE.fullmatch, lines)):
        if (allowed := may_train(found[2])) is not None:
            rules.append(f"{'Allow' if allowed else 'Disallow'}: {found[1] or '/'}")
    return rules


@cache
def _agents() -> tuple[str, ...]:
    with AGENTS.open(encoding="utf-8", newline="") as file:
        return tuple(row["agent"] for row in csv.DictReader(file))


class RobotsFile:
    """A robots.txt or tdmrep.json that is being fetched. `patient`: with the tries of a photo."""

    def __init__(self, patient: bool, clock: Callable[[], float] = time.monotonic):
        self._patient, self._clock = patient, clock
        self._is_second = False  # the second try at a host that gave no answer
        self.begin()

    def begin(self) -> None:
        """Prepare for a (new) request."""
        self._body, self._started = bytearray(), self._clock()

    def sink(self, reply: Reply, chunk: bytes) -> bool:
        """Take a piece of a body; returns False when no more is wanted."""
        if not 200 <= reply.code < 300:
            return False
        self._body += chunk[: MAX_ROBOTS - len(self._body)]
        return len(self._body) < MAX_ROBOTS and self._clock() < self._started + _LONGEST

    def decide(self, reply: Reply, requested: list[str], bounds: Bounds) -> Decision:
        """Decide on how a request ended, as for a photo.

        A host without any answer is tried as often as for a photo if the file is `patient`, else
        twice, but once after a timeout or an empty answer: many hosts are dead.
        """
        if reply.stopped:
            reply.error = 0  # no more was wanted
        if failed := transport_failure(reply, bounds):
            is_last = self._is_second or reply.error in _FINAL
            self._is_second = True
            return replace(failed, retry=failed.retry and (self._patient or not is_last))
        if reply.redirect is not None:
            return decide_redirect(reply.redirect, requested)
        return Decision(Result(Status.OK)) if 200 <= reply.code < 300 else http_error(reply.code)

    def answer(self, reply: Reply, timeouts: int) -> "RobotsAnswer":
        """The answer, once the request has ended with its last reply.

        Of a body that was cut off, the last line is no rule: `Disallow: /` may be half of one.
        """
        body = bytes(self._body) if 200 <= reply.code < 300 else b""
        if reply.error or reply.stopped:
            body = body[: 1 + max(body.rfind(b"\n"), body.rfind(b"\r"))]
        return RobotsAnswer(reply.code, timeouts, body)


@dataclass(frozen=True, slots=True)
class RobotsAnswer:
    """How the request for a file ended: the last code (0: without any answer), the body."""

    code: int
    timeouts: int = 0
    body: bytes = b""


def verdict_of(robots: RobotsAnswer, tdm: RobotsAnswer, everyone: bool) -> Verdict:
    """The verdict on a host's URLs (RFC 9309, 2.3.1); `everyone` as in `RobotsRules`.

    Without a robots.txt, or without any answer, nothing is forbidden: each photo of a dead host
    has its own failure. A transient failure forbids all URLs if rules for every robot are obeyed,
    else none. A page or a photo in place of a robots.txt counts as empty.
    """
    if everyone and robots.code in TRANSIENT_CODES:
        detail = f"robots.txt: {robots.code}"
        failure = Result(Status.HTTP_ERROR, detail, http_status=robots.code)
        return lambda url: failure
    has_rules = b"agent" in robots.body.lower()
    text = robots.body.decode("utf-8-sig", "replace") if has_rules else ""
    of_robots, of_tdm = RobotsRules(text, everyone).result, tdm_result(tdm.body)
    return lambda url: of_robots(url) or of_tdm(url)


class SharedAnswers:
    """The answers of a run whose processes share a folder: one of them requests each file.

    An empty file there is a claim; it goes when the process that made it ends without an answer.
    """

    def __init__(self, folder: Path | None):
        self._folder = folder
        self._claims: set[Path] = set()

    def claim(self, url: str) -> bool:
        """Whether this process must request the file at `url`: it is the first to claim it."""
        if self._folder:
            try:
                self._path(url).touch(exist_ok=False)
            except FileExistsError:
                return False
            self._claims.add(self._path(url))
        return True

    def put(self, url: str, answer: RobotsAnswer) -> None:
        """Record the answer for the other processes."""
        if self._folder and (path := self._path(url)) in self._claims:
            part = part_of(path)
            part.write_bytes(b"%d %d\n" % (answer.code, answer.timeouts) + answer.body)
            part.replace(path)
            self._claims.discard(path)

    def get(self, url: str) -> RobotsAnswer | None:
        """The answer that another process got, if there is one yet."""
        try:
            head, _, body = self._path(url).read_bytes().partition(b"\n")
        except FileNotFoundError:
            return None
        if not head:
            return None
        code, timeouts = map(int, head.split())
        return RobotsAnswer(code, timeouts, body)

    def close(self) -> None:
        """Give up this process's claims, so that another process can request the files."""
        for path in self._claims:
            path.unlink(missing_ok=True)

    def _path(self, url: str) -> Path:
        assert self._folder
        return self._folder / hashlib.sha256(url.encode()).hexdigest()


class RobotsGate(Generic[Job]):
    """The verdicts of hosts by the URL of their robots.txt, and the jobs that wait for one."""

    def __init__(self, download: Download, folder: Path | None = None):
        self.obeyed = download.honour_opt_out and download.robots != "ignore"
        self.everyone = download.robots == "all"
        self.requested_by_others: set[str] = set()  # files that another process requests
        self._shared, self._next_check = SharedAnswers(folder), 0.0
        self._answers: dict[str, RobotsAnswer] = {}  # by file, until its host has a verdict
        self._verdicts: dict[str, Verdict] = {}
        self._waiting: dict[str, list[Job]] = {}

    def verdict(self, url: str) -> Verdict | None:
        """The verdict of a URL's host, if it is known."""
        return self._verdicts.get(robots_url(url))

    def wait(self, url: str, job: Job) -> list[str]:
        """Keep a job until the verdict on its URL is known; returns the files to request now."""
        waiting = self._waiting.setdefault(robots_url(url), [])
        waiting.append(job)
        if len(waiting) > 1:
            return []
        files = _files_of(url)
        own = [file for file in files if self._shared.claim(file)]
        self.requested_by_others.update(set(files).difference(own))
        return own

    def poll_others(self, now: float) -> Iterator[tuple[str, RobotsAnswer | None]]:
        """Yield the answers that other processes got; None for a file that this one must request.

        A process that ends without an answer leaves its files to the others.
        """
        if not self.requested_by_others or now < self._next_check:
            return
        self._next_check = now + POLL_OTHERS
        for file in sorted(self.requested_by_others):
            answer = self._shared.get(file)
            if answer or self._shared.claim(file):
                self.requested_by_others.discard(file)
                yield file, answer

    def settle(self, file: str, answer: RobotsAnswer) -> tuple[list[Job], int]:
        """Record the answer for one of a host's two files.

        Returns the jobs that waited, once both are there, and the timeouts of the robots.txt.
        """
        self._shared.put(file, answer)
        self._answers[file] = answer
        if any(other not in self._answers for other in _files_of(file)):
            return [], 0
        robots, tdm = (self._answers.pop(each) for each in _files_of(file))
        self._verdicts[robots_url(file)] = verdict_of(robots, tdm, self.everyone)
        return self._waiting.pop(robots_url(file)), robots.timeouts

    def close(self) -> None:
        """Leave unanswered files to other processes."""
        self._shared.close()


def robots_url(url: str) -> str:
    """The URL of the robots.txt for a URL: each scheme, host and port has its own."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/robots.txt"


def _files_of(url: str) -> tuple[str, str]:
    """The URLs of the robots.txt and the tdmrep.json for a URL."""
    return robots_url(url), urljoin(url, TDM_PATH)


def tdm_result(body: bytes) -> Verdict:
    """A function that gives the result of a URL which a tdmrep.json reserves, or None.

    The first rule that matches holds. A body or a rule of another form counts as absent.
    Source: TDM Reservation Protocol, W3C Community Group's final report of 2024-05-10, section 5.1;
    its patterns are those of robots.txt (RFC 9309, 2.2.3).
    """
    try:
        given = json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        given = None
    rules = [
        (_unescaped(pattern), rule.get("tdm-reservation") in (1, "1"))
        for rule in (given[:_MOST_TDM_RULES] if isinstance(given, list) else ())
        if isinstance(rule, dict) and isinstance(pattern := rule.get("location"), str)
    ]

    def result(url: str) -> Result | None:
        parts = urlsplit(url)
        path = _unescaped(parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        is_reserved = next(
            (reserved for pattern, reserved in rules if path_matches(pattern, path)), False
        )
        return opted_out(Signal.TDM_FILE, "tdm-reservation=1") if is_reserved else None

    return result


def path_matches(pattern: str, path: str) -> bool:
    """Whether a path begins as a pattern says: `*` is any text, a last `$` the end of the path."""
    pattern = pattern if pattern.startswith(("/", "*")) else f"/{pattern}"
    first, *others = pattern.removesuffix("$").split("*")
    if not path.startswith(first):
        return False
    end = len(first)
    is_exact = pattern.endswith("$")
    last = others.pop() if is_exact and others else None
    for part in others:
        if (place := path.find(part, end)) < 0:
            return False
        end = place + len(part)
    if last is not None:
        return path.endswith(last) and len(path) - len(last) >= end
    return not is_exact or end == len(path)


def _unescaped(path: str) -> str:
    return _UNRESERVED.sub(lambda found: chr(int(found[1], 16)), path)
