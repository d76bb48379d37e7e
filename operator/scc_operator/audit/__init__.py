"""The audit: which SCC every running pod would match now."""
