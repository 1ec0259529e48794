"""The real parts the local stack and the tests run on: PostgreSQL, Valkey, etcd, kube-apiserver.

One module for each part. Each finds the part on this machine, else gets it, else raises
`MissingComponentError` with the one command that gets it. Nothing here knows about Defib itself:
schemas, custom resources and demo data belong to `defib_dev.stack`.
"""
