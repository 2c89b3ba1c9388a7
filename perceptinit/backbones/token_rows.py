"""Layouts of texts in rows of tokens, which share passes through a causal text transformer."""

# N texts, T tokens, R rows of L tokens
from dataclasses import dataclass

import numpy as np

# texts in a row of `shared_rows`: more texts save few tokens, and attention in longer rows takes longer
TEXTS_PER_ROW = 16


@dataclass(frozen=True, slots=True, eq=False)
class TokenRows:
    """Layout of N texts in rows (R, L): the text and the position of each token.

    Args:
        text: Index of the text at each position, int64 (R, L); N for padding.
        position: Position of the token in its text, int64 (R, L); 0 for padding.
        end: Place in the row after the last token that attends to this token, int64 (R, L); L for padding.
        first: Flat index r * L + l of the pooled token of each text, minus its position, int64 (N,).
    """

    text: np.ndarray
    position: np.ndarray
    end: np.ndarray
    first: np.ndarray


def token_rows(lengths: np.ndarray, rows_multiple: int = 1, length_multiple: int = 1) -> TokenRows:
    """Pack texts into rows as long as the longest text, without splitting texts.

    Best-fit decreasing needs at most 22 % more rows than the optimum (Johnson et al. 1974).

    Args:
        lengths: Number of tokens of each text, int (N,), at least 1.
        rows_multiple: R is rounded up to a multiple of this number, to limit the number of shapes.
        length_multiple: L is rounded up to a multiple of this number.
    """
    row_length = round_up(int(lengths.max()), length_multiple)
    with_space: list[list[int]] = [[] for _ in range(row_length + 1)]  # rows by free space
    rows = np.empty(len(lengths), dtype=np.int64)
    starts = np.empty(len(lengths), dtype=np.int64)
    num_rows = 0
    for text in np.argsort(-lengths, kind="stable").tolist():
        length = int(lengths[text])
        space = next((s for s in range(length, row_length) if with_space[s]), row_length)
        if with_space[space]:
            row = with_space[space].pop()
        else:
            row = num_rows
            num_rows += 1
        rows[text], starts[text] = row, row_length - space
        with_space[space - length].append(row)
    first = rows * row_length + starts
    number = np.repeat(np.arange(len(lengths)), lengths)
    position = np.arange(len(number)) - np.repeat(lengths.cumsum() - lengths, lengths)
    place = first[number] + position
    shape = round_up(num_rows, rows_multiple), row_length
    return TokenRows(
        text=_scatter_rows(number, place, shape, len(lengths)),
        position=_scatter_rows(position, place, shape, 0),
        end=_scatter_rows((starts + lengths)[number], place, shape, row_length),
        first=first,
    )


def shared_rows(
    tokens: np.ndarray,
    lengths: np.ndarray,
    read: np.ndarray,
    rows_multiple: int = 1,
    length_multiple: int = 1,
) -> TokenRows:
    """Pack texts into rows in which each text shares the tokens of a common prefix with the one before it.

    A token attends only to earlier ones, so the prefix has the same features in both texts. In sorted
    prompts, half of the tokens are in such prefixes.

    Args:
        tokens: Ids of the tokens, int64 (N, T).
        lengths: Number of tokens of each text, int (N,), at least 1.
        read: Position of the pooled token of each text, int (N,).
        rows_multiple: See `token_rows`.
        length_multiple: See `token_rows`.
    """
    is_own = np.ones(tokens.shape, dtype=bool)
    is_own[1:] = np.logical_or.accumulate(tokens[1:] != tokens[:-1], axis=1)
    is_own[::TEXTS_PER_ROW] = True
    text, position = np.nonzero(is_own & (np.arange(tokens.shape[1]) < lengths[:, None]))
    row = text // TEXTS_PER_ROW
    column = np.arange(len(row)) - np.searchsorted(row, row)
    shape = round_up(row[-1] + 1, rows_multiple), round_up(column.max() + 1, length_multiple)
    place = row * shape[1] + column
    places = np.zeros(tokens.shape, dtype=np.int64)
    places[text, position] = place
    places = np.maximum.accumulate(places, axis=0)  # also of tokens in prefixes
    # no text attends to a token from the first one on that differs at its position or before
    first = np.append(place, place[-1] + 1)[np.searchsorted(text, np.arange(len(tokens) + 1))]
    differs = np.where(np.vstack([is_own[1:], is_own[:1]]), first[1:, None], first[-1])
    end = np.minimum.accumulate(differs[::-1], axis=0)[::-1][text, position]
    return TokenRows(
        text=_scatter_rows(text, place, shape, len(tokens)),
        position=_scatter_rows(position, place, shape, 0),
        end=_scatter_rows(np.minimum(end - row * shape[1], shape[1]), place, shape, shape[1]),
        first=places[np.arange(len(tokens)), read] - read,
    )


def round_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


def _scatter_rows(values: np.ndarray, place: np.ndarray, shape: tuple[int, int], padding: int) -> np.ndarray:
    """Return int64 rows of `shape` with the values at their flat indices."""
    rows = np.full(shape, padding, dtype=np.int64)
    rows.reshape(-1)[place] = values
    return rows
