"""The pure core: no clock, file, socket, logging, randomness or threads."""
