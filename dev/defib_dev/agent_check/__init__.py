"""Holds servers and agents to agents/PROTOCOL.md, and measures what our own agent costs."""
