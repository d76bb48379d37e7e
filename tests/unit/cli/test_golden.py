"""What people see, as a whole: golden files of every offline command."""

from collections.abc import Callable

import pytest
from tests.unit.cli.conftest import Run

CASES = {
    "get.txt": ("get --offline", 0),
    "get-wide.txt": ("get --offline -o wide", 0),
    "get.json": ("get --offline -o json restricted-v2 anyuid", 0),
    "get-name.txt": ("get --offline -o name", 0),
    "get-with-file.txt": ("get -f cluster.yaml nfs anyuid restricted-v2", 0),
    "describe.txt": ("describe -f cluster.yaml nfs hostmount-anyuid-v2 -n shop", 0),
    "who-can.txt": ("who-can use nfs -f cluster.yaml -n shop", 0),
    "who-can-privileged.txt": ("who-can privileged --offline -A", 0),
    "can-account.txt": ("can -z files -f cluster.yaml -n shop", 0),
    "can-user.txt": ("can bob --offline", 0),
    "review.txt": ("review -f deploy.yaml --offline", 2),
    "review-wide.txt": ("review -f cluster.yaml -o wide --no-headers", 0),
    "review.json": ("review -f deploy.yaml -f cluster.yaml -o json", 2),
    "review.junit.xml": ("review -f deploy.yaml --offline -o junit", 2),
    "review.sarif": ("review -f deploy.yaml --offline -o sarif", 2),
    "explain-fits.txt": ("explain -f cluster.yaml pod/files-0 --scc restricted-v2", 0),
    "explain-loser.txt": ("explain -f cluster.yaml pod/web-1 -z files", 0),
    "explain-denied.txt": ("explain -f deploy.yaml daemonset/probe --offline", 2),
    "explain-change.txt": ("explain -f root.yaml -f cluster.yaml pod/root", 2),
    "explain.yaml": ("explain -f cluster.yaml pod/files-0 -o yaml", 0),
}


@pytest.mark.parametrize("name", CASES)
def test_output(run: Run, golden: Callable[[str, str], None], name: str) -> None:
    """The same question prints the same text, and ends with the same exit code."""
    arguments, code = CASES[name]
    result = run(*arguments.split())
    assert (result.code, result.err.replace("\n", "")[:6]) in {(code, ""), (code, "note: ")}, result.err
    golden(name, result.out)
