"""What keeps the instances' processes."""
