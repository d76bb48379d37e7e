"""The compact mirror of what is watched, and what each change makes stale."""
