import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matscout.crystals.crystal import Crystal
from matscout.errors import UserError
from matscout.models.networks.graphs import MOST_SITES, element_features, graph_of, graphs_of

PEROVSKITE = np.array([[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])


def perovskite(edge=3.905, numbers=(38, 22, 8, 8, 8)):
    return Crystal(edge * np.eye(3), PEROVSKITE, np.array(numbers))


def random_crystal(rng):
    while True:
        lattice = rng.normal(size=(3, 3)) + 5 * np.eye(3)
        crystal = Crystal(lattice, rng.random((4, 3)), rng.choice([3, 8, 22], 4))
        if crystal.structure().is_valid(1.2):
            return crystal


def another_view(crystal, rng):
    """The same crystal turned, shifted, its sites in another order, in a cell twice as large."""
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    axis = rng.integers(3)
    factors = np.ones(3)
    factors[axis] = 2
    sites = np.concatenate([crystal.frac_coords, crystal.frac_coords + np.eye(3)[axis]]) / factors
    order = rng.permutation(len(sites))
    view = Crystal(
        (crystal.lattice * factors[:, None]) @ rotation,
        (sites + rng.random(3))[order],
        np.tile(crystal.numbers, 2)[order],
    )
    return view, order


def test_sites_of_one_kind_are_one_node():
    graph = graph_of(perovskite())
    assert graph.numbers.tolist() == [8, 22, 38]
    assert graph.shares.tolist() == [0.6, 0.2, 0.2]
    assert graph.node_of_site.tolist() == [2, 1, 0, 0, 0]


def test_bonds_are_those_of_the_cubic_perovskite():
    """Ti has six O at half the edge, and eight Sr make the shell that the twelfth neighbour is in."""
    graph = graph_of(perovskite(4.0))
    of_ti = graph.centres == 1
    bonds = dict(zip(graph.neighbours[of_ti].tolist(), graph.distances[of_ti].tolist(), strict=True))
    assert bonds == {0: pytest.approx(2.0), 2: pytest.approx(np.sqrt(3) / 2 * 4)}
    assert sorted(graph.weights[of_ti].tolist()) == pytest.approx([6 / 14, 8 / 14])


def test_the_twelve_neighbours_of_close_packing_are_one_bond():
    graph = graph_of(Crystal(1.8 * (1 - np.eye(3)), np.zeros((1, 3)), np.array([29])))
    assert graph.distances.tolist() == pytest.approx([1.8 * np.sqrt(2)])
    assert graph.weights.tolist() == pytest.approx([1.0])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_another_view_of_a_crystal_has_the_same_graph(seed):
    rng = np.random.default_rng(seed)
    crystal = random_crystal(rng)
    view, order = another_view(crystal, rng)
    first, second = graph_of(crystal), graph_of(view)
    for name in ("numbers", "centres", "neighbours"):
        assert (getattr(first, name) == getattr(second, name)).all()
    for name in ("shares", "weights", "distances"):
        np.testing.assert_allclose(getattr(first, name), getattr(second, name), atol=1e-9)
    assert (second.node_of_site == np.tile(first.node_of_site, 2)[order]).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 20))
def test_each_site_has_its_nearest_neighbours(seed, n_neighbours):
    crystal = random_crystal(np.random.default_rng(seed))
    graph = graph_of(crystal, n_neighbours=n_neighbours)
    np.testing.assert_allclose(np.bincount(graph.centres, weights=graph.weights), 1)
    everything = crystal.structure().get_all_neighbors(9.0)
    for site, around in enumerate(everything):
        nearest = sorted(other.nn_distance for other in around)[:n_neighbours]
        own = graph.distances[graph.centres == graph.node_of_site[site]]
        assert own.min() == pytest.approx(nearest[0], abs=1e-6)
        assert own.max() >= min(nearest[-1], 8.0) - 1e-6
        assert own.max() < nearest[-1] + 0.2


@pytest.mark.parametrize("edge", [2.5, 3.0, 4.0])
def test_shells_that_lie_a_round_number_apart_are_told_apart_whichever_way_the_crystal_is_turned(edge):
    rng = np.random.default_rng(0)
    rotations = [np.linalg.qr(rng.normal(size=(3, 3)))[0] for _ in range(100)]
    lattice = np.diag([edge, edge, edge + 0.01])
    crystals = [Crystal(lattice @ rotation, rng.random((1, 3)), np.array([29])) for rotation in rotations]
    assert len({len(graph_of(crystal, n_neighbours=4).distances) for crystal in crystals}) == 1


def test_an_atom_alone_in_its_cell_has_no_bond():
    graph = graph_of(Crystal(20 * np.eye(3), np.zeros((1, 3)), np.array([2])))
    assert len(graph) == 1
    assert len(graph.centres) == 0


def test_elements_that_are_alike_begin_alike():
    features = element_features()
    assert np.isfinite(features).all()
    distance = np.linalg.norm(features[:, None] - features[None], axis=-1)
    assert distance[17, 35] < distance[17, 11]  # chlorine, bromine, sodium
    assert len(np.unique(features[1:], axis=0)) > 100


@pytest.mark.parametrize(
    ("crystal", "message"),
    [
        (perovskite(1.8), r"row 1, Sr1 Ti1 O3: 1\.17 Å³/atom is less than any crystal has"),
        (
            Crystal(99 * np.eye(3), np.random.default_rng(0).random((MOST_SITES + 1, 3)), np.full(MOST_SITES + 1, 6)),
            r"row 1, C2001: 2001 sites in the cell, more than 2000",
        ),
    ],
    ids=["dense", "large"],
)
def test_a_cell_that_no_network_can_take_is_named(crystal, message):
    with pytest.raises(UserError, match=message):
        graphs_of([perovskite(), crystal])
