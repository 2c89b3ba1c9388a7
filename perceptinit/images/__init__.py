"""Image decoding, resizing, and the on-disk store of decoded images."""
