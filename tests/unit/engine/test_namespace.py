from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.engine.builders import PROJ, SCC, Json, body, create, pod, scc

from scc_operator.engine.errors import BlockError, ProviderError
from scc_operator.engine.namespace import NamespaceValues, from_annotations, parse_block, parse_blocks
from scc_operator.engine.provider import build_providers
from scc_operator.engine.scc import IDRange

RANGE = {"type": "MustRunAsRange"}
MUST: Json = {"type": "MustRunAs"}
UID_ANNOTATION = "openshift.io/sa.scc.uid-range"
GROUPS_ANNOTATION = "openshift.io/sa.scc.supplemental-groups"
MCS_ANNOTATION = "openshift.io/sa.scc.mcs"


@pytest.mark.parametrize(
    "text, low, high",
    [
        ("1/3", 1, 3),
        ("1-5", 1, 5),
        ("1/3/4", 1, 3),
        ("1/3x", 1, 3),
        ("1/3 ", 1, 3),
        ("1/3,5/2", 1, 3),
        (" 1/3", 1, 3),
        ("1/ 3", 1, 3),
        ("\t1/3", 1, 3),
        ("\r1/3", 1, 3),
        ("\u30001/3", 1, 3),
        ("1- 5", 1, 5),
        ("010/3", 10, 12),
        ("0/0", 0, 4294967295),
        ("1/0", 1, 0),
        ("4294967295/2", 4294967295, 0),
        ("5-1", 5, 1),
        ("1/00000000000000000000000000000003", 1, 3),
    ],
)
def test_blocks(text: str, low: int, high: int) -> None:
    """A block is `START/SIZE` or `START-END`; what follows is ignored (spec §3.4)."""
    assert parse_block(text) == IDRange(low, high)


@pytest.mark.parametrize(
    "text, cause",
    [
        *(
            (text, "input does not match format")
            for text in ("1 /3", "1 -5", "1-5/3", "1_0/3", "0x10/3", "1.5/3", "1\n/3")
        ),
        *((text, "expected integer") for text in ("-1/3", "+1/3", "/", "-", "a-b", "1--5", "\uff11/3", "\u001c1/3")),
        ("1", "unexpected EOF"),
        ("", "EOF"),
        ("  ", "EOF"),
        ("1/", "EOF"),
        ("1-", "EOF"),
        ("\n1/3", "unexpected newline"),
        ("\r\n1/3", "unexpected newline"),
        ("1/\n3", "unexpected newline"),
        ("4294967296/1", "unsigned integer overflow on token 4294967296"),
        ("1/04294967296", "unsigned integer overflow on token 04294967296"),
        ("1/18446744073709551615", "unsigned integer overflow on token 18446744073709551615"),
        (
            "1/18446744073709551616",
            'strconv.ParseUint: parsing "18446744073709551616": value out of range',
        ),
        ("9" * 5000 + "/1", f'strconv.ParseUint: parsing "{"9" * 5000}": value out of range'),
    ],
)
def test_malformed_blocks_say_why(text: str, cause: str) -> None:
    """Each way to be malformed has its cause (spec §3.4)."""
    with pytest.raises(BlockError) as error:
        parse_block(text)
    assert str(error.value) == cause


def test_several_blocks_are_separated_by_commas() -> None:
    """Each piece of the groups annotation is a block of its own."""
    assert parse_blocks("10/3, 20/2") == (IDRange(10, 12), IDRange(20, 21))


@pytest.mark.parametrize("text", ["10/3,", ",10/3"])
def test_every_piece_must_be_a_block(text: str) -> None:
    """An empty piece is malformed."""
    with pytest.raises(BlockError, match=r"^EOF$"):
        parse_blocks(text)


@given(st.integers(0, 2**32 - 1), st.integers(1, 2**32 - 1))
def test_what_the_allocator_writes_is_read_back(start: int, size: int) -> None:
    """Every `START/SIZE` within 32 bits has the ends that one expects."""
    block = parse_block(f"{start}/{size}")
    assert (block.min, block.max) == (start, (start + size - 1) % 2**32)


@given(st.text(max_size=12))
def test_any_text_is_a_block_or_a_cause(text: str) -> None:
    """No annotation makes the parser fail in another way than by BlockError."""
    try:
        parse_block(text)
    except BlockError as error:
        assert str(error)  # noqa: PT017


@pytest.mark.parametrize(
    "annotations, missing",
    [
        ({}, UID_ANNOTATION),
        (None, UID_ANNOTATION),
        ({UID_ANNOTATION: ""}, MCS_ANNOTATION),
        ({MCS_ANNOTATION: "s0"}, UID_ANNOTATION),
        ({UID_ANNOTATION: "", MCS_ANNOTATION: ""}, None),
    ],
)
def test_two_annotations_must_exist(annotations: Any, missing: str) -> None:
    """UID range and MCS label must be there, whatever they hold (case 55)."""
    found = from_annotations("proj", annotations).missing()
    expected = f'error fetching namespace "proj": unable to find annotation {missing}'
    assert found == (expected if missing else None)


