import msgspec
import pytest

from scc_operator.allocation.mcs import InvalidMCSRange
from scc_operator.allocation.uid_blocks import InvalidRange
from scc_operator.reconcile.ranges import check_configuration
from scc_operator.settings import Settings


def test_the_defaults_are_accepted() -> None:
    """The shipped ranges give every block a label of its own."""
    check_configuration(Settings())


@pytest.mark.parametrize(
    "field,value,error,part",
    [
        ("mcs_labels_per_project", 6, InvalidMCSRange, "two namespaces would share a label"),
        ("mcs_range", "s0:/-1", InvalidMCSRange, "-1 categories per label"),
        ("mcs_range", "s0:/2,10", InvalidMCSRange, "two namespaces would share a label"),
        ("uid_range", "10-5/2", InvalidRange, "ends before it starts"),
        ("uid_range", "0-9/10", InvalidRange, "not more than one block"),
    ],
)
def test_ranges_that_cannot_work_are_refused(field: str, value: object, error: type[Exception], part: str) -> None:
    """Malformed ranges, and ranges whose labels would not be distinct, are refused with the reason."""
    with pytest.raises(error, match=part):
        check_configuration(msgspec.structs.replace(Settings(), **{field: value}))
