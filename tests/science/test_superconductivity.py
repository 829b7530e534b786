"""a2F, formulas and Eliashberg equations: closed forms, published limits, Elk's printed numbers."""

from __future__ import annotations

import numpy as np
import pytest
from ase.units import Hartree, kB

from hint_plugin.errors import DataError, OptionsError
from hint_plugin.science.superconductivity import (
    Eliashberg,
    Spectrum,
    continue_gap,
    formula_tc,
    gap_edge,
    isotope_exponent,
    rescale,
)
from hint_plugin.science.superconductivity.critical_temperature import (
    Coulomb,
    critical_temperatures,
    equations,
    gap_ratio,
    gap_table,
)
from hint_plugin.science.superconductivity.energy_units import EV, parse_energy
from hint_plugin.science.superconductivity.real_axis import Pade

OMEGA = 0.020  # eV


def einstein(lam: float, mu_star: float = 0.0, cutoff: float = 10.0) -> Eliashberg:
    """One phonon of 20 meV."""
    return Eliashberg(Spectrum.from_lines([OMEGA], [lam]), mu_star, cutoff * OMEGA)


def two_peaks() -> Spectrum:
    """A metal with soft and hard phonons, as a table: lambda 1.0."""
    w = np.linspace(0.0, 0.06, 601)
    a2f = w**2 * (
        np.exp(-(((w - 0.012) / 0.003) ** 2)) / 0.012**2
        + 0.4 * np.exp(-(((w - 0.045) / 0.004) ** 2)) / 0.045**2
    )
    spectrum = Spectrum.from_table(w, a2f)
    return Spectrum.from_table(w, a2f / spectrum.lam)


# --- a2F ---


def test_moments_of_an_einstein_mode():
    spectrum = Spectrum.from_lines([OMEGA], [0.8])
    assert spectrum.lam == pytest.approx(0.8)
    assert [spectrum.omega_log, spectrum.omega_2, spectrum.omega_max] == pytest.approx([OMEGA] * 3)
    v = np.array([0.0, 0.5, 2.0]) * OMEGA
    assert spectrum.kernel(v) == pytest.approx(0.8 / (1 + (v / OMEGA) ** 2))


def test_moments_of_a_debye_spectrum():
    """a2F = c w^2 up to w_D: lambda = c w_D^2, ln(w_log/w_D) = -1/2, w_2 = w_D / sqrt(2)."""
    w = np.linspace(-0.01, 0.03, 40001)
    inside = (w > 0) & (w <= 0.03)
    spectrum = Spectrum.from_table(w, np.where(inside, 1000.0 * w**2, 0.0))
    assert spectrum.lam == pytest.approx(1000 * 0.03**2, rel=1e-6)
    assert spectrum.omega_log == pytest.approx(0.03 * np.exp(-0.5), rel=1e-6)
    assert spectrum.omega_2 == pytest.approx(0.03 / np.sqrt(2), rel=1e-6)
    assert spectrum.cumulative([0.0, 0.015, 0.04]) / spectrum.lam == pytest.approx([0, 0.25, 1], abs=1e-3)


def test_many_lines_keep_their_moments_in_bins():
    rng = np.random.default_rng(0)
    w, lam = rng.uniform(0.001, 0.1, 50000), rng.uniform(0, 1, 50000) / 25000
    spectrum = Spectrum.from_lines(w, lam)
    assert len(spectrum.energies) <= 1000
    assert spectrum.lam == pytest.approx(lam.sum(), rel=1e-12)
    assert spectrum.omega_2 == pytest.approx(np.sqrt(lam @ w**2 / lam.sum()), rel=1e-12)
    assert spectrum.omega_log == pytest.approx(np.exp(lam @ np.log(w) / lam.sum()), rel=1e-5)


def test_the_curve_of_lines_has_their_lambda():
    lines = Spectrum.from_lines([0.02, 0.05], [0.7, 0.3])
    w, a2f = lines.on_grid(points=4000)
    assert Spectrum.from_table(w, a2f).lam == pytest.approx(1.0, rel=1e-4)


