"""Prometheus metrics, on a registry of their own."""

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

Counts = Callable[[], Iterable[tuple[tuple[str, ...], int]]]
PodCounts = Callable[[], Iterable[tuple[tuple[str, str], int]]]


class Metrics:
    """The operator's own measurements; `registry` is what `/metrics` shows."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # half of all series, for a time that nobody asks
        self.registry = CollectorRegistry()
        self.leading = Gauge(
            "scc_operator_leading", "1 for the replica that works, 0 for one that waits.", registry=self.registry
        )
        self.pod_patches = Counter(
            "scc_operator_pod_patches", "Patches of pod annotations.", ["outcome"], registry=self.registry
        )
        self.questions_asked = Counter(
            "scc_operator_questions_asked", "Questions that the audit put to the engine.", registry=self.registry
        )
        self.events = Counter(
            "scc_operator_watch_events", "Watch events taken in, by kind.", ["kind"], registry=self.registry
        )
        self.resyncs = Counter(
            "scc_operator_resyncs", "Lists that replaced a kind's objects.", ["kind", "outcome"], registry=self.registry
        )
        self.allocation_seconds = Histogram(
            "scc_operator_namespace_ranges_seconds",
            "From the moment a namespace without ranges was seen to its annotations.",
            buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60),
            registry=self.registry,
        )
        self.ledger_writes = Counter(
            "scc_operator_ledger_writes", "Writes of RangeAllocation scc-uid.", ["outcome"], registry=self.registry
        )

    def watch_pods(self, counts: PodCounts) -> None:
        """Show, at each scrape, how many pods have which verdict under which SCC."""
        self.registry.register(
            _Gauge("scc_operator_pods", "Running pods by verdict and SCC.", ("verdict", "scc"), counts)
        )

    def watch_problems(self, counts: Callable[[], Iterable[tuple[tuple[str, str], int]]]) -> None:
        """Show, at each scrape, what is wrong now: objects that cannot be used, by kind and reason."""
        self.registry.register(
            _Gauge("scc_operator_problems", "Objects that cannot be used as they are.", ("kind", "reason"), counts)
        )

    def watch_default_sccs(self, counts: Callable[[], Iterable[tuple[tuple[str], int]]]) -> None:
        """Show, at each scrape, in how many fields each default SCC differs from what is shipped."""
        text = "Fields in which a default SCC, its ClusterRole and its binding differ from what is shipped."
        self.registry.register(_Gauge("scc_operator_default_scc_differences", text, ("scc",), counts))

    def watch_blocks(self, counts: Callable[[], Iterable[tuple[tuple[str], int]]]) -> None:
        """Show, at each scrape, how many blocks of the UID range are in which state."""
        text = "Blocks of the UID range: free, avoided, bound, released (quarantined), reserved (pinned), unclaimed."
        self.registry.register(_Gauge("scc_operator_uid_blocks", text, ("state",), counts))


class _Gauge(Collector):
    def __init__(self, name: str, text: str, labels: tuple[str, ...], counts: Counts) -> None:
        self._name, self._text, self._labels, self._counts = name, text, labels, counts

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily(self._name, self._text, labels=self._labels)
        for values, number in sorted(self._counts()):
            family.add_metric(values, number)
        yield family
