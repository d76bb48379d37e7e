from tests.unit.engine.builders import CONTAINER, container, fills, objections, pod, scc, texts


def test_privileged_containers_are_refused() -> None:
    """A privileged container is refused; false is as good as silence."""
    under = scc(allowPrivilegedContainer=False)
    privileged = pod(container(privileged=True))
    assert objections(under, privileged) == [
        ("PrivilegedNotAllowed", f"{CONTAINER}.privileged", "Privileged containers are not allowed")
    ]
    assert texts(under, privileged) == [
        f"{CONTAINER}.privileged: Invalid value: true: Privileged containers are not allowed"
    ]
    assert fills(under, pod(container(privileged=False))) == {}
    assert fills(scc(), privileged) == {}
