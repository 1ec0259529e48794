"""What both processes share: the rules, the configuration models and the store.

Knows nothing of kopf or FastAPI.
"""
