"""Manifests that people deploy: no verb breaks on them, and a recommendation is no wider than its authors' own SCC.

They are read from the folder that SCC_CORPUS names, or from `../shared/corpus` beside the repository, with its
`index.tsv`; without one there is nothing to test here.
"""

import csv
import json
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
import yaml
from tests.unit.cli.conftest import Run

from scc_operator.audit.answer import Verdict
from scc_operator.audit.compare import compare
from scc_operator.cli.manifests import load
from scc_operator.cli.workloads import workloads_of
from scc_operator.engine.api_defaults import with_api_defaults, with_service_account
from scc_operator.engine.judge import evaluate
from scc_operator.engine.namespace import NamespaceValues
from scc_operator.engine.pod import parse_pod
from scc_operator.engine.provider import build_providers, complete
from scc_operator.engine.scc import SecurityContextConstraints, parse_scc, with_defaults

BESIDE = Path(__file__).parents[4] / "shared" / "corpus"
FOLDER = os.environ.get("SCC_CORPUS") or (str(BESIDE) if BESIDE.exists() else "")
pytestmark = pytest.mark.skipif(not FOLDER, reason="SCC_CORPUS names no folder of manifests and none is beside us")

VALUES = NamespaceValues("app", "1000000000/10000", "s0:c26,c5", "1000000000/10000")


class File(NamedTuple):
    """A manifest of the corpus and where its authors keep it."""

    path: str
    repo: str
    folder: str


class Pair(NamedTuple):
    """A workload and the SCC that its authors ship for it."""

    workload: str
    repo: str
    path: str
    shipped: SecurityContextConstraints


def files() -> list[File]:
    """All manifests of the corpus."""
    if not FOLDER:
        return []
    with (Path(FOLDER) / "index.tsv").open(encoding="utf-8") as index:
        rows = list(csv.DictReader(index, delimiter="\t"))
    return [File(str(Path(FOLDER) / row["file"]), row["repo"], str(Path(row["path"]).parent)) for row in rows]


def pairs() -> Iterator[Pair]:
    """Workloads whose authors ship an SCC for them: by its users, its name, or the folder that both stand in."""
    sccs: defaultdict[str, list[tuple[File, SecurityContextConstraints]]] = defaultdict(list)
    workloads: list[tuple[File, str, str]] = []
    for file in files():
        for document in load([file.path]):
            if document.raw["kind"] == "SecurityContextConstraints":
                sccs[file.repo].append((file, with_defaults(parse_scc(document.raw))))
            else:
                for each in workloads_of(document.raw, "app"):
                    spec = each.pod["spec"]
                    account = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
                    workloads.append((file, each.title, account))
    for file, title, account in workloads:
        for other, scc in sccs[file.repo]:
            named = any(user.endswith(f":{account}") for user in scc.users) or scc.name == account
            if named or other.folder == file.folder:
                yield Pair(title, file.repo, file.path, scc)


@pytest.mark.parametrize("file", files(), ids=lambda file: Path(file.path).name)
def test_no_verb_breaks_on_it(run: Run, file: File) -> None:
    """Review and recommend answer for every file, or say that it holds no pod."""
    for verb in ("review", "recommend"):
        result = run(verb, "--offline", "-f", file.path, "-o", "json")
        if result.code == 1:
            assert "found no pod" in result.err
        else:
            assert json.loads(result.out)["items"], verb


@pytest.mark.parametrize("file", files(), ids=lambda file: Path(file.path).name)
def test_the_recommended_scc_admits_its_workloads(run: Run, file: File) -> None:
    """Every recommendation is proven, and a review with the manifests applied denies nothing."""
    workloads = text_of(file.path)
    result = run("recommend", "--offline", "-f", "-", "-o", "json", stdin=workloads)
    if result.code == 1:
        return
    items = json.loads(result.out)["items"]
    assert all(item["proven"] for item in items if item["choice"] != "none"), items
    manifests = run("recommend", "--offline", "-f", "-", "-o", "manifests", stdin=workloads).out
    review = run("review", "--offline", "-f", "-", "-o", "json", stdin=f"{workloads}\n---\n{manifests}")
    denied = [each for each in json.loads(review.out)["items"] if each["result"] == Verdict.DENIED]
    assert denied == []


def test_the_recommended_scc_is_no_wider_than_that_of_the_authors(run: Run) -> None:
    """Where theirs admits the workload, the recommended one allows only what theirs, or restricted-v2, allows."""
    rows = [row for row in table(run) if row.admits]
    assert rows
    assert [row for row in rows if row.more] == []


class Row(NamedTuple):
    """A pair, and the recommended SCC.

    Attributes:
        relation: how the recommended SCC stands to that of the authors.
        more: what it allows that neither theirs nor restricted-v2, which everybody may use, allows.
        admits: theirs admits the workload.
    """

    repo: str
    workload: str
    authors: str
    recommended: str
    relation: str
    more: str
    admits: bool


def table(run: Run) -> Iterator[Row]:
    """The recommended SCC of each workload against the one that its authors ship for it."""
    baseline = complete(default_scc(run, "restricted-v2"), VALUES)
    for pair in sorted(set(pairs()), key=lambda pair: (pair.repo, pair.path, pair.workload, pair.shipped.name)):
        workload = next(
            each
            for document in load([pair.path])
            for each in workloads_of(document.raw, "app")
            if each.title == pair.workload
        )
        raw = yaml.safe_dump(workload.pod | {"metadata": {**workload.pod["metadata"], "namespace": "app"}})
        (item,) = json.loads(run("recommend", "--offline", "-f", "-", "-o", "json", stdin=raw).out)["items"]
        manifests = run("recommend", "--offline", "-f", "-", "-o", "manifests", stdin=raw).out
        new = [each for each in yaml.safe_load_all(manifests) if each and each["kind"] == "SecurityContextConstraints"]
        name = item["scc"] or item["required"][0]["scc"]
        ours = complete(with_defaults(parse_scc(new[0])) if new else default_scc(run, name), VALUES)
        theirs = complete(pair.shipped, VALUES)
        (provider,) = build_providers([theirs], VALUES)
        admits = evaluate(parse_pod(with_service_account(with_api_defaults(workload.pod))), provider).fits
        free = {field.name for field in compare(baseline, ours).fields if not field.more_in_second}
        more = [
            extra.text
            for field in compare(with_baseline(theirs, baseline), ours).fields
            for extra in field.more_in_second
            if not extra.formal and field.name not in free
        ]
        relation = compare(theirs, ours).relation.value
        yield Row(pair.repo, pair.workload, theirs.name, ours.name, relation, "; ".join(more), admits)


def with_baseline(scc: SecurityContextConstraints, baseline: SecurityContextConstraints) -> SecurityContextConstraints:
    """The SCC with what restricted-v2 lists in addition."""
    return msgspec.structs.replace(
        scc,
        volumes=tuple({*(scc.volumes or ()), *(baseline.volumes or ())}),
        allowed_capabilities=tuple({*scc.allowed_capabilities, *baseline.allowed_capabilities}),
    )


def default_scc(run: Run, name: str) -> SecurityContextConstraints:
    """A default SCC."""
    (found,) = json.loads(run("describe", name, "--offline", "-o", "json").out)["items"]
    return parse_scc(found["rules"])


def text_of(path: str) -> str:
    """A manifest, with a namespace that can exist where a controller is to fill one in."""
    text = Path(path).read_text(encoding="utf-8")
    for placeholder in ("FILLED BY THE OPERATOR", "${OBJECT_NAMESPACE}"):
        text = text.replace(placeholder, "app")
    return text
