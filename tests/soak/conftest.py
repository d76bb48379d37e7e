"""The fixtures of the integration tests, for tests that take minutes."""

from tests.integration.conftest import api, cluster, kubectl, namespace, operator, start_operator

__all__ = ["api", "cluster", "kubectl", "namespace", "operator", "start_operator"]
