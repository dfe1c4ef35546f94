"""What can be done with each type of resource."""
