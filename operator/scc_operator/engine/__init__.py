"""The rules: which SecurityContextConstraints (SCC) a pod may run under, and what admission would fill in.

Pure functions over frozen data. A pod is parsed into the shape that the rules read (`pod`), an SCC and a namespace's
values become a provider (`provider`), `judge` walks the providers, `verdict` holds what came out and words it, `admit`
does the same for whole pods as an admission plugin does. Each constraint area is one file in `checks/`.
"""
