"""Who may `use` which SCC, and through which grant. Pure."""
