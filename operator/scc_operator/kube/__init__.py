"""API access: the only room that talks to a kube-apiserver."""
