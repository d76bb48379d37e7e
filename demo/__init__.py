"""The main job of scc-operator on a real control plane, for people to watch: `make demo`."""
