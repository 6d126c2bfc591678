"""Networks that geoseg builds by name."""
