"""The JSON:API at /api/: what it takes and answers is described in docs/api.md."""
