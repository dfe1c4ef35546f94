"""Where several server processes of an instance share what they remember."""
