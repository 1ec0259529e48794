"""The API: takes heartbeats and serves the dashboard.

Needs no Kubernetes access and no Proxmox credentials.
"""
