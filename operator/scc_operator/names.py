"""Every annotation key, label, API group and object name that is part of the contract, once.

Names under `openshift.io` and `security.openshift.io` are OpenShift's and may never change; names under
`scc-operator.io` are ours.
"""

# --- OpenShift: namespaces (spec/namespaces.md §1.2) -------------------------------------------------------------
UID_RANGE = "openshift.io/sa.scc.uid-range"
SUPPLEMENTAL_GROUPS = "openshift.io/sa.scc.supplemental-groups"
MCS = "openshift.io/sa.scc.mcs"
RUN_LEVEL_LABEL = "openshift.io/run-level"

# --- OpenShift: pods (spec/resources.md §1.5) --------------------------------------------------------------------
SCC_ANNOTATION = "openshift.io/scc"
REQUIRED_SCC = "openshift.io/required-scc"
SUBJECT_TYPE = "security.openshift.io/validated-scc-subject-type"
SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
SECCOMP_CONTAINER_PREFIX = "container.seccomp.security.alpha.kubernetes.io/"
MIRROR_POD = "kubernetes.io/config.mirror"

# --- OpenShift: API groups and resources -------------------------------------------------------------------------
SECURITY_GROUP = "security.openshift.io"
SECURITY_VERSION = "v1"
SCC_RESOURCE = "securitycontextconstraints"
SCC_KIND = "SecurityContextConstraints"
USE_VERB = "use"
SCC_ROLE_PREFIX = "system:openshift:scc:"

RANGE_GROUP = "security.internal.openshift.io"
RANGE_VERSION = "v1"
RANGE_RESOURCE = "rangeallocations"
RANGE_KIND = "RangeAllocation"
RANGE_NAME = "scc-uid"

# --- Kubernetes: identities --------------------------------------------------------------------------------------
RBAC_GROUP = "rbac.authorization.k8s.io"
SERVICE_ACCOUNTS = "system:serviceaccounts"
AUTHENTICATED = "system:authenticated"
MASTERS = "system:masters"
NODES = "system:nodes"

# --- scc-operator: API group and kinds ---------------------------------------------------------------------------
GROUP = "scc-operator.io"
VERSION = "v1alpha1"
BINDING_RESOURCE = "sccbindings"
BINDING_KIND = "SCCBinding"
CLUSTER_BINDING_RESOURCE = "clustersccbindings"
CLUSTER_BINDING_KIND = "ClusterSCCBinding"
GENERATED_PREFIX = "sccbinding:"

# --- scc-operator: annotations on pods  ---------------------------------------------------------------
VERDICT = "scc-operator.io/verdict"
WOULD_SET = "scc-operator.io/would-set"
REASON = "scc-operator.io/reason"
WOULD_MATCH = "scc-operator.io/would-match"
POD_ANNOTATIONS = (SCC_ANNOTATION, VERDICT, WOULD_SET, REASON, WOULD_MATCH)

# --- scc-operator: labels on generated RBAC  ----------------------------------------------------------
MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
MANAGED_BY = "scc-operator"
OWNER_KIND_LABEL = "scc-operator.io/owner-kind"
OWNER_NAME_LABEL = "scc-operator.io/owner-name"
OWNER_NAMESPACE_LABEL = "scc-operator.io/owner-namespace"
OWNER_UID_LABEL = "scc-operator.io/owner-uid"

FIELD_MANAGER = "scc-operator"
FINALIZER = "scc-operator.io/finalizer"
ANNOTATION_PREFIX = "scc-operator.io"

# --- OpenShift: what admission writes to the audit log (spec/admission.md §6.5), and the harmless annotation of §2.1 -
AUDIT_PREFIX = "securitycontextconstraints.admission.openshift.io"
AUDIT_DENIED = "securityserviceconstraints.admission.openshift.io/denied"
POD_NETWORKS = "k8s.ovn.org/pod-networks"

# --- OpenShift: what marks an object as part of the platform (spec/resources.md §3.1) ---------------------------------
PLATFORM_ANNOTATION = "include.release.openshift.io/"

# --- scc-operator: UID blocks and who holds them -----------------------------------------------------------------
HOLDING_RESOURCE = "namespaceranges"
HOLDING_KIND = "NamespaceRange"
RESERVATIONS = "scc-operator.io/reservations"
NEXT_BLOCK = "scc-operator.io/next-block"

# --- scc-operator: what became of the default SCCs ---------------------------------------------------------------
DEFAULT_SCC_RESOURCE = "defaultsccs"
DEFAULT_SCC_KIND = "DefaultSCC"
