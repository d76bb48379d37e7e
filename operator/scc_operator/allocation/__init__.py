"""Which block of UIDs, which groups and which MCS label every namespace has. Pure."""
