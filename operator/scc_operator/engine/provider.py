"""Providers: SCCs with a namespace's values filled in, compiled into the checks that have something to do.

A provider depends on the SCC and the namespace's values alone, so a caller may keep what `build_providers` returned for
as long as these stay the same.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from scc_operator.engine.checks import CONTAINER_CHECKS, POD_CHECKS
from scc_operator.engine.checks.base import ContainerCheck, PodCheck, Terms
from scc_operator.engine.checks.sysctls import SAFE_SYSCTLS
from scc_operator.engine.errors import BlockError, ProviderError
from scc_operator.engine.namespace import NamespaceValues, parse_block, parse_blocks
from scc_operator.engine.scc import (
    MUST_RUN_AS,
    MUST_RUN_AS_RANGE,
    GroupStrategy,
    IDRange,
    SecurityContextConstraints,
    SELinuxOptions,
    evaluation_errors,
)
from scc_operator.engine.verdict import aggregate
from scc_operator.names import MCS, SUPPLEMENTAL_GROUPS, UID_RANGE


@dataclass(frozen=True, slots=True, eq=False)
class Provider:
    """An SCC ready to evaluate pods of one namespace.

    Attributes:
        scc: the SCC with the namespace's values filled in.
        root: what the paths of its objections start with.
        pod_checks: the checks of the pod that have something to do, in order.
        pod_fillers: those of them that may fill something in.
        container_checks: likewise for each container.
        container_fillers: likewise for each container.
    """

    scc: SecurityContextConstraints
    root: str
    pod_checks: tuple[PodCheck, ...]
    pod_fillers: tuple[PodCheck, ...]
    container_checks: tuple[ContainerCheck, ...]
    container_fillers: tuple[ContainerCheck, ...]

    @property
    def name(self) -> str:
        """The SCC's name."""
        return self.scc.name


def build_providers(
    ordered_sccs: Iterable[SecurityContextConstraints],
    namespace: NamespaceValues,
    safe_sysctls: frozenset[str] = SAFE_SYSCTLS,
) -> tuple[Provider, ...]:
    """One provider for each SCC, in the same order.

    Raises:
        ProviderError: at least one SCC cannot be evaluated in the namespace, or the namespace lacks its annotations;
            the text names every SCC and cause (spec/admission.md §3.2, §3.6).
    """
    missing = namespace.missing()
    if missing:
        raise ProviderError(missing)
    providers: list[Provider] = []
    errors: list[str] = []
    for scc in ordered_sccs:
        try:
            completed = complete(scc, namespace)
        except ProviderError as error:
            errors.append(str(error))
            continue
        causes = evaluation_errors(completed)
        if causes:
            errors.append(f"error creating provider for SCC {scc.name} in namespace {namespace.name}: {causes[0]}")
        else:
            providers.append(compile_provider(completed, safe_sysctls))
    if errors:
        raise ProviderError(aggregate(errors))
    return tuple(providers)


def compile_provider(scc: SecurityContextConstraints, safe_sysctls: frozenset[str] = SAFE_SYSCTLS) -> Provider:
    """The provider of an SCC whose values are complete and that has no `evaluation_errors`."""
    terms = Terms(scc, safe_sysctls)
    pod_checks = tuple(check for check in (compiled(terms) for compiled in POD_CHECKS) if check)
    container_checks = tuple(check for check in (compiled(terms) for compiled in CONTAINER_CHECKS) if check)
    return Provider(
        scc=scc,
        root=f"provider {scc.name}: ",
        pod_checks=pod_checks,
        pod_fillers=tuple(check for check in pod_checks if type(check).fill is not PodCheck.fill),
        container_checks=container_checks,
        container_fillers=tuple(check for check in container_checks if type(check).fill is not ContainerCheck.fill),
    )


def complete(scc: SecurityContextConstraints, namespace: NamespaceValues) -> SecurityContextConstraints:
    """The SCC with what it leaves to the namespace filled in (spec/admission.md §3.3).

    Raises:
        ProviderError: a value that it needs is empty or malformed.
    """
    user, context = scc.run_as_user, scc.se_linux_context
    if user.type == MUST_RUN_AS_RANGE and user.uid_range_min is None and user.uid_range_max is None:
        block = _uid_block(scc, namespace)
        user = msgspec.structs.replace(user, uid_range_min=block.min, uid_range_max=block.max)
    if context.type == MUST_RUN_AS and not (context.se_linux_options and context.se_linux_options.level):
        options = context.se_linux_options or SELinuxOptions()
        options = msgspec.structs.replace(options, level=_level(scc, namespace))
        context = msgspec.structs.replace(context, se_linux_options=options)
    fs_group, supplemental_groups = scc.fs_group, scc.supplemental_groups
    if _needs_ranges(fs_group):
        first = _group_blocks(scc, namespace)[0].min
        fs_group = msgspec.structs.replace(fs_group, ranges=(IDRange(first, first),))
    if _needs_ranges(supplemental_groups):
        blocks = _group_blocks(scc, namespace)
        supplemental_groups = msgspec.structs.replace(supplemental_groups, ranges=blocks)
    return msgspec.structs.replace(
        scc,
        run_as_user=user,
        se_linux_context=context,
        fs_group=fs_group,
        supplemental_groups=supplemental_groups,
    )


def _needs_ranges(strategy: GroupStrategy) -> bool:
    return strategy.type == MUST_RUN_AS and not strategy.ranges


def _uid_block(scc: SecurityContextConstraints, namespace: NamespaceValues) -> IDRange:
    if not namespace.uid_range:
        raise _unavailable("uid", scc, namespace, f"found annotation {UID_RANGE} but it was empty")
    try:
        return parse_block(namespace.uid_range)
    except BlockError as error:
        raise _unavailable("uid", scc, namespace, str(error)) from error


def _level(scc: SecurityContextConstraints, namespace: NamespaceValues) -> str:
    if not namespace.mcs:
        raise _unavailable("mcs", scc, namespace, f"found annotation {MCS} but it was empty")
    return namespace.mcs


def _group_blocks(scc: SecurityContextConstraints, namespace: NamespaceValues) -> tuple[IDRange, ...]:
    text = namespace.uid_range if namespace.supplemental_groups is None else namespace.supplemental_groups
    if not text:
        cause = f"unable to find groups using {SUPPLEMENTAL_GROUPS} and {UID_RANGE} annotations"
        raise _unavailable("group", scc, namespace, cause)
    try:
        return parse_blocks(text)
    except BlockError as error:
        raise _unavailable("group", scc, namespace, str(error)) from error


def _unavailable(what: str, scc: SecurityContextConstraints, namespace: NamespaceValues, cause: str) -> ProviderError:
    return ProviderError(
        f"unable to find pre-allocated {what} annotation for namespace {namespace.name} "
        f"while trying to configure SCC {scc.name}: {cause}"
    )
