"""What the documents list is what the code has: reasons, settings, metrics, problems, links."""

import re
from pathlib import Path

import msgspec
import pytest

from scc_operator.reports.metrics import Metrics
from scc_operator.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "operator" / "scc_operator"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])


def section(document: str, heading: str) -> str:
    """The text under a heading, up to the next heading of whatever level."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.split(r"^#+ ", text.split(f"# {heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def first_column(document: str, heading: str) -> set[str]:
    """The words in code type of the first column of the tables under a heading."""
    rows = re.findall(r"^\| (`.*?) \|", section(document, heading), re.MULTILINE)
    return {word for row in rows for word in re.findall(r"`([^`]+)`", row)}


def source(*paths: str) -> str:
    """The text of files of the package."""
    return "\n".join((PACKAGE / path).read_text(encoding="utf-8") for path in paths)


def test_every_objection_of_the_engine_is_explained() -> None:
    """The reasons in docs/answers.md are those that the headers of the checks name."""
    headers = re.findall(r"^Objects to: +(.*)$", source(*map(str, PACKAGE.glob("engine/checks/*.py"))), re.MULTILINE)
    codes = {code for header in headers for code in re.findall(r"\b[A-Z]\w+[a-z][A-Z]\w+", header.split(":")[0])}
    assert first_column("docs/answers.md", "Objections") == codes


def test_every_other_reason_of_the_audit_is_explained() -> None:
    """The remaining reasons are those that the view, the auditor and the judge give."""
    text = source("audit/view.py", "audit/auditor.py", "engine/judge.py")
    codes = set(re.findall(r'"((?:[A-Z][a-z]+){2,}|[A-Z]\w*SCC\w*)"', text))
    codes -= {"ChangesNeeded"}  # only an update can need changes that it is not allowed
    assert first_column("docs/answers.md", "Other reasons") == codes


def test_every_problem_of_a_namespace_is_explained() -> None:
    """The reasons of Events on namespaces are those of the allocation."""
    codes = set(
        re.findall(r'^ +"([A-Z]\w+)"(?:,| if )|else "([A-Z]\w+)"', source("allocation/problems.py"), re.MULTILINE)
    )
    found = {code for pair in codes for code in pair if code}
    found |= set(re.findall(r'_problem\([^"\n]+"(\w+)"', source("allocation/problems.py")))
    assert first_column("docs/troubleshooting.md", "An Event on a namespace") == found


def test_every_problem_of_a_binding_is_explained() -> None:
    """The reasons why a binding is not ready are those that the access room and the reconciler give."""
    text = source("access/scc_bindings.py", "access/reconciliation.py", "reconcile/bindings.py")
    codes = set(re.findall(r'Problem\(\s*"(\w+)"', text))
    assert first_column("docs/troubleshooting.md", "An SCC binding is not ready") == codes


def test_every_setting_is_listed_with_its_default() -> None:
    """The table in README.md has each variable, in the order of the settings' meaning, with the default that it has."""
    listed = dict(
        re.findall(r"^\| `(SCC_OPERATOR_\w+)` \| `([^`]*)` \|", section("README.md", "Settings"), re.MULTILINE)
    )
    defaults = {}
    for field in msgspec.structs.fields(Settings):
        value = field.default
        if isinstance(value, frozenset):
            value = ",".join(sorted(value))
        defaults[PREFIX + field.name.upper()] = f"{value:g}" if isinstance(value, float) else str(value)
    assert listed == defaults


def test_every_metric_is_listed() -> None:
    """The table in README.md has each metric under the name that Prometheus sees."""
    metrics = Metrics()
    for watch in (name for name in dir(metrics) if name.startswith("watch_")):
        getattr(metrics, watch)(list)
    names = {f"{each.name}_total" if each.type == "counter" else each.name for each in metrics.registry.collect()}
    listed = first_column("README.md", "Metrics and health")
    assert listed == names


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    """Each link to a file of the repository leads to one, each anchor to a heading."""
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        found = document.parent / path if path else document
        assert found.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", found.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {heading.lower().replace(" ", "-") for heading in headings}, target
