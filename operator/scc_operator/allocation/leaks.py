"""Blocks that are taken for nobody, and when they may be freed.

An allocator of OpenShift's takes a block first and annotates then, and leaves no word for whom: in between the block
looks like a leaked one. So a block is freed only when it was taken for nobody at two looks a grace apart, and at every
look between them.
"""

import msgspec


class Suspects(msgspec.Struct, frozen=True):
    """The bitmap of blocks that were taken for nobody at a first look, and the time of that look in seconds."""

    blocks: int = 0
    since: float = 0.0

    def seen(self, unclaimed: int) -> "Suspects":
        """After a look at which only these blocks were taken for nobody: the others are suspects no more."""
        return Suspects(self.blocks & unclaimed, self.since)

    def look(self, unclaimed: int, now: float, grace: float) -> tuple["Suspects", int]:
        """After a look at fresh data: the suspects from now on, and the blocks that may be freed."""
        if self.blocks and now - self.since < grace:
            return self.seen(unclaimed), 0
        confirmed = self.blocks & unclaimed
        return Suspects(unclaimed & ~confirmed, now), confirmed
