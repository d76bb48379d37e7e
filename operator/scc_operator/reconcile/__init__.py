"""Level-triggered reconcilers: woken by a change, they read the mirror and make the cluster as it should be."""
