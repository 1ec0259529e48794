"""Many agents in one process: heartbeats of the guests that the Proxmox simulator runs."""
