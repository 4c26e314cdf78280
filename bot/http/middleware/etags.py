"""Whether a conditional request names the current ETag (RFC 9110, 13.1.2)."""


def matches_etag(header: bytes, etag: bytes) -> bool:
    """Whether an If-None-Match header names this ETag; weak and strong ones are alike here."""
    wanted = etag.removeprefix(b"W/")
    return header.strip() == b"*" or any(tag.strip().removeprefix(b"W/") == wanted for tag in header.split(b","))
