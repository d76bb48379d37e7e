"""Runs a command for as long as a cluster exists: `python -m demo.keeper CLUSTER COMMAND …`.

The operator must not outlive its cluster, whoever takes that down: the demo at its end, `make cluster-down`, or the
launcher's watchdog after the demo was killed. So the operator is a child of this process, which looks after both.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from tests.cluster import launcher

_LOOK = 0.2
"""Seconds between two looks at cluster and command."""
_PATIENCE = 5.0
"""Seconds that the command has to end by itself after SIGTERM."""


def keep(cluster: str, command: Sequence[str]) -> int:
    """Run the command until it ends, the cluster is gone or SIGTERM comes, and return its exit code."""
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal that we were started from
    child = subprocess.Popen(command)  # noqa: S603 - the demo's own command
    while child.poll() is None and not stopped and launcher.State.read(cluster) is not None:
        time.sleep(_LOOK)
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            child.kill()
    return child.wait()


if __name__ == "__main__":
    sys.exit(keep(sys.argv[1], sys.argv[2:]))
