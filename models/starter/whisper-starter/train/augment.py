"""Telephone-line augmentation, numpy/scipy only."""
from fractions import Fraction

import numpy as np
from scipy.signal import butter, fftconvolve, resample_poly, sosfilt

SR = 16000


def resample(x, src, dst, limit=80):
    f = Fraction(dst / src).limit_denominator(limit)
    return x if f == 1 else resample_poly(x, f.numerator, f.denominator).astype(np.float32)


def mulaw(x):
    mu = 255.0
    y = np.sign(x) * np.log1p(mu * np.abs(np.clip(x, -1, 1))) / np.log1p(mu)
    y = np.round((y + 1) * 127.5) / 127.5 - 1
    return (np.sign(y) * np.expm1(np.abs(y) * np.log1p(mu)) / mu).astype(np.float32)


def alaw(x):
    a = 87.6
    ax = np.abs(np.clip(x, -1, 1))
    d = 1 + np.log(a)
    y = np.where(ax < 1 / a, a * ax / d, (1 + np.log(np.maximum(a * ax, 1e-9))) / d)
    y = np.round(y * 127.5) / 127.5
    z = np.where(y < 1 / d, y * d / a, np.exp(np.clip(y * d - 1, -50, 50)) / a)
    return (np.sign(x) * z).astype(np.float32)


def telephone(x, law="mu"):
    """16 kHz -> 8 kHz G.711 -> 16 kHz."""
    y = resample_poly(x, 1, 2)
    y = mulaw(y) if law == "mu" else alaw(y)
    return resample_poly(y, 2, 1).astype(np.float32)


def add_noise(x, noise, snr_db, rng, speech=None):
    ref = x if speech is None else speech
    if len(noise) < len(x):
        noise = np.tile(noise, len(x) // len(noise) + 1)
    s = rng.integers(0, len(noise) - len(x) + 1)
    n = noise[s:s + len(x)]
    p = float(np.mean(ref ** 2)) / max(float(np.mean(n ** 2)), 1e-10) / 10 ** (snr_db / 10)
    return x + n * np.float32(np.sqrt(p))


def coloured(n, rng):
    """White to brown noise."""
    w = np.fft.rfft(rng.standard_normal(n).astype(np.float32))
    f = np.maximum(np.arange(len(w)), 1.0)
    return np.fft.irfft(w / f ** rng.uniform(0, 1.0), n).astype(np.float32)


class Augment:
    def __init__(self, noises, rirs, rng, live=False):
        """live: as a real-time segmenter hands it over (speech cut a little at either end, more clips at natural speed)."""
        self.noises, self.rirs, self.rng, self.live = noises, rirs, rng, live
        self.babble = []

    def noise(self, n):
        r = self.rng
        if self.noises and r.random() < 0.5:
            return self.noises[r.integers(len(self.noises))]
        if len(self.babble) > 6 and r.random() < 0.4:
            out = np.zeros(n, np.float32)
            for k in r.choice(len(self.babble), r.integers(2, 6)):
                b = np.resize(self.babble[k], n)
                out += np.roll(b, r.integers(0, n))
            return out
        return coloured(n, r)

    def __call__(self, x, sr):
        r = self.rng
        speed = r.uniform(0.97, 1.03) if self.live and r.random() < 0.4 else r.uniform(0.88, 1.17)
        x = resample(x, sr * speed, SR)                          # speed + pitch + formant shift together
        keep = np.flatnonzero(np.abs(x) > 0.01 * np.abs(x).max())
        first, last, lead = int(keep[0]), int(keep[-1]) + 1, r.uniform(0.05, 0.8)
        if self.live and r.random() < 0.25:                      # onset lost
            first, lead = first + int(r.uniform(0.01, 0.07) * SR), r.uniform(0.0, 0.15)
        cut_end = self.live and r.random() < 0.2                  # end lost
        if cut_end:
            last = max(first + SR // 5, last - int(r.uniform(0.01, 0.07) * SR))
        x = x[first:last]
        x = x / max(float(np.abs(x).max()), 1e-4)
        self.babble = (self.babble + [x])[-40:]
        if self.rirs and r.random() < 0.2:
            wet = fftconvolve(x, self.rirs[r.integers(len(self.rirs))])[: len(x) + 1600]
            wet = wet / max(float(np.abs(wet).max()), 1e-4)
            k = r.uniform(0.2, 0.8)
            x = k * wet + (1 - k) * np.pad(x, (0, len(wet) - len(x)))
        speech = x
        lead = int(lead * SR)
        self.placement = speed, lead - first                     # source second t lands on sample t / speed * SR + offset
        x = np.pad(x, (lead, int(r.uniform(0.0, 0.15) * SR) if cut_end else int(r.uniform(0.05, 0.8) * SR))).astype(np.float32)
        if r.random() < (0.5 if self.live else 0.6):
            x = add_noise(x, self.noise(len(x)), r.uniform(5, 30), r, speech)
        x = x / max(float(np.abs(x).max()), 1e-4) * 10 ** (r.uniform(-26, -0.5) / 20)
        if r.random() < 0.5:
            lo, hi = r.uniform(60, 320), r.uniform(3000, 3700)
            x = sosfilt(butter(int(r.integers(1, 4)), [lo, hi], "band", fs=SR, output="sos"), x).astype(np.float32)
        if r.random() < 0.88:
            x = telephone(x, "mu" if r.random() < 0.6 else "a")
        if r.random() < 0.15:                                     # lost packets, 20 ms each
            for s in np.flatnonzero(r.random(len(x) // 320) < r.uniform(0.01, 0.05)):
                x[s * 320:(s + 1) * 320] = 0
        return np.clip(x, -1, 1).astype(np.float32)
