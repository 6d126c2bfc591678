import numpy as np

from geoseg.vector.labels.union_find import unite


def test_each_name_becomes_the_smallest_of_its_set():
    names, pairs = np.array([1, 4, 6, 8, 9, 30]), np.array([[9, 6], [30, 9], [8, 4]])
    assert unite(names, pairs).tolist() == [1, 4, 6, 4, 6, 6]
    assert unite(names, pairs[:0]).tolist() == names.tolist()
    assert unite(names[:0], pairs[:0]).tolist() == []


def test_a_long_chain_of_pairs_is_one_set():
    names = np.arange(2000)
    order = np.random.default_rng(2).permutation(1999)
    assert (unite(names, np.stack([order, order + 1], axis=1)) == 0).all()
