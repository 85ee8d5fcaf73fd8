"""Make training shards (log-mels, f16) and the held-out evaluation clips (wav).

  python generate.py --out data --shards 30 --per-shard 1000 --workers 2 [--noise DIR] [--rir DIR]
  python generate.py --out data --real DIR      (optional: real digits and letters of one speaker)
  python generate.py --out data --eval
"""
import argparse
import glob
import json
import multiprocessing as mp
import os
import random
import time

import numpy as np
import soundfile as sf

from augment import Augment, SR, add_noise, coloured, resample, telephone
from features import MAX_FRAMES, log_mel
from frontdesk import FRONT_EVAL_SEED, FRONT_SEED, HELD_OUT, allowed, front_desk, front_desk_eval, plain
from grammar import CTRL, NO, YES, sentence, sentences
from synth import ESPEAK_TRAIN, FRONT_VOICES, HELDOUT_VOICES, TRAIN_VOICES, Synth, spoken

TEXT_SEED, EVAL_SEED = 20261122, 777


def load_dir(pattern):
    out = []
    for p in sorted(glob.glob(pattern)) if pattern else []:
        x, sr = sf.read(p, dtype="float32")
        x = resample(x if x.ndim == 1 else x[:, 0], sr, SR)
        out.append(x / max(float(np.abs(x).max()), 1e-4))
    return out


def eval_texts(n, labels=None):
    fixed = set(CTRL + YES + NO)
    return [s for s in sentences(3 * n, EVAL_SEED, exclude=fixed, labels=labels) if len(s.split()) >= 2][:n]


def available(voices):
    if "PICO_CMD" in os.environ:
        return dict(voices)
    return {k: v for k, v in voices.items() if not k.startswith("pico")}


FRONT_MIX = {"front desk": 0.48, "caller request": 0.32, "fixed phrase": 0.08, "digits and spelling": 0.04,
             "general english": 0.04, "random words": 0.04}
FRONT_EVAL_VOICES = ["flite:awb", "flite:kal16", "flite:slt", "flite:rms", "espeak", "espeak-heldout", "festival:slt_hts",
                     "festival:kal", "festival:ked"]


def front_texts(n, exclude, seed=FRONT_SEED):
    """Marked sentences of the front-desk stage."""
    r, seen, out = random.Random(seed), set(), []
    while len(out) < n:
        want = r.choices(list(FRONT_MIX), list(FRONT_MIX.values()))[0]
        s, label = front_desk(r) if want == "front desk" else sentence(r)
        while want != "front desk" and label != want:
            s, label = sentence(r)
        p = plain(s)
        if allowed(p, exclude) and (p not in seen or r.random() < 0.25):
            seen.add(p)
            out.append(s)
    return out


