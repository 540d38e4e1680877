"""DiffusionProcess on signals whose best network is known in closed form: what a right process fulfils, whatever the network."""

import pytest
import torch

from triglot.modeling.decoders.configuration_diffusion import PREDICTIONS, SCHEDULES, DiffusionConfig
from triglot.modeling.decoders.diffusion_process import DiffusionProcess


def knowing(process, clean):
    """The network that knows the clean signal."""

    def network(noised, steps):
        kept = process.signal[steps].reshape(-1, *[1] * (noised.ndim - 1))
        noise = (noised - kept.sqrt() * clean) / (1 - kept).sqrt()
        return process.target(clean, noise, steps)

    return network


@pytest.fixture(params=PREDICTIONS)
def process(request):
    return DiffusionProcess(DiffusionConfig(prediction_type=request.param))


@pytest.fixture
def clean():
    return torch.randn(4, 6, 5, generator=torch.Generator().manual_seed(1)) * 2 + 3


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_the_last_step_is_gaussian(schedule, prediction):
    process = DiffusionProcess(DiffusionConfig(beta_schedule=schedule, prediction_type=prediction))
    torch.manual_seed(0)
    clean = torch.full((2, 20_000), 3.0)  # anything but Gaussian
    last = process.noised(clean, torch.randn_like(clean), torch.tensor([999, 999]))
    assert abs(float(last.mean())) < 0.03 + 3 * float(process.signal[-1].sqrt())
    assert abs(float(last.var()) - 1) < 0.05
    kurtosis = float(((last - last.mean()) / last.std()).pow(4).mean())
    assert abs(kurtosis - 3) < 0.2
    if prediction != "epsilon":
        assert process.signal[-1] == 0


def test_the_first_step_keeps_the_signal(process, clean):
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    first = process.noised(clean, noise, torch.zeros(4, dtype=torch.long))
    assert (first - clean).abs().max() < 0.1


@pytest.mark.parametrize("step", [1, 250, 500, 900])
def test_what_the_network_says_gives_back_the_clean_signal(process, clean, step):
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    steps = torch.full((4,), step)
    noised = process.noised(clean, noise, steps)
    torch.testing.assert_close(
        process.clean_of(process.target(clean, noise, steps), noised, steps), clean, atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize("steps", [1, 2, 8, 50])
def test_a_network_that_knows_is_followed(process, clean, steps):
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(2))
    if process.config.prediction_type == "epsilon" and steps == 1:
        pytest.skip("the noise alone says nothing of the signal at the last step")
    made = process.sample(knowing(process, clean), noise, steps)
    torch.testing.assert_close(made, clean, atol=0.05, rtol=0.01)


def test_gaussian_data_come_back_with_their_mean_and_variance():
    """Data N(2, 0.5^2), for which the best v is linear in what is seen: 30 steps must land on the distribution, not on its mean."""
    process = DiffusionProcess(DiffusionConfig())
    mean, std = 2.0, 0.5

    def network(noised, steps):
        kept = process.signal[steps].reshape(-1, 1)
        variance = kept * std**2 + 1 - kept
        clean = mean + kept.sqrt() * std**2 / variance * (noised - kept.sqrt() * mean)
        noise = (1 - kept).sqrt() / variance * (noised - kept.sqrt() * mean)
        return kept.sqrt() * noise - (1 - kept).sqrt() * clean

    made = process.sample(network, torch.randn(1, 20_000, generator=torch.Generator().manual_seed(0)), 30)
    assert abs(float(made.mean()) - mean) < 0.02
    assert abs(float(made.std()) - std) < 0.02


def test_the_posteriors_kl_is_zero_for_a_network_that_knows_and_grows_with_its_error(process, clean):
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    steps = torch.tensor([1, 200, 600, 950])
    right = knowing(process, clean)
    errors = [
        process.posterior_kl(lambda noised, steps, e=e: right(noised, steps) + e, clean, noise, steps)
        for e in (0, 0.1, 0.2)
    ]
    assert errors[0].max() < 1e-4
    assert (errors[1] > errors[0]).all()
    torch.testing.assert_close(errors[2], 4 * errors[1], rtol=0.05, atol=1e-4)


def test_the_posterior_is_that_of_bayes():
    """Of one number, by the density of step t - 1 given the clean signal times that of step t given step t - 1, on a grid."""
    process = DiffusionProcess(DiffusionConfig())
    clean, seen, step = 0.7, -0.4, 600
    now, before = float(process.signal[step]), float(process.signal[step - 1])
    grid = torch.linspace(-6, 6, 200_001, dtype=torch.float64)
    alpha = now / before
    log = -((grid - before**0.5 * clean) ** 2) / (2 * (1 - before)) - (seen - alpha**0.5 * grid) ** 2 / (
        2 * (1 - alpha)
    )
    weights = torch.softmax(log, 0)
    expected = float((weights * grid).sum())
    spread = float((weights * (grid - expected) ** 2).sum())
    mean, variance = process.posterior(torch.tensor([[clean]]), torch.tensor([[seen]]), torch.tensor([step]))
    assert float(mean) == pytest.approx(expected, abs=1e-3)
    assert float(variance) == pytest.approx(spread, rel=0.02)


def test_padding_does_not_count(clean):
    process = DiffusionProcess(DiffusionConfig())
    weights = torch.ones(4, 6, 1)
    weights[:, 3:] = 0
    losses = []
    for padding in (0.0, 100.0):
        torch.manual_seed(0)
        filled = torch.where(weights.bool(), clean, torch.tensor(padding))
        losses.append(process.loss(lambda noised, steps: torch.zeros_like(noised), filled, weights)[0])
    assert losses[0] == losses[1]


def test_steps_are_drawn_evenly():
    torch.manual_seed(0)
    steps = DiffusionProcess(DiffusionConfig(num_train_timesteps=100)).draw_steps(10)
    assert sorted((steps // 10).tolist()) == list(range(10))


def test_guidance_goes_beyond_the_condition(clean):
    process = DiffusionProcess(DiffusionConfig())
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    network, without = knowing(process, clean), knowing(process, clean * 0)
    made = process.sample(network, noise, 20, without=without, guidance_scale=2.0)
    torch.testing.assert_close(made, 2 * clean, atol=0.1, rtol=0.02)


def test_what_is_wrong_is_told(clean):
    process = DiffusionProcess(DiffusionConfig())
    for steps in (0, 1001):
        with pytest.raises(ValueError, match="allowed is 1 to 1000"):
            process.sample(knowing(process, clean), clean, steps)
    with pytest.raises(ValueError, match="without its condition"):
        process.sample(knowing(process, clean), clean, 2, guidance_scale=3.0)
    for wrong in (
        {"beta_schedule": "cosine"},
        {"prediction_type": "flow"},
        {"sampling_steps": 0},
        {"condition_dropout": 1.0},
        {"guidance_scale": 2.0, "condition_dropout": 0.0},
    ):
        with pytest.raises(ValueError):
            DiffusionConfig(**wrong)
