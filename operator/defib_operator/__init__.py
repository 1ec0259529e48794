"""The operator: mirrors custom resources, sweeps the fleet, resets through Proxmox, projects status."""
