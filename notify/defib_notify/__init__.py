"""Tells people: a worker that reads an outbox in PostgreSQL. It decides nothing about VMs."""
