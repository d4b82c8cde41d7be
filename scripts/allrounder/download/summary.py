"""The download's final summary: a table of statuses, and whether every class has enough photos."""

import hashlib
import json
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence

from allrounder.catalogue.synsets import class_name
from allrounder.core.errors import DataError
from allrounder.core.rows import Status
from allrounder.download.class_quota import ClassResult
from allrounder.params.schema import Params
from allrounder.web.fetcher import Traffic, nothing_reached
from allrounder.web.policy import OFFLINE_SWITCH


def rules_key(params: Params, taken_down: Collection[str] = ()) -> str:
    """A key for the params that decide whether a photo is good, and for what is taken down."""
    rules = params.download.model_dump(exclude={"reserve"})
    if taken_down:
        rules["taken_down"] = sorted(taken_down)
    return hashlib.sha256(json.dumps(rules, sort_keys=True).encode()).hexdigest()


def print_table(runs: Sequence[ClassResult], traffic: Traffic) -> None:
    """Print on stderr how many URLs of each class have which status."""
    seen = [status for status in Status if any(run.counts[status] for run in runs)]
    widest = max([10, *(len(run.key) for run in runs)])
    print(
        f"{'class':<{widest}}", *(f"{status:>{_width(status)}}" for status in seen), file=sys.stderr
    )
    for run in runs:
        cells = (f"{run.counts[status]:>{_width(status)}}" for status in seen)
        print(f"{run.key:<{widest}}", *cells, f" {class_name(run.key)}", file=sys.stderr)
    print(f"{traffic.requests} requests, {traffic.bytes / 1e6:.1f} MB", file=sys.stderr)


def check_results(
    runs: Sequence[ClassResult], params: Params, quotas: Mapping[str, int], traffic: Traffic
) -> None:
    """Raise DataError when nothing was reached, or a class is short or (offline) incomplete."""
    if absent := [run for run in runs if run.unrequested]:
        raise _incomplete_offline(absent, len(params.classes), quotas)
    if is_unreached(traffic):
        raise nothing_reached(traffic)
    if short := [run for run in runs if run.taken < params.min_per_class]:
        raise DataError(
            f"{len(short)} of {len(params.classes)} classes have fewer photos than min_per_class "
            f"({params.min_per_class}): {'; '.join(map(_short, short[:5]))}"
            f"{'; ...' if len(short) > 5 else ''}. {_contact_advice(short, params)}Add a source, "
            "lower min_per_class, or remove the class"
        )


def is_unreached(traffic: Traffic) -> bool:
    """Whether requests were made and nothing answered any of them."""
    return traffic.requests > 0 and not traffic.answers


def print_incomplete(runs: Iterable[ClassResult], quotas: Mapping[str, int]) -> None:
    """Warn on stderr of classes that may get more photos from a later run."""
    for run in runs:
        quota = quotas[run.key]
        if run.taken < quota and run.transient:
            print(
                f"warning: {run.key} has {run.taken} of {quota} photos; {run.transient} URLs "
                "had transient failures: make repro tries them again",
                file=sys.stderr,
            )


def _contact_advice(short: Sequence[ClassResult], params: Params) -> str:
    """Many hosts refuse a User-Agent without a contact by 403 (Wikimedia's policy, for one)."""
    refused = sum(run.codes[403] for run in short)
    others = sum(run.codes.total() for run in short) - refused
    if params.network.contact or refused <= others:
        return ""
    return "Many hosts answer 403 unless network.contact names somebody: set it. "


def _incomplete_offline(
    absent: Sequence[ClassResult], classes: int, quotas: Mapping[str, int]
) -> DataError:
    lacking = (
        f"{run.key} lacks {max(0, (quota := quotas[run.key]) - run.taken)} of {quota} photos, "
        f"{len(run.unrequested)} URLs would have to be requested "
        f"({', '.join(run.unrequested[:2])}{', ...' * (len(run.unrequested) > 2)})"
        for run in absent[:5]
    )
    return DataError(
        f"offline: {len(absent)} of {classes} classes are incomplete: {'; '.join(lacking)}"
        f"{'; ...' * (len(absent) > 5)}. Run once without {OFFLINE_SWITCH}, or dvc pull a version "
        "that has them"
    )


def _short(run: ClassResult) -> str:
    codes = ", ".join(f"{count} x {code}" for code, count in run.codes.most_common(3))
    reasons = ", ".join(
        f"{count} {status}{f' ({codes})' if status is Status.HTTP_ERROR else ''}"
        for status, count in run.counts.most_common()
        if status not in (Status.OK, Status.ARCHIVE)
    )
    return f"{run.key} has {run.taken} of {run.listed} listed" + f" ({reasons})" * bool(reasons)


def _width(status: Status) -> int:
    return max(len(status), 5)
