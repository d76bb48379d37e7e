"""Reviews for continuous integration: JUnit XML and SARIF."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape, quoteattr

import msgspec

from scc_operator import __version__
from scc_operator.audit.answer import Verdict

if TYPE_CHECKING:
    from scc_operator.cli.review import Reviewed

_SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_NOTHING_USABLE = "NotAdmitted"


def junit(items: Sequence["Reviewed"]) -> str:
    """One test case for each workload and account; denied and malformed ones fail, undecidable ones are errors."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', "<testsuites>"]
    for file in dict.fromkeys(each.file for each in items):
        cases = [each for each in items if each.file == file]
        failures = sum(each.failed for each in cases)
        errors = sum(each.result == Verdict.UNKNOWN for each in cases)
        name = quoteattr(file or "cluster")
        lines.append(f'  <testsuite name={name} tests="{len(cases)}" failures="{failures}" errors="{errors}">')
        lines += [line for each in cases for line in _case(each)]
        lines.append("  </testsuite>")
    return "\n".join([*lines, "</testsuites>", ""])


def _case(each: "Reviewed") -> Iterator[str]:
    name = quoteattr(f"{each.workload} as {each.service_account or 'its service account'}")
    head = f"    <testcase classname={quoteattr(each.namespace)} name={name}"
    if not each.failed and each.result != Verdict.UNKNOWN:
        yield f"{head}/>"
        return
    tag = "failure" if each.failed else "error"
    yield f"{head}>"
    yield f"      <{tag} type={quoteattr(_rule(each))} message={quoteattr(each.problem)}>{escape(_text(each))}</{tag}>"
    yield "    </testcase>"


def sarif(items: Sequence["Reviewed"]) -> str:
    """One result for each field that the nearest SCC refuses, at its line; undecidable workloads are warnings."""
    results = [result for each in items for result in _results(each)]
    rules = sorted({result["ruleId"] for result in results})
    driver = {"name": "kubectl-scc", "version": __version__, "rules": [{"id": rule} for rule in rules]}
    log = {"$schema": _SARIF_SCHEMA, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]}
    return msgspec.json.format(msgspec.json.encode(log), indent=2).decode() + "\n"


def _results(each: "Reviewed") -> Iterator[dict[str, Any]]:
    title = f"{each.workload} in namespace {each.namespace}"
    if each.failed and each.refusals:
        refusal = each.refusals[0]
        for problem in refusal.problems:
            text = f"{title}: {problem.field} is {problem.found}, SCC {refusal.scc} allows {problem.allowed}"
            yield _result(problem.code, "error", text, each.file, problem.line)
    elif each.failed:
        yield _result(_rule(each), "error", f"{title}: {each.problem}", each.file, each.line)
    elif each.result == Verdict.UNKNOWN:
        yield _result(_rule(each), "warning", f"{title}: {each.problem}", each.file, each.line)


def _result(rule: str, level: str, text: str, file: str, line: int) -> dict[str, Any]:
    result: dict[str, Any] = {"ruleId": rule, "level": level, "message": {"text": text}}
    if file:
        place = {"artifactLocation": {"uri": file}, "region": {"startLine": max(line, 1)}}
        result["locations"] = [{"physicalLocation": place}]
    return result


def _rule(each: "Reviewed") -> str:
    if each.refusals:
        return each.refusals[0].problems[0].code
    return "InvalidObject" if each.result == "invalid" else _NOTHING_USABLE


def _text(each: "Reviewed") -> str:
    lines = [each.reason] if each.reason else []
    for refusal in each.refusals:
        lines.append(f"{refusal.scc} refuses it:")
        lines += [f"  {problem.field}: {problem.found}, allowed: {problem.allowed}" for problem in refusal.problems]
    if each.would_fit:
        lines.append(f"would fit but may not be used: {', '.join(each.would_fit)}")
    return "\n".join(lines)
