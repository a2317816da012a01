"""tensorflow: a tf.data.Dataset of whole batches with static dtypes and feature width."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from dao.backend import missing_extra
from dao.errors import ArgumentError

try:
    import tensorflow as tf

    from dao.batches.tensorflow_tensors import signature, to_tensorflow
except ImportError as error:
    msg = "store.tensorflow()"
    raise missing_extra(msg, "tensorflow", error) from error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dao.batches.course import Course
    from dao.batches.generator import Generator

__all__ = ["tensorflow_dataset"]


def tensorflow_dataset(generator: Generator, *, ragged: bool = False) -> tf.data.Dataset:
    """Return a dataset of whole batches, of which the number is known.

    Every pass over it is the next epoch. But made in the middle of an epoch, after
    `Generator.load_state_dict`, the dataset is what is left of that, in every pass: the number of
    batches is part of it, and Keras may take some only to see what they look like.

    Raises
    ------
    dao.errors.ArgumentError
        If the generator has a function as a transform, or ``ragged`` is asked for dense batches.
    """
    if generator.transform is not None:
        msg = "A function as transform= cannot keep static types; use dataset.map(function)."
        raise ArgumentError(msg)
    if ragged and generator.spec.matrices["X"].dense:
        msg = "ragged=True is a form of sparse matrices: give x_format='csr'."
        raise ArgumentError(msg)
    generator.given_share = generator.share  # tensorflow's threads know nothing of a scope
    course = generator.upcoming()
    stream = generator.stream(course)
    convert = partial(to_tensorflow, ragged=ragged)
    rest = course if course.is_begun else None

    def batches() -> Iterator[dict[str, Any]]:
        yield from generator.iterate(convert, _begin(generator, rest))

    dataset = tf.data.Dataset.from_generator(
        batches, output_signature=signature(generator, stream, ragged=ragged)
    )
    return dataset.apply(tf.data.experimental.assert_cardinality(stream.n_batches))


def _begin(generator: Generator, rest: Course | None) -> Course:
    """Return the course of a pass: the next epoch, or what was left of one."""
    course = generator.upcoming()
    if rest is not None and course != rest:
        return rest
    if rest is None and course.is_begun:
        msg = "A state was loaded after this dataset was made: make another, by tensorflow()."
        raise ArgumentError(msg)
    return generator.begin()