@pytest.mark.parametrize(
    ("w", "a2f", "says"),
    [
        ([1, 2, 2, 3], [0, 1, 1, 0], "do not ascend"),
        ([3, 2, 1], [0, 1, 0], "do not ascend"),
        ([1, 2, 3], [0, np.nan, 0], "not finite, first in row 2"),
        ([1, 2], [0, 1], "3 rows or more"),
        ([1, 2, 3], [0, 0, 0], "zero everywhere"),
        ([-2, -1, 0, 1, 2, 3], [0, 1, 0, 1, 2, 0], "at imaginary"),
        ([1, 2, 3, 4], [0, -1, 1, 0], "with a negative sign"),
        ([[1, 2, 3]], [[0, 1, 0]], "two equal columns"),
    ],
)
def test_what_is_no_spectrum(w, a2f, says):
    with pytest.raises(DataError, match=says):
        Spectrum.from_table(np.array(w, dtype=float), np.array(a2f, dtype=float))


def test_what_is_left_out_is_said():
    w, a2f = np.array([-2.0, -1, 0, 1, 2, 3, 4]), np.array([0.0, 1, 0, 2, 0, -1, 0])
    spectrum = Spectrum.from_table(w, a2f, leave_out=True)
    assert spectrum.left_out == (
        "25 % of the integral of |a2F| at imaginary (negative) frequencies",
        "25 % of the integral of |a2F| with a negative sign",
    )
    assert spectrum.energies.min() > 0 and (spectrum.values >= 0).all()


def test_a_slight_overshoot_is_no_error():
    w = np.linspace(0, 1, 1001)
    a2f = np.where(w < 0.5, np.sin(2 * np.pi * w), 1e-4 * np.sin(2 * np.pi * w))
    assert "negative sign" in Spectrum.from_table(w, a2f).left_out[0]


# --- formulas ---


@pytest.mark.parametrize(
    ("lam", "omega_log", "omega_2", "tc"),
    [  # MCMILLAN.OUT of Elk's examples Nb, Al, Pb, MgB2: mu* = 0.15, hartree, K
        (1.150620532, 0.7088838913e-3, 0.7567470325e-3, 16.14572364),
        (0.4237123761, 0.1068940640e-2, 0.1161090651e-2, 0.5132416494),
        (1.300391767, 0.1973053899e-3, 0.2216534818e-3, 5.458024982),
        (0.7517516009, 0.2228044595e-2, 0.2443047380e-2, 19.67328712),
    ],
)
def test_allen_dynes_as_in_elk(lam, omega_log, omega_2, tc):
    found = formula_tc(lam, omega_log * Hartree, omega_2 * Hartree, 0.15)
    assert found.allen_dynes == pytest.approx(tc, rel=1e-6)
    assert found.allen_dynes == pytest.approx(found.f1 * found.f2 * found.mcmillan, rel=1e-14)


def test_repulsion_that_wins():
    found = formula_tc(0.2, OMEGA, OMEGA, 0.3)
    assert found.mcmillan == found.allen_dynes == 0.0


def test_rescaled_mu_star():
    assert rescale(0.1, 0.05, 0.5) == pytest.approx(1 / (10 - np.log(10)))
    assert rescale(rescale(0.13, 1, 7), 7, 1) == pytest.approx(0.13)
    assert rescale(0.0, 1, 7) == 0.0
    with pytest.raises(OptionsError, match="diverges"):
        rescale(0.5, 1, 10)
    with pytest.raises(OptionsError, match="0 <= mu"):
        rescale(-0.1, 1, 2)


def test_energies_with_units():
    assert parse_energy("10wmax", {"wmax": 0.03}) == pytest.approx(0.3)
    assert parse_energy("500 meV", {}) == pytest.approx(0.5)
    assert [EV["THz"], EV["cm-1"], EV["K"]] == pytest.approx(
        [4.135667e-3, 1.239842e-4, 8.617333e-5], rel=1e-6
    )
    for text in ("10", "wmax", "10parsec", "0meV", "-1eV"):
        with pytest.raises(OptionsError, match="positive number"):
            parse_energy(text, {"wmax": 1.0})


