"""Files of DVC that a kill has cut off."""

from pathlib import Path

import pytest

from allrounder.core.commands import git
from allrounder.core.errors import UsageError
from allrounder.core.files import LOCK_COPY, stage_lock
from allrounder.core.paths import LOCK
from allrounder.history.mending import mend

pytestmark = pytest.mark.usefixtures("own_folder")

WHOLE = b"schema: '2.0'\nstages:\n  split:\n    cmd: python\n"
RWLOCK = Path(".dvc/tmp/rwlock")


@pytest.mark.parametrize("length", [0, 9, len(WHOLE) - 1])
def test_a_lock_that_was_cut_off_is_as_before_its_last_stage(length: int) -> None:
    LOCK.write_bytes(WHOLE)
    with stage_lock("split"):
        pass
    LOCK.write_bytes(WHOLE[:length])
    with stage_lock("split"):
        pass  # by hand: the copy stays whole
    (words,) = mend()
    assert "dvc.lock was cut off: restored as it was before that stage" in words
    assert LOCK.read_bytes() == WHOLE
    assert Path(".allrounder/dvc.lock.cut").read_bytes() == WHOLE[:length]  # it may be an edit


def test_the_first_lock_that_was_cut_off_is_removed() -> None:
    LOCK_COPY.parent.mkdir()
    LOCK_COPY.write_bytes(WHOLE)  # of a lock that somebody has removed
    with stage_lock("split"):
        pass
    LOCK.touch()
    assert len([*mend()]) == 1
    assert not LOCK.exists()


def test_a_lock_that_git_has_is_not_removed() -> None:
    LOCK.write_bytes(WHOLE[:-1])
    git("init", "-q")
    git("add", "-f", "dvc.lock")
    with pytest.raises(UsageError, match=r"git checkout dvc\.lock"):
        list(mend())
    assert LOCK.read_bytes() == WHOLE[:-1]


@pytest.mark.parametrize("lock", [WHOLE, WHOLE + b"<<<<<<< HEAD\n", b"\n"])
def test_a_lock_with_another_fault_is_left_alone(lock: bytes) -> None:
    LOCK.write_bytes(lock)
    assert not [*mend()]
    assert LOCK.read_bytes() == lock


@pytest.mark.parametrize(("text", "stays"), [("", False), ('{"write": {"a', False), ("{}", True)])
def test_dvcs_own_list_of_locks_is_removed_if_it_was_cut_off(text: str, stays: bool) -> None:
    RWLOCK.parent.mkdir(parents=True)
    RWLOCK.write_text(text)
    assert len([*mend()]) == (not stays)
    assert RWLOCK.exists() is stays