def make_front_shard(args):
    i, texts, out, noise, rir = args
    path = os.path.join(out, f"shard{i:03d}")
    if os.path.exists(path + ".json"):
        return
    t0 = time.time()
    rng = np.random.default_rng(7000 + i)
    synth, aug = Synth(), Augment(load_dir(noise), load_dir(rir), rng, live=True)
    p = np.array(list(FRONT_VOICES.values()))
    jobs = [(t if rng.random() < 0.6 else plain(t), str(v))
            for t, v in zip(texts, rng.choice(list(FRONT_VOICES), len(texts), p=p / p.sum()))]
    mels, meta, pos = [], [], 0
    for (text, _), (x, sr, voice, phones) in zip(jobs, synth.render_aligned(jobs, rng)):
        if len(x) / sr > 10.5 or len(x) / sr < 0.1:
            continue
        m, floor = log_mel(aug(x, sr))
        if len(m) > MAX_FRAMES:
            continue
        mels.append(m.astype(np.float16))
        meta.append({"o": pos, "n": len(m), "floor": round(floor, 4), "text": plain(text), "voice": voice})
        if phones:
            speed, offset = aug.placement
            meta[-1]["ali"] = [[int(max(0, (t / speed * SR + offset) / 320)), "".join(c for c in ph if c not in "#2")]
                               for t, ph in phones]
        pos += len(m)
    for m, floor in non_speech(len(texts) // 40, aug, rng):
        mels.append(m.astype(np.float16))
        meta.append({"o": pos, "n": len(m), "floor": round(floor, 4), "text": "", "voice": "none"})
        pos += len(m)
    np.save(path + ".npy", np.concatenate(mels))
    with open(path + ".tmp", "w") as f:
        json.dump(meta, f)
    os.rename(path + ".tmp", path + ".json")
    print(f"shard {i}: {len(meta)} clips, {pos / 100 / 3600:.2f} h, {time.time() - t0:.0f} s", flush=True)


def make_front_eval(out, noise, per_voice):
    """eval_front: held-out front-desk sentences and the demo's own lines, engines at their own rate."""
    rng = np.random.default_rng(FRONT_EVAL_SEED)
    synth, noises = Synth(), load_dir(noise)
    folder = os.path.join(out, "eval_front")
    os.makedirs(folder, exist_ok=True)
    texts, rows, k = front_desk_eval(per_voice * len(FRONT_EVAL_VOICES)), [], 0

    def write(cid, x, sr, j):
        x = resample(x, sr, SR)
        x = x / np.abs(x).max() * 0.5
        y = np.pad(x, (int(0.3 * SR), int(0.3 * SR)))
        noisy = add_noise(y, noises[j % len(noises)] if noises and j % 2 else coloured(len(y), rng), 10, rng, x)
        for cond, z in (("mulaw8k", telephone(y)), ("mulaw8k_noise10", telephone(noisy * 0.7))):
            sf.write(os.path.join(folder, f"{cid}.{cond}.wav"), resample(z, 16000, 8000), 8000, subtype="PCM_16")

    def say(text, v):
        if v.startswith("flite:"):
            return (*synth.flite.say(spoken(text), v[6:], 1.0), v)
        return synth.render([(text, v)], rng)[0]

    for v in FRONT_EVAL_VOICES:
        for j, t in enumerate(texts[k:k + per_voice]):
            x, sr, label = say(t if j % 2 else plain(t), v)
            if len(x) / sr <= 9.3:
                cid = f"front_{v.replace(':', '-')}_{j:03d}"
                write(cid, x, sr, j)
                rows.append((cid, "front", v, label, plain(t)))
        k += per_voice
    marked = ["hello, i would like to book an appointment with doctor patel, please.",
              "good morning. i need to see doctor patel.", "wednesday at two thirty, please.",
              "sorry, can i have the wednesday one, please?", "yes, please.", "is there parking at the clinic?",
              "do you have parking at the clinic?", "no thank you, that is all. goodbye.",
              "no, that is everything. thank you, goodbye."]
    assert [plain(m) for m in marked] == HELD_OUT
    for v in FRONT_EVAL_VOICES:
        for j, t in enumerate(marked + HELD_OUT):
            x, sr, label = say(t, v)
            cid = f"demo_{v.replace(':', '-')}_{j:03d}"
            write(cid, x, sr, j)
            rows.append((cid, "demo", v, label, plain(t)))
    with open(os.path.join(folder, "eval.tsv"), "w") as f:
        for r in rows:
            f.write("\t".join(r) + "\n")
    print(len(rows), "front-desk evaluation clips")


def non_speech(count, aug, rng):
    """Silence, tones and noise: the transcript is empty."""
    for _ in range(count):
        n = int(rng.uniform(0.4, 5) * SR)
        k = rng.random()
        if k < 0.2:
            x = np.zeros(n, np.float32)
        elif k < 0.35:
            f = rng.uniform(300, 1500)
            x = np.sin(2 * np.pi * f * np.arange(n) / SR).astype(np.float32) * (np.arange(n) % 16000 < 8000)
        elif k < 0.7 and aug.noises:
            x = add_noise(np.zeros(n, np.float32), aug.noises[rng.integers(len(aug.noises))], 0, rng,
                          np.ones(1, np.float32))
        else:
            x = coloured(n, rng)
        x = x / max(float(np.abs(x).max()), 1e-4) * 10 ** (rng.uniform(-60, -6) / 20)
        yield log_mel(telephone(x.astype(np.float32)))


def make_shard(args):
    i, texts, out, noise, rir = args
    path = os.path.join(out, f"shard{i:03d}")
    if os.path.exists(path + ".json"):
        return
    t0 = time.time()
    rng = np.random.default_rng(1000 + i)
    synth, aug = Synth(), Augment(load_dir(noise), load_dir(rir), rng)
    voices = available(TRAIN_VOICES)
    p = np.array(list(voices.values()))
    jobs = [(t, str(v)) for t, v in zip(texts, rng.choice(list(voices), len(texts), p=p / p.sum()))]
    mels, meta, pos = [], [], 0

    def add(m, floor, text, voice):
        nonlocal pos
        mels.append(m.astype(np.float16))
        meta.append({"o": pos, "n": len(m), "floor": round(floor, 4), "text": text, "voice": voice})
        pos += len(m)

    for (text, _), (x, sr, voice) in zip(jobs, synth.render(jobs, rng)):
        if len(x) / sr > 10.5 or len(x) / sr < 0.1:
            continue
        m, floor = log_mel(aug(x, sr))
        if len(m) <= MAX_FRAMES:
            add(m, floor, text, voice)
    for m, floor in non_speech(len(texts) // 40, aug, rng):
        add(m, floor, "", "none")
    np.save(path + ".npy", np.concatenate(mels))
    with open(path + ".json", "w") as f:
        json.dump(meta, f)
    print(f"shard {i}: {len(meta)} clips, {pos / 100 / 3600:.2f} h, {time.time() - t0:.0f} s", flush=True)


def make_aligned(args):
    """Shards whose clips carry phone start times (from the engines), used to teach the encoder alignment early."""
    i, texts, out, noise, rir = args
    rng = np.random.default_rng(5000 + i)
    synth, aug = Synth(), Augment(load_dir(noise), load_dir(rir), rng)
    mels, meta, pos = [], [], 0
    for text in texts:
        v = str(rng.choice(["espeak", "slt", "awb", "kal16"], p=[0.6, 0.1, 0.1, 0.2]))
        if v == "espeak":
            var = str(rng.choice(ESPEAK_TRAIN))
            name = str(rng.choice(["en-us", "en"])) + (f"+{var}" if var else "")
            x, sr = synth.espeak.say(spoken(text), name, rng.integers(140, 200), rng.integers(30, 72))
            phones = list(synth.espeak.phones)
        else:
            x, sr, phones = synth.flite.say_aligned(spoken(text), v, float(rng.uniform(0.85, 1.2)))
        m, floor = log_mel(aug(x, sr))
        if len(m) > MAX_FRAMES:
            continue
        speed, offset = aug.placement
        ali = [[int(max(0, (t / speed * SR + offset) / 320)), "".join(c for c in ph if c not in "#2")] for t, ph in phones]
        mels.append(m.astype(np.float16))
        meta.append({"o": pos, "n": len(m), "floor": round(floor, 4), "text": text, "voice": v, "ali": ali})
        pos += len(m)
    path = os.path.join(out, f"shard8{i:02d}")
    np.save(path + ".npy", np.concatenate(mels))
    with open(path + ".json", "w") as f:
        json.dump(meta, f)
    print(f"aligned shard {i}: {len(meta)} clips", flush=True)


def make_real(pattern, speaker, out, count, noise, rir):
    """Digit/letter strings glued from real isolated recordings DIR/<word>/<speaker>_*.wav of one speaker."""
    rng = np.random.default_rng(99)
    aug = Augment(load_dir(noise), load_dir(rir), rng)
    clips = []
    for p in sorted(glob.glob(os.path.join(pattern, "*", speaker + "_*.wav"))):
        x, sr = sf.read(p, dtype="float32")
        keep = np.flatnonzero(np.abs(x) > 0.04 * np.abs(x).max())
        lo, hi = max(0, keep[0] - 800), keep[-1] + 1600
        clips.append((os.path.basename(os.path.dirname(p)), x[lo:hi]))
    mels, meta, pos = [], [], 0
    for _ in range(count):
        words, parts = [], []
        for k in rng.choice(len(clips), rng.integers(1, 7)):
            words.append(clips[k][0])
            parts += [clips[k][1], np.zeros(int(rng.uniform(0, 0.35) * SR), np.float32)]
        m, floor = log_mel(aug(np.concatenate(parts), SR))
        if len(m) <= MAX_FRAMES:
            mels.append(m.astype(np.float16))
            meta.append({"o": pos, "n": len(m), "floor": round(floor, 4), "text": " ".join(words), "voice": "real:" + speaker})
            pos += len(m)
    np.save(os.path.join(out, "shard900.npy"), np.concatenate(mels))
    with open(os.path.join(out, "shard900.json"), "w") as f:
        json.dump(meta, f)
    print(len(meta), "clips from", len(clips), "real recordings of", speaker)


def make_eval(out, noise, per_voice):
    """wav/<set>/<id>.<condition>.wav + tsv.  Conditions: clean16k, mulaw8k, mulaw8k_noise10."""
    rng = np.random.default_rng(EVAL_SEED)
    synth, noises = Synth(), load_dir(noise)
    sets = {"seen": list(TRAIN_VOICES), "unseen": HELDOUT_VOICES}
    texts = eval_texts(per_voice * 8 + per_voice * 2 * 3)
    k = 0
    rows = []
    os.makedirs(os.path.join(out, "eval"), exist_ok=True)
    for name, voices in sets.items():
        for v in voices:
            n = per_voice if name == "seen" else 2 * per_voice
            batch, k = texts[k:k + n], k + n
            if v.startswith("pico") and "PICO_CMD" not in os.environ:
                continue                                          # the other voices keep their sentences
            for j, (t, (x, sr, label)) in enumerate(zip(batch, synth.render([(t, v) for t in batch], rng))):
                x = resample(x, sr, SR)
                if len(x) > 9.3 * SR:
                    continue
                x = x / np.abs(x).max() * 0.5
                y = np.pad(x, (int(0.3 * SR), int(0.3 * SR)))
                noisy = add_noise(y, noises[j % len(noises)] if noises and j % 2 else coloured(len(y), rng), 10, rng, x)
                cid = f"{name}_{v.replace(':', '-')}_{j:03d}"
                for cond, z in (("clean16k", y), ("mulaw8k", telephone(y)), ("mulaw8k_noise10", telephone(noisy * 0.7))):
                    rate = 16000 if cond == "clean16k" else 8000
                    sf.write(os.path.join(out, "eval", f"{cid}.{cond}.wav"),
                             z if rate == 16000 else resample(z, 16000, 8000), rate, subtype="PCM_16")
                rows.append((cid, name, v, label, t))
    with open(os.path.join(out, "eval", "eval.tsv"), "w") as f:
        for r in rows:
            f.write("\t".join(r) + "\n")
    print(len(rows), "evaluation clips x 3 conditions")


if __name__ == "__main__":
    ap = argparse.ArgumentParser()
    ap.add_argument("--out", default="data")
    ap.add_argument("--shards", type=int, default=30)
    ap.add_argument("--first", type=int, default=0)
    ap.add_argument("--per-shard", type=int, default=1000)
    ap.add_argument("--workers", type=int, default=2)
    ap.add_argument("--noise", default="", help="glob of noise wavs for training")
    ap.add_argument("--eval-noise", default="", help="glob of noise wavs kept for evaluation")
    ap.add_argument("--rir", default="", help="glob of room impulse responses")
    ap.add_argument("--aligned", type=int, default=0, help="number of 1,000-clip shards with phone timing")
    ap.add_argument("--eval", action="store_true")
    ap.add_argument("--front", action="store_true", help="shards (with --eval: evaluation clips) of the front-desk stage")
    ap.add_argument("--real", default="", help="folder of isolated recordings, <word>/<speaker>_*.wav")
    ap.add_argument("--real-speaker", default="petewarden")
    ap.add_argument("--real-count", type=int, default=600)
    ap.add_argument("--eval-per-voice", type=int, default=25)
    a = ap.parse_args()
    os.makedirs(a.out, exist_ok=True)
    if a.front and a.eval:
        make_front_eval(a.out, a.eval_noise, 40)
    elif a.front:
        held = set(eval_texts(a.eval_per_voice * 14)) | {plain(t) for t in front_desk_eval(40 * len(FRONT_EVAL_VOICES))}
        texts = front_texts((a.first + a.shards) * a.per_shard, held)
        jobs = [(i, texts[i * a.per_shard:(i + 1) * a.per_shard], a.out, a.noise, a.rir)
                for i in range(a.first, a.first + a.shards)]
        with mp.get_context("spawn").Pool(a.workers, maxtasksperchild=1) as pool:
            for _ in pool.imap_unordered(make_front_shard, jobs):
                pass
    elif a.eval:
        make_eval(a.out, a.eval_noise, a.eval_per_voice)
    elif a.aligned:
        held = set(eval_texts(a.eval_per_voice * 14))
        texts = [t for t in sentences(a.aligned * 1000, TEXT_SEED + 1, max_chars=60) if t not in held]
        with mp.get_context("spawn").Pool(a.workers) as pool:
            pool.map(make_aligned, [(i, texts[i * 1000:(i + 1) * 1000], a.out, a.noise, a.rir) for i in range(a.aligned)], 1)
    elif a.real:
        make_real(a.real, a.real_speaker, a.out, a.real_count, a.noise, a.rir)
    else:
        held = set(eval_texts(a.eval_per_voice * 14))
        texts = [t for t in sentences((a.first + a.shards) * a.per_shard, TEXT_SEED) if t not in held]
        jobs = [(i, texts[i * a.per_shard:(i + 1) * a.per_shard], a.out, a.noise, a.rir)
                for i in range(a.first, a.first + a.shards)]
        with mp.get_context("spawn").Pool(a.workers) as pool:
            for _ in pool.imap_unordered(make_shard, jobs):
                pass
