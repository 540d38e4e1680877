"""Muon: which weights it takes, what an update looks like, and that AdamW beside it is torch's."""

import copy

import pytest
import torch

from triglot.training.muon import ADAMW_RMS, Muon, orthogonal
from triglot.training.new_text_model import new_text_model


def small_model():
    torch.manual_seed(0)
    return new_text_model(
        vocab_size=30, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2, qk_norm=True
    )


def backward(model):
    ids = torch.arange(24).reshape(2, 12)
    model(ids, labels=ids).loss.backward()


@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 16, 40), (2, 40, 16)])
def test_orthogonal_brings_singular_values_near_one(shape):
    torch.manual_seed(1)
    values = torch.linalg.svdvals(orthogonal(torch.randn(shape) * 1e-3).float())
    assert values.min() > 0.5 and values.max() < 1.3


def test_matrices_of_layers_are_muons_and_all_else_is_adamws():
    model = small_model()
    muon, *adamw = Muon(model).param_groups
    assert len(muon["params"]) == 2 * 7
    assert all(weight.ndim == 2 and weight.shape[0] != 30 for weight in muon["params"])
    count = sum(len(group["params"]) for group in (muon, *adamw))
    assert count == len(list(model.parameters()))
    assert adamw[-1]["weight_decay"] == 0.0


def test_an_update_of_muon_is_as_large_as_adamws():
    model = small_model()
    weight = model.model.layers[0].mlp.up_proj.weight
    before = weight.detach().clone()
    optimizer = Muon(model, lr=1e-2, weight_decay=0.0)
    backward(model)
    optimizer.step()
    size = (weight - before).square().mean().sqrt().item()
    # an orthogonal (48, 32) has a mean square of 1 / 48
    assert size == pytest.approx(1e-2 * ADAMW_RMS, rel=0.3)


def test_what_is_not_muons_moves_as_in_torchs_adamw():
    model = small_model()
    other = copy.deepcopy(model)
    ours = Muon(model, lr=1e-2, weight_decay=0.1)
    theirs = torch.optim.AdamW(other.model.embed_tokens.parameters(), lr=1e-2, betas=(0.9, 0.98), weight_decay=0.1)
    for _ in range(3):
        ours.zero_grad()
        backward(model)
        other.model.embed_tokens.weight.grad = model.model.embed_tokens.weight.grad.clone()
        ours.step()
        theirs.step()
    torch.testing.assert_close(model.model.embed_tokens.weight, other.model.embed_tokens.weight)


def test_a_run_goes_on_as_if_it_had_not_stopped():
    model = small_model()
    optimizer = Muon(model, lr=1e-2)
    backward(model)
    optimizer.step()
    resumed = copy.deepcopy(model)
    again = Muon(resumed, lr=1.0)
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for which, one in ((model, optimizer), (resumed, again)):
        one.zero_grad()
        backward(which)
        one.step()
    for one, other in zip(model.parameters(), resumed.parameters()):
        assert torch.equal(one, other)


def test_it_learns():
    model = small_model()
    optimizer = Muon(model, lr=1e-2)
    ids = torch.randint(30, (4, 12), generator=torch.Generator().manual_seed(0))
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = model(ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]
