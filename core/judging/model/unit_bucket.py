"""In which of the 256 buckets of the evidence a unit is counted, and the hash by which its rollout knows it there."""

from hashlib import sha256


def hash_into_bucket(rollout: str, unit: str) -> tuple[int, int]:
    """(bucket, hash of the unit as a signed 64-bit integer), independent of the assignment of units to arms."""
    digest = sha256((build_bucket_prefix(rollout) + unit).encode()).digest()
    return digest[0], int.from_bytes(digest[1:9], "big", signed=True)


def build_bucket_prefix(rollout: str) -> str:
    """What stands before a unit when it is hashed; the first byte of the SHA-256 of both is its bucket."""
    return f"window\x1f{rollout}\x1f"
