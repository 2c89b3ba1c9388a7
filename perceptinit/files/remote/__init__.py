"""Files in buckets, on hubs and on web servers: a client, and a cache on the local disk."""
