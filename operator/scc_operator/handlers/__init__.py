"""Kopf handlers: they translate an event into one call on the state and wake whoever has work."""
