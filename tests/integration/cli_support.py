"""Running `kubectl scc` in the tests' own process: loading the client anew would take longer than any answer."""

import io
from dataclasses import dataclass

import pytest
from tests.cluster import launcher

from scc_operator.cli import app


@dataclass(frozen=True)
class Done:
    """How a run ended and what it printed."""

    returncode: int
    stdout: str
    stderr: str


class CLI:
    """Runs `kubectl scc` against the test cluster."""

    def __init__(
        self, cluster: launcher.Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
        monkeypatch.setenv("COLUMNS", "120")
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *arguments: str, stdin: str = "", code: int = 0) -> Done:
        """Run it, and check how it ends."""
        self._monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        self._capsys.readouterr()
        found = app.run(list(arguments))
        captured = self._capsys.readouterr()
        assert found == code, captured.out + captured.err
        return Done(found, captured.out, captured.err)
