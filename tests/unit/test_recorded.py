"""The rule by which recorded cases are skipped: what is not in this version yet, and nothing else."""

from pathlib import Path

import pytest

from auricle.errors import UserError
from golden import REPOSITORY
from recorded import load_recorded, or_skip

COMMITTED = sorted(path.parent for path in (REPOSITORY / "tests/golden_subset").glob("*/checkpoint.pt"))


@pytest.mark.parametrize("case", COMMITTED)
def test_the_committed_cases_never_skip(case: Path) -> None:
    try:
        load_recorded(case)
    except pytest.skip.Exception as skipped:
        pytest.fail(str(skipped))


def complain(message: str) -> None:
    raise UserError(message)


@pytest.mark.parametrize(
    "message",
    ["layer_type='x': this version can only build models with layer_type='y'", "x is not supported"],
)
def test_what_is_not_there_yet_skips_and_says_so(message: str) -> None:
    with pytest.raises(pytest.skip.Exception, match="a_case: ") as skipped:
        or_skip(lambda: complain(message), "a_case")
    assert message in str(skipped.value)


@pytest.mark.parametrize(
    "message", ["a.pt is damaged or cut off", "a.pt lacks weights", "a.pt does not exist"]
)
def test_any_other_complaint_fails(message: str) -> None:
    with pytest.raises(UserError, match=message):
        or_skip(lambda: complain(message), "a_case")
