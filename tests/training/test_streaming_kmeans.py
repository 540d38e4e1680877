"""Mini-batch k-means over a stream: what it finds, and that neither pieces nor interruptions change it."""

import pytest
import torch
from safetensors.torch import load, save

from triglot.processing.errors import TriglotError
from triglot.training.streaming_kmeans import StreamingKmeans

K, WIDTH = 12, 5


def blobs(frames: int, seed: int = 0, spread: float = 0.05) -> tuple[torch.Tensor, torch.Tensor]:
    """Frames around K places far from each other, and the places."""
    generator = torch.Generator().manual_seed(seed)
    places = torch.randn(K, WIDTH, generator=torch.Generator().manual_seed(99)) * 3
    which = torch.randint(K, (frames,), generator=generator)
    return places[which] + spread * torch.randn(frames, WIDTH, generator=generator), places


def new(**changes) -> StreamingKmeans:
    return StreamingKmeans(K, WIDTH, **{"batch_size": 64, "init_frames": 150, "seed": 1, **changes})


def fit(kmeans: StreamingKmeans, frames: torch.Tensor, piece: int = 37) -> torch.Tensor:
    for part in frames.split(piece):
        kmeans.add(part)
    return kmeans.finish()


def inertia(frames: torch.Tensor, centroids: torch.Tensor) -> float:
    return float(torch.cdist(frames, centroids).min(1).values.square().mean())


def test_it_finds_the_places_that_frames_gather_around():
    frames, places = blobs(3_000)
    centroids = fit(new(), frames)
    assert float(torch.cdist(places, centroids).min(1).values.max()) < 0.05


def test_each_centroid_is_the_mean_of_the_frames_that_chose_it():
    frames, places = blobs(2_000, spread=0.01)  # so far apart that no frame ever changes its centroid
    kmeans = new()
    centroids = fit(kmeans, frames)
    codes = torch.cdist(frames, places).argmin(1)
    for place in range(K):
        nearest = centroids[torch.cdist(places[place][None], centroids).argmin()]
        torch.testing.assert_close(nearest, frames[codes == place].mean(0), rtol=1e-4, atol=1e-4)
    assert int(kmeans.counts.sum()) == kmeans.frames == 2_000


def test_how_the_stream_is_cut_changes_nothing():
    frames, _ = blobs(900, spread=1.0)
    whole = fit(new(), frames, piece=900)
    for piece in (1, 64, 250):
        assert torch.equal(fit(new(), frames, piece), whole)
    assert not torch.equal(fit(new(seed=2), frames), whole)


@pytest.mark.parametrize("stop", [10, 149, 150, 151, 400, 899])
def test_interrupted_and_resumed_is_as_if_nothing_had_happened(stop):
    frames, _ = blobs(900, spread=1.0)
    frames[600:] += 40.0  # what was there dies, so that chance is needed
    whole = new(batch_size=20)
    centroids = fit(whole, frames)
    assert whole.reseeded > 0
    before, after = new(batch_size=20), new(batch_size=20)
    before.add(frames[:stop])
    after.load_state(load(save(before.state())))
    after.add(frames[stop:])
    assert torch.equal(after.finish(), centroids)
    assert (after.frames, after.reseeded) == (whole.frames, whole.reseeded)


def test_dead_centroids_start_anew_where_the_frames_are():
    early, _ = blobs(400)
    late, places = blobs(3_000)
    early[:] = early[0] + 0.01 * torch.randn(400, WIDTH, generator=torch.Generator().manual_seed(5))  # one place only
    kmeans = new()
    centroids = fit(kmeans, torch.cat([early, late]))
    assert kmeans.reseeded > 0
    assert float(torch.cdist(places, centroids).min(1).values.median()) < 0.2


def test_it_is_as_good_as_all_frames_at_once():
    from sklearn.cluster import KMeans

    frames = torch.randn(6_000, WIDTH, generator=torch.Generator().manual_seed(7))
    ours = inertia(frames, fit(new(init_frames=600), frames))
    full = KMeans(K, n_init=1, random_state=0).fit(frames.numpy())
    assert ours < 1.05 * full.inertia_ / len(frames)


def test_too_few_frames_and_frames_that_are_all_the_same():
    kmeans = new()
    kmeans.add(torch.randn(K - 1, WIDTH))
    with pytest.raises(TriglotError, match=f"There are {K - 1} frames, fewer than the {K} codes"):
        kmeans.finish()
    centroids = fit(new(), torch.ones(2_000, WIDTH))
    assert centroids.isfinite().all() and torch.equal(centroids[0], torch.ones(WIDTH))


def test_frames_that_lie_close_together_far_from_zero():
    frames, places = blobs(3_000)
    centroids = fit(new(), 0.01 * frames + 100.0)
    assert (
        float(
            torch.cdist(0.01 * places + 100.0, centroids, compute_mode="donot_use_mm_for_euclid_dist")
            .min(1)
            .values.max()
        )
        < 1e-3
    )
