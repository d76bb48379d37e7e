"""`kubectl scc`: the operator's answers for people. The same engine, the same words.

Reading commands see the cluster through a `World` (`world.py`), which layers where objects come from: the built-in
defaults, a live cluster or a snapshot, and files. Each verb is one module with one function, named in `app.VERBS`; it
is imported when it is called, so that `--help` and offline commands never load the cluster's client.
"""