# --- Eliashberg ---


def naive_gap(solved: Eliashberg, temperature: float, gap: np.ndarray) -> np.ndarray:
    """The right-hand side of the gap equation by the double sum over all frequencies of both signs."""
    step, n = np.pi * kB * temperature, len(gap)
    order = np.arange(-n, n)
    w, both = step * (2 * order + 1), np.concatenate([gap[::-1], gap])
    r = np.hypot(w, both)
    kernel = solved.spectrum.kernel(2 * step * np.abs(order[:, None] - order))
    far = solved.spectrum.kernel(2 * step * np.arange(40 * n))  # the tail, where the gap is 0
    tail = np.array([far[n - k : 39 * n].sum() - far[n + k + 1 : 39 * n].sum() for k in range(n)])
    z = 1 + step / w[n:] * ((kernel @ (w / r))[n:] + tail)
    weight = np.clip(solved.cutoff / (2 * step) - np.where(order < 0, -order - 1, order), 0, 1)
    return step * (kernel @ (both / r) - solved.mu_star * (weight @ (both / r)))[n:] / z


def test_a_gap_solves_the_double_sum():
    solved = Eliashberg(two_peaks(), 0.12, 0.3)
    found = solved.gap(0.4 * solved.tc)
    assert found.gap[0] > 1e-3
    assert naive_gap(solved, found.temperature, found.gap) == pytest.approx(
        found.gap, abs=1e-4 * found.gap[0]
    )


def test_the_eigenvalue_of_the_written_out_matrix():
    solved = Eliashberg(two_peaks(), 0.15, 0.2)
    kernel = solved.kernel(9.0)
    n = np.arange(kernel.count)
    lam = solved.spectrum.kernel(2 * kernel.step * np.arange(2 * kernel.count + 1))
    matrix = lam[np.abs(n[:, None] - n)] + lam[n[:, None] + n + 1] - 2 * 0.15 * kernel.coulomb
    d = np.array([2 * k + 1 + lam[0] + 2 * lam[1 : k + 1].sum() for k in n])
    assert solved.eigenvalue(9.0) == pytest.approx(
        np.linalg.eigvals(matrix / d[:, None]).real.max(), rel=1e-9
    )


def test_strong_coupling_limit():
    """k Tc -> 0.1827 w sqrt(lambda) for any spectrum (Allen and Dynes 1975)."""
    for solved in (einstein(1e4), Eliashberg(Spectrum.from_lines([0.01, 0.03], [5e3, 5e3]), 0.0, 0.3)):
        spectrum = solved.spectrum
        ratio = kB * solved.tc / (spectrum.omega_2 * np.sqrt(spectrum.lam))
        assert ratio == pytest.approx(0.1827, rel=1e-3)


def test_weak_coupling_limit():
    """k Tc -> 0.6876 w exp(-(1 + lambda)/lambda), Einstein mode (F. Marsiglio, Phys. Rev. B 98, 024523)."""
    lam = np.array([0.2, 0.25])
    ratio = [kB * einstein(x).tc / OMEGA * np.exp((1 + x) / x) for x in lam]
    assert np.polyval(np.polyfit(lam, ratio, 1), 0.0) == pytest.approx(0.6876, rel=0.01)


def test_bcs_gap():
    """2 gap / k Tc = 3.53; its temperature dependence (B. Muehlschlegel, Z. Phys. 155, 313)."""
    solved = einstein(0.25)
    low = solved.gap(0.15 * solved.tc)
    assert 2 * gap_edge(low, 4 * OMEGA) / (kB * solved.tc) == pytest.approx(3.528, rel=2e-3)
    for share, expected in ((0.5, 0.9569), (0.9, 0.5263)):
        assert solved.gap(share * solved.tc, low).gap[0] / low.gap[0] == pytest.approx(expected, rel=5e-3)


