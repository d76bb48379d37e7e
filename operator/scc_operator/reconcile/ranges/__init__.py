"""Gives every namespace its UID block, MCS label and group range, and remembers who has which."""

from scc_operator.reconcile.ranges.allocator import RangeAllocator, check_configuration

__all__ = ["RangeAllocator", "check_configuration"]
