"""Stand-ins for services, on this machine."""
