"""`tf.data` pipelines whose iterators end when their data do."""


def untuned(data):
    """A `tf.data.Dataset` without the thread that tunes it; anything else as it is.

    That thread looks at an iterator after 10 ms, 20 ms more, 40 ms more and so on.
    An iterator that ends wakes it and waits for it, but where it looks a moment too
    early whether it may stop, it sleeps out its period first: an epoch of 3 s takes
    5.1 s then, one of 6 s takes 10.2 s, one of 25 s takes 41 s, every other time. The
    numbers it would set, of parallel calls and of prefetched batches, are the number
    of cores and a queue that grows when it was empty without it.

    A dataset whose options say whether to tune it stays as it is.
    """
    if not hasattr(data, "with_options"):
        return data
    if data.options().autotune.enabled is not None:
        return data
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    return data.with_options(options)
