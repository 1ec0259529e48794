"""Takes reports on a node or a site, keeps them on disk, and forwards them to the API in batches.

Needs neither the database nor Kubernetes. It judges nothing: whose key a report came under, and
which VM it is from, is for the API to say.
"""
