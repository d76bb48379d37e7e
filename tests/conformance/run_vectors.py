"""Run test vectors against the engine: `python tests/conformance/run_vectors.py FILE.jsonl.gz [FILE...]`.

Each mismatch is one line; the last line is `N passed, N failed`, and the exit code is 1 when anything failed.
A line of a vector file is `{"case": CASE, "expect": EXPECT}`: a question to OpenShift and its answer.
"""

import gzip
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "operator"))

from scc_operator.engine import admit, judge, namespace, order  # noqa: E402
from scc_operator.engine.scc import parse_scc, with_defaults  # noqa: E402
from scc_operator.names import SCC_ANNOTATION, SUBJECT_TYPE  # noqa: E402

Json = dict[str, Any]


def read(path: Path) -> Iterator[Json]:
    """The vectors of a file."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def mismatches(vector: Json) -> list[str]:
    """Each way in which the engine's answer differs from the expected one."""
    case, expect = vector["case"], vector["expect"]
    pod = with_empty_lists(expect["defaultedPod"], case["pod"])
    answer = answer_of(case, pod, expect.get("defaultedOldPod"))
    return [
        f"{key}: expected {json.dumps(expect.get(key))}, got {json.dumps(found)}"
        for key, found in answer.items()
        if found != (without_empty(expect["pod"]) if key == "pod" else expect.get(key))
    ]


def answer_of(case: Mapping[str, Any], pod: Json, old_pod: Json | None) -> Json:
    """What the engine says to a case whose pods are given as they reach the plugin."""
    options = case.get("options") or {}
    sccs = [parse_scc(scc) for scc in case["sccs"]]
    if options.get("sccDefaults", True):
        sccs = [with_defaults(scc) for scc in sccs]
    ordered = order.order(sccs)
    name = (case["namespace"] or pod)["metadata"]["name" if case["namespace"] else "namespace"]
    cluster = admit.Cluster(
        sccs=ordered,
        namespace=namespace.from_annotations(name, case["namespace"]["metadata"].get("annotations"))
        if case["namespace"]
        else None,
        subjects=Subjects(case, pod, name, {scc.name: scc for scc in ordered}),
        needed_sccs=admit.STANDARD_SCCS if options.get("requireStandardSCCs") else (),
    )
    request = admit.AdmissionRequest(
        operation=case["operation"],
        object=pod,
        old_object=old_pod,
        namespace=name,
        subresource=case.get("subresource") or "",
    )
    return {
        **run_passes(request, cluster, validate_only=bool(options.get("validateOnly"))),
        "order": [scc.name for scc in ordered],
        "points": {scc.name: order.points(scc) for scc in ordered},
    }


def run_passes(request: admit.AdmissionRequest, cluster: admit.Cluster, *, validate_only: bool) -> Json:
    """The mutating pass, unless it is left out, and the validating pass on what it completed."""
    audit: dict[str, str] = {}
    admitted = None
    if not validate_only:
        admitted = admit.admit(request, cluster)
        audit.update(admitted.audit)
        if not admitted.allowed:
            return _refused("admit", admitted.message, audit)
        request = admit.AdmissionRequest(
            operation=request.operation,
            object=admitted.pod or {},
            old_object=request.old_object,
            namespace=request.namespace,
            subresource=request.subresource,
        )
    validated = admit.validate(request, cluster)
    audit = {**validated.audit, **audit}
    if not validated.allowed:
        return _refused("validate", validated.message, audit)
    # A pass that looks at a pod which the other one had to correct may find nothing left to look at.
    ignored = admitted.ignored if admitted else validated.ignored
    recorded = (request.object["metadata"].get("annotations") or {}) if admitted else {}
    return {
        "admitted": True,
        "ignored": ignored,
        "scc": validated.scc or recorded.get(SCC_ANNOTATION, ""),
        "subjectType": recorded.get(SUBJECT_TYPE, ""),
        "phase": "",
        "error": "",
        "audit": audit,
        "pod": without_empty(request.object),
    }


def _refused(phase: str, message: str, audit: dict[str, str]) -> Json:
    return {
        "admitted": False,
        "ignored": False,
        "scc": "",
        "subjectType": "",
        "phase": phase,
        "error": message,
        "audit": audit,
        "pod": None,
    }


class Subjects:
    """The subject test of a case: the SCCs' own users and groups, and the grants that stand for RBAC."""

    def __init__(self, case: Mapping[str, Any], pod: Json, namespace_name: str, sccs: Mapping[str, Any]) -> None:
        self.sccs = sccs
        self.account_prefix = f"system:serviceaccount:{namespace_name}:"
        self.account_groups = {"system:serviceaccounts", f"system:serviceaccounts:{namespace_name}"}
        user = case["user"]
        self.user = user["name"]
        self.user_groups = set(user.get("groups") or ())
        account = pod["spec"].get("serviceAccountName")
        names = {"user": self.user, "serviceaccount": f"{self.account_prefix}{account}" if account else None}
        self.grants = {(names[grant["subject"]], grant["scc"]) for grant in case.get("allow") or ()}

    def __call__(self, service_account: str, scc: str) -> str | None:
        """Whose grant makes the SCC usable."""
        if service_account and self._may_use(self.account_prefix + service_account, self.account_groups, scc):
            return judge.SERVICE_ACCOUNT
        return judge.USER if self._may_use(self.user, self.user_groups, scc) else None

    def _may_use(self, name: str, groups: set[str], scc: str) -> bool:
        return (
            name in self.sccs[scc].users
            or not groups.isdisjoint(self.sccs[scc].groups)
            or (name, scc) in self.grants
            or (name, "*") in self.grants
        )


def with_empty_lists(written: Any, given: Any) -> Any:
    """The pod that reached the plugin, with the empty lists that writing it as JSON left out.

    To the plugin an empty list differs from an absent one (supplementalGroups); the case still has it.
    """
    if isinstance(written, dict) and isinstance(given, dict):
        lost: Json = {key: [] for key, value in given.items() if value == [] and key not in written}
        return {**{key: with_empty_lists(value, given.get(key)) for key, value in written.items()}, **lost}
    if isinstance(written, list) and isinstance(given, list):
        return [
            with_empty_lists(value, given[index] if index < len(given) else None) for index, value in enumerate(written)
        ]
    return written


def without_empty(value: Any) -> Any:
    """The same JSON without empty lists, as the expected pods are written."""
    if isinstance(value, dict):
        return {key: without_empty(member) for key, member in value.items() if member != []}
    if isinstance(value, list):
        return [without_empty(member) for member in value]
    return value


def main(arguments: list[str]) -> int:
    """Run all files; 0 when everything matched."""
    if not arguments:
        print(__doc__, file=sys.stderr)
        return 2
    passed = failed = 0
    for path in map(Path, arguments):
        for vector in read(path):
            found = mismatches(vector)
            if found:
                failed += 1
                print(f"{vector['case']['id']}: {'; '.join(found)}")
            else:
                passed += 1
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
