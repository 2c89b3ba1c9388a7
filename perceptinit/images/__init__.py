"""Images: decoding, resizing, and the store of decoded ones."""
