"""Who holds or held which block: what a NamespaceRange says, and how that follows from the namespaces.

The ledger knows only that a block is taken. A holding knows by whom, and goes on knowing when the namespace is gone:
its block is then quarantined, as its former user IDs still own files on volumes. All of it can be rebuilt from the
namespaces, but for what was released and what an administrator pinned.
"""

from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum

import msgspec

from scc_operator.allocation.census import NamespaceState
from scc_operator.allocation.problems import listed
from scc_operator.allocation.uid_blocks import Block, InvalidBlock, UIDRange, parse_block
from scc_operator.names import UID_RANGE


class State(StrEnum):
    """What has become of a block."""

    BOUND = "Bound"
    """A live namespace has it."""
    RELEASED = "Released"
    """Its namespace is gone; it is given to nobody until the quarantine is over."""
    RESERVED = "Reserved"
    """An administrator pinned it to a namespace that does not exist, or does not have it yet."""
    CONFLICT = "Conflict"
    """Namespaces, or a namespace and a pin, contradict each other; `message` says how and what to do."""


class Holding(msgspec.Struct, frozen=True):
    """One block, and who holds or held it."""

    block: Block
    pinned_to: str = ""
    """The namespace that an administrator keeps it for, by name."""
    state: State = State.RESERVED
    namespace: str = ""
    """The namespace that holds it, or held it last."""
    uid: str = ""
    """That namespace's uid."""
    groups: str | None = None
    mcs: str | None = None
    """Its other annotations, as they were when it last had all of them."""
    released_at: int | None = None
    """When that namespace was found to be gone, in Unix seconds."""
    since: int = 0
    """When `state` became what it is, in Unix seconds."""
    volumes: tuple[str, ...] = ()
    """PersistentVolumes that were bound in that namespace and still exist, seen since it is gone."""
    message: str = ""

    @property
    def name(self) -> str:
        """The name of its NamespaceRange: the block, so that the API server keeps it the only one."""
        return holding_name(self.block)

    def over(self, now: float, quarantine: float) -> bool:
        """Whether nothing keeps the block any more."""
        if self.pinned_to or self.state is not State.RELEASED:
            return False
        return self.released_at is None or (not self.volumes and now >= self.released_at + quarantine)


def holding_name(block: Block) -> str:
    """`1000670000-10000` for the block `1000670000/10000`."""
    return f"{block.start}-{block.size}"


def last_known(stored: Holding | None, left: Holding | None) -> Holding | None:
    """What is known of a block: what is stored, unless its holder `left` before that could be stored."""
    if left is None or (stored is not None and (stored.released_at is None or stored.uid == left.uid)):
        return stored
    return msgspec.structs.replace(left, pinned_to=stored.pinned_to) if stored else left


def follow(
    block: Block,
    carriers: Sequence[NamespaceState],
    known: Holding | None,
    live: Callable[[str], NamespaceState | None],
    uid_range: UIDRange,
    now: float,
) -> Holding | None:
    """What is to be known of a block from now on; None where there is nothing to know.

    Args:
        block: the block.
        carriers: all namespaces that carry it, in the order of their names.
        known: what was known of it.
        live: finds a namespace by name.
        uid_range: the configured range.
        now: the time in Unix seconds.
    """
    if carriers:
        found = _carried(block, carriers, known)
    elif known is None:
        return None
    else:
        found = _not_carried(known, live, uid_range, now)
    same_state = known is not None and known.since and known.state is found.state
    return found if same_state else msgspec.structs.replace(found, since=int(now))


def _not_carried(
    known: Holding, live: Callable[[str], NamespaceState | None], uid_range: UIDRange, now: float
) -> Holding:
    holder = live(known.namespace)
    if known.released_at is None and holder is not None and holder.uid == known.uid and not _has_block(holder):
        return _about_to_return(known, holder)
    if known.uid and known.released_at is None:
        known = msgspec.structs.replace(known, released_at=int(now), groups=None, mcs=None)
    if known.pinned_to:
        return _pinned(known, live(known.pinned_to), uid_range)
    return msgspec.structs.replace(known, state=State.RELEASED, message=_why_released(known))


