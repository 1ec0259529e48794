"""The API: takes heartbeats, serves the dashboard. Needs no Kubernetes access and no Proxmox credentials."""
