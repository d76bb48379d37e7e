"""How many pods the engine judges per second: `python benchmarks/bench_engine.py [FILE.jsonl.gz ...]`.

One process, distinct pods, every SCC a candidate that may be used. Three ways to ask: the pod's shape is there already
(`decide`), it is read from a decoded object (`parse + decide`), or from JSON text (`decode + decide`). Reports, and
asserts nothing.
"""

import gc
import gzip
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "operator"))

from scc_operator.engine.judge import SERVICE_ACCOUNT, decide  # noqa: E402
from scc_operator.engine.namespace import NamespaceValues  # noqa: E402
from scc_operator.engine.order import order  # noqa: E402
from scc_operator.engine.pod import Pod, decode_pod, parse_pod  # noqa: E402
from scc_operator.engine.provider import Provider, build_providers  # noqa: E402
from scc_operator.engine.scc import SecurityContextConstraints, parse_scc, with_defaults  # noqa: E402

ROUNDS = 7
FOUR = ("anyuid", "restricted-v2", "hostnetwork-v2", "privileged")
NAMESPACE = NamespaceValues("bench", "1000680000/10000", "s0:c26,c15", "1000680000/10000")


def vectors(paths: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """All vectors of the files."""
    for path in paths:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            yield from map(json.loads, lines)


def default_sccs() -> tuple[SecurityContextConstraints, ...]:
    """The SCCs that the operator ships, in order."""
    text = (ROOT / "operator/scc_operator/data/default_sccs.yaml").read_text(encoding="utf-8")
    found = [raw for raw in yaml.safe_load_all(text) if raw and raw.get("kind") == "SecurityContextConstraints"]
    return order(with_defaults(parse_scc(raw)) for raw in found)


def distinct_pods(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """One pod of each shape, as the API server has completed it."""
    shapes: dict[Pod, dict[str, Any]] = {}
    for vector in vectors(paths):
        raw = vector["expect"]["defaultedPod"]
        shapes.setdefault(parse_pod(raw), raw)
    return list(shapes.values())


def per_second(task: Callable[[], object], count: int) -> list[float]:
    """Pods per second in each round, after one round that does not count."""
    rates = []
    for _ in range(ROUNDS + 1):
        gc.collect()
        started = time.perf_counter()
        task()
        rates.append(count / (time.perf_counter() - started))
    return rates[1:]


def judge_all(pods: Sequence[Pod], providers: Sequence[Provider]) -> None:
    """Ask about every pod."""
    for pod in pods:
        decide(pod, providers, lambda _: SERVICE_ACCOUNT)


def parse_and_judge_all(raw: Sequence[dict[str, Any]], providers: Sequence[Provider]) -> None:
    """Read every pod from a decoded object and ask about it."""
    judge_all([parse_pod(pod) for pod in raw], providers)


def decode_and_judge_all(texts: Sequence[bytes], providers: Sequence[Provider]) -> None:
    """Read every pod from JSON text and ask about it."""
    judge_all([decode_pod(text) for text in texts], providers)


def main(arguments: list[str]) -> None:
    """Measure and print a table."""
    paths = [Path(argument) for argument in arguments] or sorted((ROOT / "tests/conformance/data").glob("*.jsonl.gz"))
    raw = distinct_pods(paths)
    texts = [json.dumps(pod).encode() for pod in raw]
    shapes = [parse_pod(pod) for pod in raw]
    sccs = default_sccs()
    print(f"{len(raw)} distinct pods, {ROUNDS} rounds, pods per second on one core (mean ± standard deviation)")
    print(f"{'SCCs':>4}  {'decide':>16}  {'parse + decide':>16}  {'decode + decide':>16}")
    for candidates in (sccs, tuple(scc for scc in sccs if scc.name in FOUR)):
        providers = build_providers(candidates, NAMESPACE)
        tasks = (
            partial(judge_all, shapes, providers),
            partial(parse_and_judge_all, raw, providers),
            partial(decode_and_judge_all, texts, providers),
        )
        columns = [per_second(task, len(raw)) for task in tasks]
        cells = "  ".join(f"{statistics.mean(rates):>8,.0f} ± {statistics.stdev(rates):>5,.0f}" for rates in columns)
        print(f"{len(candidates):>4}  {cells}")


if __name__ == "__main__":
    main(sys.argv[1:])