def test_a_missing_annotation_refuses_even_what_needs_none() -> None:
    """No pod is admitted where an annotation is missing, but an empty one may be unused (case 55)."""
    assert body(create(pod(), scc(), namespace=NamespaceValues("proj", None, "s0"))) == (
        f'error fetching namespace "proj": unable to find annotation {UID_ANNOTATION}'
    )
    assert create(pod(), scc(), namespace=NamespaceValues("proj", "", "")).allowed


def test_a_missing_namespace_refuses() -> None:
    """A request in a namespace that does not exist is refused."""
    assert body(create(pod(), scc(), namespace=None)) == ('error fetching namespace "proj": namespace "proj" not found')


def providers_error(under: SCC, **values: Any) -> str:
    """Why an SCC has no provider in a namespace with these values."""
    namespace = NamespaceValues(**{"name": "proj", "uid_range": "", "mcs": "", **values})
    with pytest.raises(ProviderError) as error:
        build_providers([under], namespace)
    return str(error.value)


def unavailable(what: str, cause: str) -> str:
    """The text for a value that the namespace cannot supply."""
    return (
        f"unable to find pre-allocated {what} annotation for namespace proj while trying to configure SCC s1: {cause}"
    )


@pytest.mark.parametrize("field", ["fsGroup", "supplementalGroups"])
def test_groups_do_not_fall_back_from_an_empty_annotation(field: str) -> None:
    """A groups annotation that is empty is an error; only a missing one means the UID range (cases 56, 57)."""
    cause = f"unable to find groups using {GROUPS_ANNOTATION} and {UID_ANNOTATION} annotations"
    assert providers_error(scc(**{field: MUST}), uid_range="5/5", supplemental_groups="") == unavailable("group", cause)
    (provider,) = build_providers([scc(**{field: MUST})], NamespaceValues("proj", "5/5", ""))
    ranges = provider.scc.fs_group.ranges if field == "fsGroup" else provider.scc.supplemental_groups.ranges
    assert ranges == ((IDRange(5, 5),) if field == "fsGroup" else (IDRange(5, 9),))


@pytest.mark.parametrize(
    "text, cause", [("1 /3", "input does not match format"), ("1", "unexpected EOF"), ("1/", "EOF")]
)
def test_a_malformed_block_is_named(text: str, cause: str) -> None:
    """The cause of a malformed UID range is passed on (case 58)."""
    assert providers_error(scc(runAsUser=RANGE), uid_range=text) == unavailable("uid", cause)


def test_an_empty_range_refuses_every_user() -> None:
    """A UID range whose end lies below its start contains nobody (case 58)."""
    result = create(pod(), scc(runAsUser=RANGE), namespace=NamespaceValues("proj", "5-1", ""))
    assert body(result) == "provider s1: .containers[0].runAsUser: Invalid value: 5: must be in the ranges: [5, 1]"


@pytest.mark.parametrize(
    "fields, what, cause",
    [
        ({"runAsUser": RANGE}, "uid", f"found annotation {UID_ANNOTATION} but it was empty"),
        ({"seLinuxContext": MUST}, "mcs", f"found annotation {MCS_ANNOTATION} but it was empty"),
    ],
)
def test_empty_values_that_are_needed_are_errors(fields: Json, what: str, cause: str) -> None:
    """An annotation that an SCC needs must not be empty (case 59)."""
    assert providers_error(scc(**fields)) == unavailable(what, cause)


def test_what_the_scc_says_itself_is_not_taken_from_the_namespace() -> None:
    """A namespace's values are not even read where the SCC has its own."""
    under = scc(
        runAsUser={"type": "MustRunAsRange", "uidRangeMin": 1, "uidRangeMax": 2},
        seLinuxContext={"type": "MustRunAs", "seLinuxOptions": {"level": "s0"}},
        fsGroup={"type": "MustRunAs", "ranges": [{"min": 1, "max": 1}]},
        supplementalGroups={"type": "MustRunAs", "ranges": [{"min": 1, "max": 1}]},
    )
    assert build_providers([under], NamespaceValues("proj", "x", ""))[0].scc == under


def test_the_first_failure_ends_an_scc_and_all_sccs_are_named() -> None:
    """Errors are collected over SCCs in order, one for each, equal ones once (cases 14, 15)."""
    broken = {"runAsUser": MUST, "seLinuxContext": {"type": "Whatever"}}
    with pytest.raises(ProviderError) as error:
        build_providers([scc("a", **broken), scc(), scc("b", runAsUser=RANGE)], NamespaceValues("proj", "", ""))
    assert str(error.value) == (
        "[error creating provider for SCC a in namespace proj: MustRunAs requires a UID, "
        "unable to find pre-allocated uid annotation for namespace proj while trying to configure SCC b: "
        f"found annotation {UID_ANNOTATION} but it was empty]"
    )
    assert len(build_providers([scc()], PROJ)) == 1
