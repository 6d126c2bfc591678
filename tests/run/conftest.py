"""What the tests of storage and lock share."""

from tests.support.s3 import s3_environment, s3_server, s3_url, storage

__all__ = ["s3_environment", "s3_server", "s3_url", "storage"]
