"""Who is on this Linux server, since when, from where, and how did they leave."""

__version__ = "0.1.0"
