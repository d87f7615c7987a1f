"""The benchmark: every tool, the same trees, the same server, side by side."""
