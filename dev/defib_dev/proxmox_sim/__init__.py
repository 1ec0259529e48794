"""A simulated Proxmox VE cluster: only the calls Defib makes, with their real traps.

`model` and what it stands on is pure (time comes in as `now`), `api` answers requests in-process,
`http_face` and `control` serve it, `inprocess` puts it behind the client without HTTP.
"""
