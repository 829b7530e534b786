"""Components of the surroundings on the frames of edges, against sums over cosines and vector products."""

import pytest
import torch

from hint_plugin.models.alphanet.frames import Frames

CHANNELS, RANK = 2, 3


@pytest.fixture
def edges() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Five atoms, all of them neighbours: i, j, unit vectors, values."""
    torch.manual_seed(0)
    x = torch.randn(5, 3, dtype=torch.float64)
    i, j = (1 - torch.eye(5)).nonzero().T
    unit = torch.nn.functional.normalize(x[j] - x[i], dim=-1)
    return i, j, unit, torch.randn(len(i), RANK * CHANNELS, dtype=torch.float64)


def test_components(edges) -> None:
    i, j, unit, values = edges
    frames = Frames(CHANNELS, RANK).double()
    found = frames(values, unit, i, j, 5).view(len(i), RANK + 1, 2, CHANNELS)
    weights = values.view(-1, RANK, CHANNELS)
    for edge in range(len(i)):
        u = unit[edge]
        for end, atom in enumerate((i[edge], j[edge])):
            mine = i == atom
            cosines = unit[mine] @ u
            for rank in range(RANK):  # S^(n) . e1 ... e1 = sum_k w_k cos^n
                wanted = (weights[mine, rank] * cosines[:, None] ** (rank + 1)).sum(0)
                torch.testing.assert_close(found[edge, rank, end], wanted)
            around = (unit[mine][:, :, None] * weights[mine, 0][:, None]).sum(0)  # S^(1)
            centre = i == i[edge]
            b = frames.direction((unit[centre][:, :, None] * weights[centre, 0][:, None]).sum(0)).squeeze(-1)
            e3 = torch.linalg.cross(u, torch.linalg.cross(u, b))
            torch.testing.assert_close(found[edge, RANK, end], e3 @ around)


def test_rank_two_sees_the_bend_of_a_symmetric_linear_molecule() -> None:
    """O-C-O: the vectors of the two bonds cancel when it is straight, the tensors do not."""
    i, j = torch.tensor([[0, 0], [1, 2]])
    frames = Frames(1, 2).double()

    def seen(angle: float) -> torch.Tensor:
        a = torch.tensor([angle, -angle], dtype=torch.float64)
        unit = torch.stack([torch.tensor([1.0, -1.0]).double() * a.cos(), a.abs().sin(), 0 * a], dim=-1)
        return frames(torch.ones(2, 2, dtype=torch.float64), unit, i, j, 3)[0]

    straight, bent = seen(0.0), seen(0.1)
    cosine = -torch.tensor(0.2, dtype=torch.float64).cos()
    torch.testing.assert_close(straight[:4], torch.tensor([0.0, 0.0, 2.0, 0.0]).double())
    torch.testing.assert_close(bent[0], 1 + cosine)
    torch.testing.assert_close(bent[2], 1 + cosine**2)
