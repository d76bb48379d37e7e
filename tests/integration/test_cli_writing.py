"""`kubectl scc` writes to a real API server: oc's commands without its traps, and SCC bindings."""

from collections.abc import Iterator

import pytest
import yaml
from tests.cluster import launcher
from tests.integration.cli_support import CLI
from tests.integration.support import Kubectl, eventually

pytestmark = pytest.mark.usefixtures("operator")

ROLE = "system:openshift:scc:nonroot-v2"
TITLE = f"clusterrole.rbac.authorization.k8s.io/{ROLE}"


@pytest.fixture
def run(cluster: launcher.Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CLI:
    """Run `kubectl scc` against the test cluster."""
    return CLI(cluster, monkeypatch, capsys)


@pytest.fixture
def own_scc(kubectl: Kubectl, namespace: str) -> Iterator[str]:
    """An SCC of the test's own, which has no ClusterRole yet."""
    name = f"own-{namespace}"
    found = kubectl.json("scc", "nonroot-v2")
    kubectl.apply({key: value for key, value in found.items() if key != "metadata"} | {"metadata": {"name": name}})
    yield name
    kubectl("delete", "scc", name)
    kubectl("delete", "clusterrole", f"system:openshift:scc:{name}", "--ignore-not-found")


def may(kubectl: Kubectl, user: str, scc: str, namespace: str) -> bool:
    """What the API server itself says."""
    return kubectl("auth", "can-i", "use", f"scc/{scc}", "-n", namespace, as_user=user, check=False).returncode == 0


def test_add_and_remove_as_oc_says_it(run: CLI, kubectl: Kubectl, namespace: str) -> None:
    """The first line is oc's; accounts are granted in their namespace; the last subject takes the binding along."""
    done = run("add-scc-to-user", "nonroot-v2", "-z", "a,b", "bob", "-n", namespace)
    assert done.stdout.splitlines()[0] == f'{TITLE} added: ["bob" "a" "b"]'
    assert may(kubectl, f"system:serviceaccount:{namespace}:a", "nonroot-v2", namespace)
    assert not may(kubectl, "bob", "nonroot-v2", "default")
    done = run("add-scc-to-user", "nonroot-v2", "-z", "a", "-n", namespace)
    assert done.stdout.splitlines()[0] == f'{TITLE} unchanged: "a"'
    done = run("remove-scc-from-user", "nonroot-v2", "bob", "ghost", "-n", namespace)
    assert done.stdout.splitlines() == [
        f'{TITLE} removed: "bob"',
        f"rolebinding {ROLE} in namespace {namespace}: User bob",
        f"rolebinding {ROLE} in namespace {namespace} did not have User ghost",
    ]
    done = run("remove-scc-from-user", "nonroot-v2", "-z", "a", "-z", "b", "-n", namespace)
    assert "deleted" in done.stdout
    done = run("remove-scc-from-user", "nonroot-v2", "-z", "a", "-n", namespace, code=1)
    expected = f'Error from server (NotFound): rolebindings.rbac.authorization.k8s.io "{ROLE}" not found\n'
    assert done.stderr == expected


def test_groups_are_granted_where_it_is_said(run: CLI, kubectl: Kubectl, namespace: str) -> None:
    """-n is honoured, and without it nobody is granted anything in the whole cluster by accident."""
    done = run("add-scc-to-group", "nonroot-v2", "dev", code=1)
    assert "needs a place: -n NAMESPACE, or --cluster" in done.stderr
    run("add-scc-to-group", "nonroot-v2", "dev", "-n", namespace)
    found = kubectl.json("rolebinding", ROLE, "-n", namespace)
    assert [subject["name"] for subject in found["subjects"]] == ["dev"]
    done = run("remove-scc-from-group", "nonroot-v2", "other", "-n", namespace, code=1)
    assert done.stderr == "error: unable to find target [other]\n"
    run("remove-scc-from-group", "nonroot-v2", "dev", "-n", namespace)


def test_a_dry_run_writes_nothing_at_all(run: CLI, kubectl: Kubectl, namespace: str, own_scc: str) -> None:
    """Neither the ClusterRole nor the binding; what would be written is one stream of YAML that can be applied."""
    role = f"system:openshift:scc:{own_scc}"
    for kind, suffix in (("client", "(dry run)"), ("server", "(server dry run)")):
        done = run("add-scc-to-user", own_scc, "-z", "a", "-n", namespace, f"--dry-run={kind}")
        lines = done.stdout.splitlines()
        assert lines[0] == f'clusterrole.rbac.authorization.k8s.io/{role} added: "a" {suffix}'
        assert lines[1] == f'rolebinding.rbac.authorization.k8s.io/{role} added: "a" {suffix}'
        assert kubectl("get", "clusterrole", role, check=False).returncode != 0
    documents = list(
        yaml.safe_load_all(
            run("add-scc-to-user", own_scc, "-z", "a", "-n", namespace, "--dry-run", "-o", "yaml").stdout
        )
    )
    assert [each["kind"] for each in documents] == ["ClusterRole", "RoleBinding"]
    kubectl.apply(*documents)
    assert may(kubectl, f"system:serviceaccount:{namespace}:a", own_scc, namespace)
    done = run("add-scc-to-user", own_scc, "-z", "a", "-n", namespace, "--dry-run=maybe", code=1)
    assert done.stderr == 'error: Invalid dry-run value (maybe). Must be "none", "server", or "client".\n'


def test_what_exists_is_looked_at_first(run: CLI, kubectl: Kubectl, namespace: str, own_scc: str) -> None:
    """A missing SCC, a ClusterRole that grants something else, a binding to another role: nothing is written."""
    done = run("add-scc-to-user", "nonroot-v3", "-z", "a", "-n", namespace, code=1)
    assert "did you mean nonroot-v2" in done.stderr
    role = f"system:openshift:scc:{own_scc}"
    kubectl("create", "clusterrole", role, "--verb=get", "--resource=pods")
    done = run("add-scc-to-user", own_scc, "-z", "a", "-n", namespace, code=1)
    assert f"clusterrole {role} exists and grants something else" in done.stderr
    kubectl("create", "rolebinding", ROLE, "--clusterrole=view", "--user=x", "-n", namespace)
    done = run("add-scc-to-user", "nonroot-v2", "-z", "a", "-n", namespace, code=1)
    assert done.stderr == f"error: rolebinding {ROLE} found for role view, not {ROLE}\n"


def test_far_reaching_grants_to_everybody_need_a_yes(run: CLI, namespace: str) -> None:
    """And what reaches the node is said aloud."""
    done = run("add-scc-to-group", "privileged", "system:authenticated", "-n", namespace, "--dry-run", code=1)
    assert "grant it to fewer, or add --yes" in done.stderr
    done = run("add-scc-to-group", "privileged", "system:authenticated", "-n", namespace, "--dry-run", "--yes")
    assert "privileged reaches the node" in done.stderr


def test_remove_says_what_still_gives_access(run: CLI, kubectl: Kubectl, namespace: str) -> None:
    """A binding of another name is not seen by oc; here it is named."""
    kubectl(
        "create", "rolebinding", "other", f"--clusterrole={ROLE}", f"--serviceaccount={namespace}:a", "-n", namespace
    )
    run("add-scc-to-user", "nonroot-v2", "-z", "a", "-n", namespace)
    done = run("remove-scc-from-user", "nonroot-v2", "-z", "a", "-n", namespace)
    assert f"ServiceAccount {namespace}/a may still use nonroot-v2: RoleBinding {namespace}/other" in done.stdout


def test_grant_and_revoke_write_scc_bindings(run: CLI, kubectl: Kubectl, namespace: str) -> None:
    """The operator makes RBAC of it and takes it back; subjects come and go one by one."""
    account = f"system:serviceaccount:{namespace}:default"
    done = run("grant", "nonroot-v2", "-z", "default", "-n", namespace, "--dry-run=server")
    assert done.stdout == f"sccbinding.scc-operator.io/nonroot-v2 created in namespace {namespace} (server dry run)\n"
    assert run("grant", "nonroot-v2", "-z", "default", "-n", namespace).stdout.endswith(
        f"created in namespace {namespace}\n"
    )
    eventually(lambda: may(kubectl, account, "nonroot-v2", namespace))
    assert "unchanged" in run("grant", "nonroot-v2", "-z", "default", "-n", namespace).stdout
    assert "configured" in run("grant", "nonroot-v2", "--user", "bob", "-n", namespace).stdout
    assert "configured" in run("revoke", "nonroot-v2", "-z", "default", "-n", namespace).stdout
    eventually(lambda: not may(kubectl, account, "nonroot-v2", namespace))
    assert may(kubectl, "bob", "nonroot-v2", namespace)
    assert "deleted" in run("revoke", "nonroot-v2", "--user", "bob", "-n", namespace).stdout
    done = run("revoke", "nonroot-v2", "--user", "bob", "-n", namespace, code=1)
    assert done.stderr.startswith('Error from server (NotFound): sccbindings.scc-operator.io "nonroot-v2" not found')


def test_grants_with_an_end_stand_apart(run: CLI, kubectl: Kubectl, namespace: str) -> None:
    """A binding has one end for all its subjects, so another end needs another binding."""
    run("grant", "nonroot-v2", "--user", "a", "-n", namespace)
    done = run("grant", "nonroot-v2", "--user", "b", "-n", namespace, "--expires", "8h", code=1)
    assert "ends never" in done.stderr
    run("grant", "nonroot-v2", "--user", "b", "-n", namespace, "--expires", "2040-01-31T18:00:00Z", "--name", "for-b")
    assert kubectl.json("sccbinding", "for-b", "-n", namespace)["spec"]["expiresAt"] == "2040-01-31T18:00:00Z"
    assert "expected a duration" in run("grant", "nonroot-v2", "--user", "b", "--expires", "soon", code=1).stderr


def test_nobody_grants_what_he_may_not_use(run: CLI, kubectl: Kubectl, namespace: str) -> None:
    """The server's refusal is told as the server's."""
    kubectl("create", "rolebinding", "admin", "--clusterrole=admin", "--user=dave", "-n", namespace)
    kubectl("create", "clusterrolebinding", f"sccs-{namespace}", "--clusterrole=cluster-reader-sccs", "--user=dave")
    kubectl(
        "create",
        "clusterrole",
        "cluster-reader-sccs",
        "--verb=get,list",
        "--resource=securitycontextconstraints",
        check=False,
    )
    kubectl("create", "rolebinding", "edit", "--clusterrole=sccb-edit", "--user=dave", "-n", namespace)
    kubectl("create", "clusterrole", "sccb-edit", "--verb=*", "--resource=sccbindings", check=False)

    def refused() -> bool:
        done = run("grant", "privileged", "--user", "dave", "-n", namespace, "--as", "dave", code=1)
        return done.stderr.splitlines()[-1].startswith("Error from server (") and "privileged" in done.stderr

    eventually(refused)
    kubectl("delete", "clusterrolebinding", f"sccs-{namespace}")
