"""Carries plans out. Knows no table, no widget and no terminal; it speaks in events."""
