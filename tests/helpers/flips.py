"""Edits of one digit or bit in a file."""

DIGITS = b"0123456789"


def flip(data, rng):
    """Return the bytes of a file with one digit replaced or one bit flipped."""
    digits = [place for place, byte in enumerate(data) if byte in DIGITS]
    changed = bytearray(data)
    if rng.random() < 0.5:
        place = rng.choice(digits)
        changed[place] = rng.choice([digit for digit in DIGITS if digit != data[place]])
    else:
        place = rng.randrange(len(data))
        changed[place] ^= 1 << rng.randrange(8)
    return bytes(changed)
