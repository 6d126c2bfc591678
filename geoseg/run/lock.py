"""placeholder"""

LOCK_KEY = ".work/lock.json"


class Lock:
    def __init__(self, storage, run_id, key=LOCK_KEY, *, beat_s=10.0, expires_s=60.0):
        self.storage, self.run_id, self.key = storage, run_id, key
        self.lost = False

    def __enter__(self):
        self.storage.put(self.key, b"{}")
        return self

    def __exit__(self, *a):
        self.storage.delete(self.key)
