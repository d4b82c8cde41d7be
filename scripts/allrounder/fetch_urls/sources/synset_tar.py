"""Source `synset-tar`: one tar of photos a class, as ImageNet serves them.

It only finds the archive; the download streams it and takes its members one by one.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from allrounder.core.rows import Candidate
from allrounder.fetch_urls.tally import Tally
from allrounder.params.sources import SynsetTarSource
from allrounder.web.lists import ListClient


def candidates(
    source: SynsetTarSource, wnids: Sequence[str], web: ListClient, tally: Tally
) -> Iterator[tuple[str, Candidate]]:
    """Yield the archive of each class: one candidate, whose id is the wnid.

    An archive that does not exist is left out. Raises DataError for one on the web that cannot be
    read for another reason.
    """
    for wnid in wnids:
        location = source.archive(wnid)
        tally.read += 1
        if source.is_remote:
            expected = (200, 404, 410)
            with web.stream(location, f"{source.name}: class {wnid}", expect=expected) as reply:
                missing = reply.code != 200  # the code is enough: the body is not read
        else:
            missing = not Path(location).is_file()
        if missing:
            tally.absent += 1
            tally.pass_over("no such archive", location)
        else:
            yield wnid, Candidate(wnid, location)
