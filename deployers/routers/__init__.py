"""How an instance's address reaches its server process."""
