"""Whether a conditional request names the current ETag (RFC 9110, 13.1.2)."""

# What proxies add to the ETag of an answer that they compress (Apache, Caddy), and give back as they made it.
_SUFFIXES = (b"-gzip", b"-br", b"-zstd", b";gzip")


def read_etag(tag: bytes) -> bytes:
    """What stands in an entity tag, without a mark of weakness and what a compressing proxy has added."""
    inner = tag.strip().removeprefix(b"W/").strip(b'"')
    for suffix in _SUFFIXES:
        inner = inner.removesuffix(suffix)
    return inner


def matches_etag(header: bytes, etag: bytes) -> bool:
    """Whether an If-None-Match header names this ETag; weak and strong ones are alike here."""
    wanted = read_etag(etag)
    return header.strip() == b"*" or any(read_etag(tag) == wanted for tag in header.split(b","))
