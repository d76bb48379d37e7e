"""MCS labels: which SELinux categories a block's namespace gets (spec/namespaces.md §2).

Labels are numbered. Label number `offset` of a range with `K` categories per label is the offset-th K-subset of the
categories in colexicographic order; block `i` owns the `labels_per_block` labels from `i * labels_per_block` on and
uses the first of them. OpenShift emits invalid or shared labels where the numbers do not fit; here such a configuration
is refused.
"""

import re
from bisect import bisect_right
from math import comb

import msgspec

from scc_operator.allocation.uid_blocks import UIDRange

MAX_CATEGORIES = 1024
MAX_PER_LABEL = 5
DEFAULT_LABELS_PER_BLOCK = 5

_DECIMAL = re.compile(r"[+-]?0*[0-9]{1,9}", re.ASCII)
_CATEGORY = re.compile(r"c([0-9]{1,9})", re.ASCII)


class InvalidMCSRange(ValueError):
    """A configured MCS range that cannot give every block a label of its own; the text says why."""


class MCSRange(msgspec.Struct, frozen=True):
    """All labels of `per_label` distinct categories out of `c0` to `c<categories - 1>` behind `prefix`."""

    prefix: str
    per_label: int
    categories: int = MAX_CATEGORIES

    @property
    def count(self) -> int:
        """The number of distinct labels."""
        return comb(self.categories, self.per_label)

    def label(self, offset: int) -> str:
        """Label number `offset`, for example `s0:c26,c5`, categories in descending order.

        Raises:
            IndexError: there is no such label (OpenShift would emit one that SELinux refuses).
        """
        if not 0 <= offset < self.count:
            raise IndexError(f"label {offset} is outside of MCS range {self}, which has labels 0 to {self.count - 1}")
        chosen = []
        left = offset
        for position in range(self.per_label, 0, -1):
            category = self._largest_category(position, left)
            left -= comb(category, position)
            chosen.append(f"c{category}")
        return self._lead + ",".join(chosen)

    def offset_of(self, label: str) -> int | None:
        """The number of a label of this range, whatever the order of its categories; None for any other text."""
        if not label.startswith(self._lead):
            return None
        matches = [_CATEGORY.fullmatch(word) for word in label[len(self._lead) :].split(",")]
        chosen = sorted(int(match[1]) for match in matches if match)
        if len(chosen) != len(matches) or len(set(chosen)) != self.per_label or len(chosen) != self.per_label:
            return None
        if chosen[-1] >= self.categories:
            return None
        return sum(comb(category, position) for position, category in enumerate(chosen, start=1))

    def _largest_category(self, position: int, limit: int) -> int:
        """The largest category with at most `limit` ways to choose `position` categories below it."""
        return bisect_right(range(self.categories), limit, key=lambda category: comb(category, position)) - 1

    @property
    def _lead(self) -> str:
        """What stands before the first category: the prefix, completed by a colon unless it ends in `:` or `,`."""
        return self.prefix if not self.prefix or self.prefix[-1] in ":," else self.prefix + ":"

    def __str__(self) -> str:
        limit = "" if self.categories == MAX_CATEGORIES else f",{self.categories}"
        return f"{self.prefix}/{self.per_label}{limit}"


class LabelPlan(msgspec.Struct, frozen=True):
    """Which label numbers belong to which block, and which to none. Made by `label_plan`, which checks that all fit."""

    mcs_range: MCSRange
    blocks: int
    per_block: int

    def label_of_block(self, index: int) -> str:
        """The label of block `index`.

        Raises:
            IndexError: there is no such label.
        """
        return self.mcs_range.label(index * self.per_block)

    def block_of_label(self, label: str) -> int | None:
        """The index of the block whose label this is; None where it is no block's."""
        offset = self.mcs_range.offset_of(label)
        return None if offset is None else self.block_of_offset(offset)

    def block_of_offset(self, offset: int) -> int | None:
        """The index of the block whose label has number `offset`; None where it is no block's."""
        index, beside = divmod(offset, self.per_block)
        return None if beside or index >= self.blocks else index

    @property
    def spare(self) -> range:
        """The label numbers behind those of the last block: no block will ever own them."""
        return range(self.blocks * self.per_block, self.mcs_range.count)


def parse_mcs_range(text: str) -> MCSRange:
    """Read `PREFIX/K` or `PREFIX/K,N`: K categories per label, out of N (spec/namespaces.md §2.1).

    Unlike OpenShift's, a negative K (it allocates without end) and an N that leaves no label are refused.

    Raises:
        InvalidMCSRange: not of that form, K not 1 to 5, N not K to 1024.
    """
    prefix, slash, rest = text.partition("/")
    per_label_text, comma, categories_text = rest.partition(",")
    per_label = _decimal(per_label_text)
    categories = _decimal(categories_text) if comma else MAX_CATEGORIES
    if not slash or per_label is None or categories is None:
        raise InvalidMCSRange(
            f"MCS range {text!r} is not of the form PREFIX/K or PREFIX/K,N with whole numbers, for example s0:/2"
        )
    if not 1 <= per_label <= MAX_PER_LABEL:
        raise InvalidMCSRange(f"MCS range {text!r} asks for {per_label} categories per label: 1 to {MAX_PER_LABEL}")
    if not per_label <= categories <= MAX_CATEGORIES:
        raise InvalidMCSRange(
            f"MCS range {text!r} has {categories} categories: {per_label} (one label) to {MAX_CATEGORIES}"
        )
    return MCSRange(prefix, per_label, categories)


def label_plan(mcs_range: MCSRange, uid_range: UIDRange, labels_per_block: int = DEFAULT_LABELS_PER_BLOCK) -> LabelPlan:
    """Give every block of `uid_range` its labels.

    `labels_per_block` 0 means the default of 5; a negative one counts as 1 (spec/namespaces.md §2.2).

    Raises:
        InvalidMCSRange: there are more blocks than labels, so two namespaces would share one.
    """
    per_block = max(labels_per_block, 1) if labels_per_block else DEFAULT_LABELS_PER_BLOCK
    fitting = (mcs_range.count + per_block - 1) // per_block
    if uid_range.count > fitting:
        raise InvalidMCSRange(
            f"MCS range {mcs_range} has {mcs_range.count} labels, which is enough for {fitting} blocks at {per_block} "
            f"labels each, but UID range {uid_range} has {uid_range.count} blocks: two namespaces would share a label. "
            "Use more categories per label, fewer labels per block, or fewer and larger UID blocks"
        )
    return LabelPlan(mcs_range, uid_range.count, per_block)


def _decimal(text: str) -> int | None:
    """A signed whole number, or None."""
    return int(text) if _DECIMAL.fullmatch(text) else None
