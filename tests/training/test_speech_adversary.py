"""HiFi-GAN's discriminators: what they look at, their losses by hand, and that they learn to tell sounds apart."""

import pytest
import torch
from torch import nn

from triglot.training.speech_adversary import (
    PeriodDiscriminator,
    ScaleDiscriminator,
    SpeechAdversaryArguments,
    SpeechDiscriminators,
    discriminator_loss,
    generator_losses,
    set_weight_norm,
)


def test_a_period_is_seen_apart():
    """A sample moves the logits of its own phase alone."""
    torch.manual_seed(0)
    part, wave = PeriodDiscriminator(5, 4).eval(), torch.randn(1, 1000)
    moved = wave.clone()
    moved[0, 502] += 1.0
    logits, other = (part(item)[0].view(-1, 5) for item in (wave, moved))
    assert (logits != other).any(0).tolist() == [False, False, True, False, False]


@pytest.mark.parametrize("samples", [3_000, 3_001, 3_007])
def test_every_layer_is_a_feature_whatever_the_length(samples):
    torch.manual_seed(0)
    parts = SpeechDiscriminators(SpeechAdversaryArguments(periods="2 7", scales=2))
    heard = parts(torch.randn(3, samples))
    assert [len(features) for _, features in heard] == [6, 6, 8, 8]
    assert all(logits.shape[0] == 3 and logits.ndim == 2 for logits, _ in heard)


def test_halvings_see_half_the_samples():
    torch.manual_seed(0)
    whole, half = (ScaleDiscriminator(halvings, 4) for halvings in (0, 1))
    wave = torch.randn(1, 4096)
    assert whole(wave)[1][0].shape[2] == pytest.approx(2 * half(wave)[1][0].shape[2], rel=0.01)


def test_losses_by_hand():
    recorded, made = torch.tensor([[1.0, 0.5]]), torch.tensor([[0.0, 0.5]])
    features = [torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0]])], [torch.tensor([[2.0, 4.0]]), torch.tensor([[3.0]])]
    assert float(discriminator_loss([(torch.cat([recorded, made]), [])])) == pytest.approx(0.125 + 0.125)
    adversarial, distance = generator_losses([(recorded, features[0])], [(made, features[1])])
    assert float(adversarial) == pytest.approx(0.625) and float(distance) == pytest.approx(1.5 + 3.0)


def test_they_learn_to_tell_a_hum_from_noise():
    torch.manual_seed(0)
    parts = SpeechDiscriminators(SpeechAdversaryArguments(periods="2 3", scales=1))
    optimiser = torch.optim.AdamW(parts.parameters(), lr=1e-3)
    hum = torch.sin(torch.arange(2048) * 0.06).repeat(2, 1)
    losses = []
    for _ in range(25):
        loss = discriminator_loss(parts(torch.cat([hum, torch.randn(2, 2048)])))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


def test_weight_norm_changes_nothing_by_itself():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv1d(2, 3, 3), nn.ConvTranspose1d(3, 1, 4, 2))
    inputs, names = torch.randn(1, 2, 9), list(network.state_dict())
    wanted = network(inputs)
    set_weight_norm(network, True)
    assert list(network.state_dict()) != names
    torch.testing.assert_close(network(inputs), wanted)
    set_weight_norm(network, False)
    assert sorted(network.state_dict()) == sorted(names)
    torch.testing.assert_close(network(inputs), wanted)
