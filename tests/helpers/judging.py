"""What is said about a comparison, for tests of single parts of it."""

from perceptinit.verdict.headline import Judged


def summary(comparison):
    return Judged.of(comparison).summary


def headline(comparison):
    return Judged.of(comparison).headline


def sentences(comparison):
    return Judged.of(comparison).sentences


def family_wise(comparison):
    return Judged.of(comparison).family_wise
