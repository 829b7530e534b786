"""SOAP of a few functions: periodic directions, averages, and which compression is taken."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk, molecule

from hint_plugin.errors import OptionsError
from hint_plugin.sampling import SoapFeatures, SoapSettings

pytest.importorskip("dscribe")

SMALL = {"n_max": 2, "l_max": 1}


def soap(elements, **options) -> SoapFeatures:
    return SoapFeatures(elements, SoapSettings(**SMALL | options))


def test_a_slab_repeats_where_it_is_periodic():
    """Twice the cell is the same slab; a third vector that is missing is as good as a long one."""
    slab = bulk("NaCl", "rocksalt", a=5.6, cubic=True)
    slab.rattle(0.1, seed=1)
    slab.pbc = [True, True, False]
    slab.center(vacuum=8.0, axis=2)
    flat = slab.copy()
    flat.cell[2] = 0.0
    compute = soap(slab.numbers).setup()
    one, two, open_ended, cluster = compute([slab, slab.repeat((2, 1, 1)), flat, molecule("NaCl")])
    assert two == pytest.approx(one, rel=1e-4, abs=1e-6)
    assert open_ended == pytest.approx(one, rel=1e-4, abs=1e-6)
    assert flat.cell.rank == 2 and cluster.any()  # the frame itself is left as it was
    alone = slab.copy()
    alone.pbc = False
    assert np.abs(compute([alone])[0] - one).max() > 0.01 * np.abs(one).max()


def test_blocks_of_elements_add_up_to_the_average_over_atoms():
    """Of CH4: a fifth of the carbon's spectrum and four fifths of the mean of the hydrogens'."""
    methane = molecule("CH4")
    each = soap([1, 6], average="elements").setup()([methane])[0].reshape(2, -1)
    outer = soap([1, 6], average="outer").setup()([methane])[0]
    assert each.sum(axis=0) == pytest.approx(outer, rel=1e-5, abs=1e-7)
    inner = soap([1, 6]).setup()([methane])[0]
    assert np.abs(inner - outer).max() > 0.01 * np.abs(outer).max()


def test_the_first_compression_that_is_small_enough():
    """Off at the bound itself; one that is asked for, whatever its size."""
    full = soap([1, 6, 8])
    assert full.compression == "off" and SoapSettings().max_dimension == 4000
    size = full.dimension
    assert size == (3 * 2) * (3 * 2 + 1) // 2 * 2  # pairs of 3 elements with 2 functions, l of 0 and 1
    assert soap([1, 6, 8], max_dimension=size).compression == "off"
    fewer = soap([1, 6, 8], max_dimension=size - 1)
    assert fewer.compression == "mu1nu1" and fewer.dimension < size
    assert soap([1, 6, 8], max_dimension=fewer.dimension - 1).compression == "mu2"
    for mode in ("off", "mu1nu1", "mu2"):
        named = soap([1, 6, 8], compression=mode, max_dimension=1)
        assert named.compression == mode == named.identity()["compression"]
    with pytest.raises(OptionsError, match="3 elements .* the bound is 1"):
        soap([1, 6, 8], max_dimension=1)


def test_what_features_depend_on():
    about = soap([8, 1], r_cut=4.0).identity()
    version = about.pop("dscribe")
    assert about == {
        "features": "soap", "elements": ["H", "O"], "r_cut": 4.0, "n_max": 2, "l_max": 1, "sigma": 0.5,
        "average": "inner", "compression": "off",
    } and version  # fmt: skip
    with pytest.raises(OptionsError, match="n_max"):
        soap([1], n_max=0)
    assert SoapFeatures([1]).settings == SoapSettings()
