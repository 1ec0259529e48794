"""The operator: mirrors resources, sweeps the fleet, resets through Proxmox, projects status."""
