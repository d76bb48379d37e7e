"""`python -m demo`: shows the main job, and fails if it is not done.

A control plane of its own, the operator beside it, workloads of four teams; then one of them is granted an SCC and
loses it again, and its pod's answer follows.
"""

import argparse
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from demo import expected
from demo.expected import NFS_DENIED, NFS_GRANTED, WORKLOADS, Workload
from demo.screen import Screen
from demo.world import KEPT_NAME, OPERATOR, AuditedPod, DemoError, World, how_to_talk

_ACCOUNT = "system:serviceaccount:files:nfs-client"


class Demo:
    """The demo, part by part.

    Args:
        world: where it plays.
        screen: where it is shown.
    """

    def __init__(self, world: World, screen: Screen) -> None:
        self.world = world
        self.screen = screen

    def play(self) -> None:
        """Play all parts.

        Raises:
            DemoError: what was to be shown is not so.
        """
        self.start()
        self.deploy()
        denied = self.pod(NFS_DENIED)
        granted = self.grant(denied)
        self.revoke(granted)

    def start(self) -> None:
        """A cluster with the definitions, and the operator."""
        self.screen.title("1  A Kubernetes control plane on this machine, and the operator beside it")
        began = time.monotonic()
        version = self.world.start_cluster()
        self.screen.say(f"Kubernetes {version} after {_since(began)}; its nodes are played by kwok, all else is real.")
        self.kubectl("apply", "-k", "crds")
        self.screen.command(shlex.join(OPERATOR))
        began = time.monotonic()
        with self.screen.waiting("waiting until the operator is ready"):
            self.world.start_operator()
        sccs = self.world.kubectl("get", "scc", "-o", "name").split()
        self.screen.say(f"Ready after {_since(began)}; it created the {len(sccs)} default SCCs.")

    def deploy(self) -> None:
        """What teams deploy on any Kubernetes cluster, and what the operator says about it."""
        self.screen.title("2  Four teams deploy what they have")
        began = time.monotonic()
        self.kubectl("apply", "-f", "demo/workloads")
        with self.screen.waiting("waiting for the ranges of every namespace and the answer of every pod"):
            self.world.wait(
                "every namespace has its ranges",
                lambda: not any(expected.unmet_ranges(self.world.ranges())),
                lambda: "\n".join(expected.unmet_ranges(self.world.ranges())),
            )
            self.until(WORKLOADS)
        self.screen.say(f"Every namespace has its ranges, and every pod its answer, {_since(began)} after Enter.")
        self.screen.say("billing brought its ranges along; nothing was overwritten.")
        self.screen.namespaces(self.world.ranges())
        self.screen.pods(self.world.pods())

    def grant(self, before: AuditedPod) -> AuditedPod:
        """The denied NFS client is granted an SCC that fits."""
        self.screen.title("3  An SCC for NFS clients, and a binding that grants it to one service account")
        self.can_i()
        began = time.monotonic()
        self.kubectl("apply", "-f", "demo/nfs/scc.yaml", "-f", "demo/nfs/binding.yaml")
        after = self.until([NFS_GRANTED])
        self.screen.change(after, before, time.monotonic() - began)
        self.can_i()
        return after

    def revoke(self, before: AuditedPod) -> None:
        """The binding goes, and with it the answer."""
        self.screen.title("4  The binding is removed")
        began = time.monotonic()
        self.kubectl("delete", "sccbinding", "nfs-clients", "-n", "files")
        after = self.until([NFS_DENIED])
        self.screen.change(after, before, time.monotonic() - began)
        self.can_i()

    # --- the means -----------------------------------------------------------------------------------------------

    def kubectl(self, *args: str) -> None:
        """Show a kubectl command and run it."""
        self.screen.command(f"kubectl {shlex.join(args)}")
        self.world.kubectl(*args)

    def can_i(self) -> None:
        """Show what the API server itself says about the grant."""
        args = ("auth", "can-i", "use", "scc/nfs-scc", "-n", "files", f"--as={_ACCOUNT}")
        self.screen.command(f"kubectl {shlex.join(args)}")
        self.screen.output(self.world.kubectl(*args, check=False))  # it ends with 1 for a no

    def until(self, workloads: Sequence[Workload]) -> AuditedPod:
        """Wait until all pods of these workloads carry their answer, and return one of them."""
        self.world.wait(
            "the pods carry their answer",
            lambda: not any(expected.unmet(self.world.pods(), workloads)),
            lambda: "\n".join(expected.unmet(self.world.pods(), workloads)),
        )
        return self.pod(workloads[0])

    def pod(self, workload: Workload) -> AuditedPod:
        """A pod of a workload."""
        of = (workload.namespace, workload.name)
        return next(pod for pod in self.world.pods() if (pod.namespace, pod.workload) == of)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 when all was as it must be."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the cluster and the operator running")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="also draw what is shown into this file")
    args = parser.parse_args(argv)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupted)
    began = time.monotonic()
    screen, world = Screen(picture=args.svg is not None), World(keep=args.keep)
    try:
        Demo(world, screen).play()
        if args.svg is not None:
            screen.save(args.svg, "make demo")
        if args.keep:
            _leave_running(world, screen)
    except DemoError as error:
        screen.say(f"\nfailed: {error}", "bold red")
        return 1
    except KeyboardInterrupt:
        screen.say("\ninterrupted")
        return 128 + signal.SIGINT
    finally:
        with screen.waiting("taking everything down"):
            world.stop()
    if args.keep:
        return 0
    screen.title(f"Done in {_since(began)}. Nothing is left running; make demo KEEP=1 leaves it, to look around.")
    return 0


def _leave_running(world: World, screen: Screen) -> None:
    talk = how_to_talk(world.kubeconfig, world.operator_log)
    world.release()
    screen.title("Cluster and operator go on. Look around:")
    for command in talk:
        screen.to_copy(command)
    screen.title("Grant the SCC once more:")
    screen.to_copy("kubectl apply -f demo/nfs")
    screen.title("Stop both:")
    screen.to_copy(f"make cluster-down NAME={KEPT_NAME}")


def _interrupted(number: int, _: object) -> None:
    raise SystemExit(128 + number)


def _since(began: float) -> str:
    return f"{time.monotonic() - began:.1f} s"


if __name__ == "__main__":
    sys.exit(main())
