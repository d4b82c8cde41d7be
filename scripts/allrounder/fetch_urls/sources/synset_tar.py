"""Source `synset-tar`: one tar of photos a class, as ImageNet serves them.

It only finds the archive; the download streams it and takes its members one by one.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from allrounder.core.rows import Candidate
from allrounder.params.sources import SynsetTarSource
from allrounder.web.lists import ListClient


def candidates(
    source: SynsetTarSource, wnids: Sequence[str], web: ListClient
) -> Iterator[tuple[str, Candidate]]:
    """Yield the archive of each class: one candidate, whose id is the wnid.

    Raises DataError for an archive on the web that does not answer 200. A local archive
    that does not exist is left out.
    """
    for wnid in wnids:
        location = source.archive(wnid)
        if source.is_remote:
            with web.stream(location, f"{source.name}: class {wnid}"):
                pass  # the status is enough; close before the body
        elif not Path(location).is_file():
            continue
        yield wnid, Candidate(wnid, location)
