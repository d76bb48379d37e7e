"""The composition root: `kopf run --all-namespaces --standalone -m scc_operator.app`."""

import os

import kopf

from scc_operator import settings
from scc_operator.handlers import lifecycle
from scc_operator.runtime import Operator


def build(registry: kopf.OperatorRegistry, configuration: settings.Settings) -> Operator:
    """Register all handlers of one operator."""
    operator = Operator(configuration)
    lifecycle.register(registry, operator)
    return operator


operator = build(kopf.get_default_registry(), settings.load(os.environ))
