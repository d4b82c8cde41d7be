"""Source `folder`: local files, `<location>/<class>/*`, ranked by name.

A class's folder has its wnid, name, id or one of its labels as name. The embedded default; also an
unpacked ILSVRC train folder.
"""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path, PurePosixPath

from allrounder.catalogue.labels import ClassPart, normalized_label
from allrounder.core.errors import DataError
from allrounder.core.rows import Candidate
from allrounder.core.text import short_list
from allrounder.fetch_urls.tally import Tally
from allrounder.history.local_files import class_folders, folder_url, part_files
from allrounder.params.sources import FolderSource


def candidates(
    source: FolderSource, parts: Sequence[ClassPart], tally: Tally, unchanged: Collection[str] = ()
) -> Iterator[tuple[str, Candidate]]:
    """Yield the files of each class's folders; the URL is `<location>/<folder>/<file>`.

    The folders of parts in `unchanged` are not read: their lists are known.

    Hidden files, folders in a class's folder (unless `recursive`) and links to folders are passed
    over. Raises DataError when the location is no folder that can be read.
    """
    if not Path(source.location).is_dir():
        raise DataError(f"{source.name}: no such folder; correct its location")
    try:
        folders = class_folders(source, parts)
        for part in (part for part in parts if part.key not in unchanged):
            for candidate in files(source, folders.get(part.key, ()), tally):
                yield part.key, candidate
    except OSError as error:
        raise DataError(f"{source.name}: {error.filename}: {error.strerror}; correct it") from None
    if others := [name for name in folders.get("", ()) if not name[1:].isdecimal()]:
        for name in others:
            tally.check_ambiguous(normalized_label(name), parts)
        tally.note(f"{len(others)} folders mean no class: {short_list(others)}")


def files(source: FolderSource, folders: Sequence[str], tally: Tally) -> Iterator[Candidate]:
    """Yield the files of some folders in the location, by name. Raises OSError."""
    for path, reason in part_files(source, folders):
        tally.read += 1
        url = folder_url(source, path)
        if reason:
            tally.pass_over(reason, url)
        else:
            yield Candidate(PurePosixPath(url).stem, url)
