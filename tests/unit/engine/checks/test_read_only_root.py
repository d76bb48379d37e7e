from tests.unit.engine.builders import CONTAINER, container, fills, objections, pod, scc, texts


def test_read_only_root_is_filled_in_and_enforced() -> None:
    """A silent container gets a read-only root, an explicit false is refused (case 77)."""
    under = scc(readOnlyRootFilesystem=True)
    path = f"{CONTAINER}.readOnlyRootFilesystem"
    assert fills(under, pod()) == {"c.readOnlyRootFilesystem": True}
    assert fills(under, pod(container(readOnlyRootFilesystem=True))) == {}
    assert objections(under, pod(container(readOnlyRootFilesystem=False))) == [
        ("ReadOnlyRootFilesystemRequired", path, "ReadOnlyRootFilesystem must be set to true")
    ]
    assert texts(under, pod(container(readOnlyRootFilesystem=False)))[0].startswith(f"{path}: Invalid value: false: ")
