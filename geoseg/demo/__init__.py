"""A synthetic landscape and everything `geoseg demo` shows."""