def _has_block(state: NamespaceState) -> bool:
    """Whether a namespace carries a block, whatever block it is."""
    try:
        return state.uid_range is not None and parse_block(state.uid_range).holds_uids
    except InvalidBlock:
        return False


def _carried(block: Block, carriers: Sequence[NamespaceState], known: Holding | None) -> Holding:
    known = known or Holding(block)
    holder = next((carrier for carrier in carriers if carrier.uid == known.uid), carriers[0])
    same = holder.uid == known.uid
    others = [carrier.name for carrier in carriers if carrier is not holder]
    message = ""
    if others:
        message = (
            f"also carried by {listed(others)}, so their pods share user IDs. Remove the three annotations "
            "openshift.io/sa.scc.* there and restart the pods"
        )
    elif known.pinned_to not in {"", holder.name}:
        message = (
            f"pinned to {known.pinned_to}, but namespace {holder.name} has it. Change spec.pinnedTo, or delete that "
            "namespace"
        )
    return Holding(
        block,
        pinned_to=known.pinned_to,
        state=State.CONFLICT if message else State.BOUND,
        namespace=holder.name,
        uid=holder.uid,
        groups=(known.groups if same else None) if holder.groups is None else holder.groups,
        mcs=(known.mcs if same else None) if holder.mcs is None else holder.mcs,
        since=known.since,
        message=message,
    )


def _about_to_return(known: Holding, holder: NamespaceState) -> Holding:
    """The holder lost its annotation, which will be restored, or overwrote it with something that is no block."""
    if holder.uid_range is None:
        return known
    message = (
        f"namespace {holder.name} carries {UID_RANGE} {holder.uid_range!r}, which is no block. Write {known.block}, or "
        "remove the annotation to have it restored"
    )
    return msgspec.structs.replace(known, state=State.CONFLICT, message=message)


def _pinned(known: Holding, namespace: NamespaceState | None, uid_range: UIDRange) -> Holding:
    state = State.CONFLICT
    if uid_range.index_of(known.block) is None:
        message = (
            f"not a block of {uid_range}, so it is given to nobody. Annotate namespace {known.pinned_to} with it "
            "instead"
        )
    elif namespace is not None and _has_block(namespace):
        message = (
            f"namespace {namespace.name} has block {namespace.uid_range} already. To move it here, remove its three "
            "annotations openshift.io/sa.scc.* and restart the pods"
        )
    else:
        state = State.RESERVED
        before = f", held by namespace {known.namespace} before" if known.namespace else ""
        message = f"kept for namespace {known.pinned_to}{before}"
    return msgspec.structs.replace(known, state=state, message=message, volumes=())


def _why_released(known: Holding) -> str:
    if not known.uid:
        return "neither held nor pinned"
    gone = f"quarantined: namespace {known.namespace} does not have it any more"
    if not known.volumes:
        return gone
    return f"{gone}, and its files may be on {listed(known.volumes, 'PersistentVolume')}"


class Claims(msgspec.Struct, frozen=True):
    """All holdings that still count, as allocation asks for them."""

    by_uid: dict[str, Holding]
    """What a live namespace had before, by its uid."""
    pins: dict[str, Holding]
    """By the name of the namespace; of several pins the lowest block counts."""
    kept: tuple[Holding, ...]
    """All of them: their blocks are given to nobody else."""


def claims(holdings: Iterable[Holding], now: float, quarantine: float) -> Claims:
    """Sort holdings for allocation, without those whose time is over."""
    kept = tuple(sorted((each for each in holdings if not each.over(now, quarantine)), key=lambda each: each.block))
    by_uid = {each.uid: each for each in kept if each.uid and each.released_at is None}
    pins: dict[str, Holding] = {}
    for each in kept:
        if each.pinned_to:
            pins.setdefault(each.pinned_to, each)
    return Claims(by_uid, pins, kept)


NO_CLAIMS = Claims({}, {}, ())
