"""Files in buckets, on hubs and on web servers: one client, and a cache on the local disk."""
