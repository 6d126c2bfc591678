"""What of a published scene another run can take over instead of making it again."""
