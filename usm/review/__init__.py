"""The access review: what the state file holds of a span → a page, data, or a summary."""
