"""The API process: takes heartbeats, shows the fleet, writes down what people ask for.

It needs PostgreSQL; Redis may vanish. It has no access to Kubernetes and none to Proxmox.
"""
