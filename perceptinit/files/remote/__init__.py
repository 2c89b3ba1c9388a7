"""Files in buckets, on hubs and on web servers: asked for through fsspec, kept in a cache that knows the future."""
