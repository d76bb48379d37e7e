import os
from pathlib import Path
from typing import Any

import pytest
from tests.conformance import run_vectors

from scc_operator.engine.api_defaults import with_api_defaults

HERE = Path(__file__).parent
SHARED = HERE.parents[2] / "shared" / "vectors"
FOLDERS = [
    HERE / "data",
    *(Path(folder) for folder in (os.environ.get("SCC_VECTORS"),) if folder),
    *(folder for folder in (SHARED,) if folder.is_dir()),
]
FILES = list({path.name: path for folder in FOLDERS for path in sorted(folder.glob("*.jsonl.gz"))}.values())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_answers_are_openshifts(path: Path) -> None:
    """Every vector gets exactly the answer that OpenShift's own admission plugin gave."""
    failed = {
        vector["case"]["id"]: found for vector in run_vectors.read(path) if (found := run_vectors.mismatches(vector))
    }
    assert failed == {}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_answers_about_raw_manifests_are_the_same(path: Path) -> None:
    """A manifest with our own API defaults gets the answer of the pod that the API server completed."""
    failed = []
    for vector in run_vectors.read(path):
        case, expect = vector["case"], vector["expect"]
        if not (case.get("options") or {}).get("podDefaults", True):
            continue
        namespace = expect["defaultedPod"]["metadata"]["namespace"]
        old = case.get("oldPod")
        answer = run_vectors.answer_of(case, raw_pod(case["pod"], namespace), old and raw_pod(old, namespace))
        same = ("admitted", "ignored", "scc", "subjectType", "phase", "error", "audit")
        if any(answer[key] != expect[key] for key in same):
            failed.append(case["id"])
    assert failed == []


def raw_pod(pod: dict[str, Any], namespace: str) -> dict[str, Any]:
    """A manifest as far as the engine's own API defaults complete it."""
    return with_api_defaults({**pod, "metadata": {"namespace": namespace, **pod["metadata"]}})


def test_the_runner_reports_mismatches(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong answer is one line, the last line counts, and the exit code says so."""
    import gzip
    import json

    good, bad = next(vectors := run_vectors.read(FILES[0])), next(vectors)
    bad["expect"]["order"] = ["x"]
    path = tmp_path / "vectors.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, (good, bad))).encode()))
    assert run_vectors.main([str(path)]) == 1
    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith(f'{bad["case"]["id"]}: order: expected ["x"], got ')
    assert last == "1 passed, 1 failed"
    path.write_bytes(gzip.compress(json.dumps(good).encode()))
    assert run_vectors.main([str(path)]) == 0
    assert capsys.readouterr().out == "1 passed, 0 failed\n"
    assert run_vectors.main([]) == 2