def test_the_gap_closes_at_tc():
    solved = Eliashberg(two_peaks(), 0.12, 0.3)
    gaps = [solved.gap(x * solved.tc).gap[0] ** 2 for x in (0.99, 0.995)]
    assert gaps[0] / gaps[1] == pytest.approx(2.0, rel=0.02)  # gap^2 ~ 1 - T/Tc
    above = solved.gap(1.001 * solved.tc)
    assert not above.gap.any()
    kernel = solved.kernel(above.temperature)
    assert above.z == pytest.approx(kernel.normal * kernel.step / kernel.frequencies)


def test_no_superconductor():
    assert einstein(0.3, mu_star=0.4).tc == 0.0
    assert gap_table(einstein(0.3, mu_star=0.4)) == []


def test_tc_does_not_hang_on_the_cutoff():
    """A rescaled mu* gives one Tc; the same number at every cutoff does not."""
    spectrum = two_peaks()
    rescaled = [
        critical_temperatures(spectrum, 0.13, Coulomb.parse(spectrum, "wmax", f"{n}wmax"))
        for n in (5, 10, 20)
    ]
    assert np.ptp([found.eliashberg for found in rescaled]) < 0.01 * rescaled[0].eliashberg
    assert rescaled[1].mu_star_cutoff == pytest.approx(1 / (1 / 0.13 - np.log(10)))
    plain = [
        critical_temperatures(spectrum, 0.13, Coulomb.parse(spectrum, "cutoff", f"{n}wmax")) for n in (5, 20)
    ]
    assert plain[1].eliashberg > 1.04 * plain[0].eliashberg
    with pytest.raises(OptionsError, match="below w_2"):
        Coulomb.parse(spectrum, "wmax", "1meV")


def test_formula_and_equations_agree_where_the_formula_was_fitted():
    spectrum = two_peaks()
    found = critical_temperatures(spectrum, 0.1, Coulomb.parse(spectrum))
    assert found.eliashberg == pytest.approx(found.formula.allen_dynes, rel=0.06)


def test_isotope_of_one_element():
    """All frequencies ~ M^-1/2 and no repulsion: alpha = 1/2. With it, less."""
    spectrum, factor = two_peaks(), np.sqrt(1 / 2)
    coulomb = Coulomb.parse(spectrum)
    for mu_star, low, high in ((0.0, 0.4999, 0.5001), (0.15, 0.3, 0.48)):
        pair = [equations(one, mu_star, coulomb).tc for one in (spectrum, spectrum.scaled(factor))]
        alpha = isotope_exponent(pair, (1.0, 2.0))
        assert alpha is not None and low < alpha < high
    assert isotope_exponent((0.0, 1.0), (1.0, 2.0)) is None


# --- real axis ---


def test_pade_of_a_rational_function():
    z = 1j * np.arange(1, 12, dtype=float)
    pade = Pade(z, (2 + z) / (z**2 - 3 * z + 7))
    x = np.array([0.0, 0.5, 4.0])
    assert pade(x + 0j) == pytest.approx((2 + x) / (x**2 - 3 * x + 7), rel=1e-9)
    assert Pade(z, np.full(11, 0.3))(x + 0j) == pytest.approx(np.full(3, 0.3))


def test_the_real_axis_gap():
    solved = Eliashberg(two_peaks(), 0.12, 0.3)
    low = solved.gap(0.1 * solved.tc)
    edge = gap_edge(low, 0.1)
    value = continue_gap(low, [edge], 0.1)[0]
    assert value.real == pytest.approx(edge, rel=1e-9)
    assert abs(value.imag) < 1e-3 * edge  # no states below the gap
    assert edge > low.gap[0]  # strong coupling: Re gap grows towards the phonons
    assert gap_edge(solved.gap(2 * solved.tc), 0.1) is None


def test_the_table_of_the_gap():
    solved = Eliashberg(two_peaks(), 0.12, 0.3)
    rows = gap_table(solved, 8)
    temperatures = [row["temperature"] for row in rows]
    gaps = [row["gap"] for row in rows]
    assert temperatures[0] == pytest.approx(0.1 * solved.tc) and temperatures[-1] == pytest.approx(solved.tc)
    assert gaps == sorted(gaps, reverse=True) and gaps[-1] == 0.0
    assert 3.53 < gap_ratio(rows, solved.tc) < 4.5
