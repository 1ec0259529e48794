"""Traces, for whoever sets DEFIB_TRACING_URL. Nothing depends on them, and nothing waits for them."""
