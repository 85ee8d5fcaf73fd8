"""Score an exported folder with transformers (greedy, full 10 s window), write results.json and a markdown table.

  python evaluate.py --model .. --eval data/eval [--real DIR] --out results.json
  python evaluate.py --model .. --eval data/eval_front --conditions mulaw8k mulaw8k_noise10 --out results_front.json
"""
import argparse
import glob
import json
import os
import re
from collections import defaultdict

import numpy as np
import soundfile as sf
import torch
from tokenizers import Tokenizer
from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration

from augment import SR, resample, telephone
from generate import eval_texts
from tokenizer import PROMPT


def distance(r, h):
    d = list(range(len(h) + 1))
    for i, a in enumerate(r, 1):
        prev, d[0] = d[0], i
        for j, b in enumerate(h, 1):
            prev, d[j] = d[j], min(d[j] + 1, d[j - 1] + 1, prev + (a != b))
    return d[len(h)]


class Recogniser:
    def __init__(self, folder):
        self.model = WhisperForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
        self.fe = WhisperFeatureExtractor.from_pretrained(folder)
        self.tok = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
        self.prompt = [self.tok.token_to_id(t) for t in PROMPT]
        self.eot = self.tok.token_to_id("<|endoftext|>")

    def features(self, audio):
        return self.fe(audio, sampling_rate=SR, return_tensors="pt").input_features

    @torch.no_grad()
    def ids(self, audio, limit=80):
        """Greedy decoding of a list of clips -> token ids after the prompt, without <|endoftext|>."""
        enc = self.model.model.encoder(self.features(audio))
        t, past = torch.tensor([self.prompt] * len(audio)), None
        step, rows = t, [[] for _ in audio]
        done = torch.zeros(len(audio), dtype=torch.bool)
        for _ in range(limit):
            o = self.model(encoder_outputs=enc, decoder_input_ids=step, past_key_values=past, use_cache=True)
            past = o.past_key_values
            nxt = o.logits[:, -1].argmax(-1)
            done |= nxt == self.eot
            if done.all():
                break
            for row, n, d in zip(rows, nxt.tolist(), done.tolist()):
                if not d:
                    row.append(n)
            step = nxt[:, None]
        return rows

    def text(self, audio):
        return [self.tok.decode(r).strip() for r in self.ids(audio)]


def read(path):
    x, sr = sf.read(path, dtype="float32")
    return resample(x if x.ndim == 1 else x[:, 0], sr, SR)


def pieces(x, limit=9.5):
    """Cut audio longer than the window at its quietest points."""
    out = []
    while len(x) > limit * SR:
        e = np.convolve(x ** 2, np.ones(3200) / 3200, "same")
        lo, hi = int(4 * SR), int(limit * SR)
        cut = lo + int(np.argmin(e[lo:hi]))
        out.append(x[:cut])
        x = x[cut:]
    return out + [x]


def score(pairs):
    w = sum(len(r.split()) for r, _ in pairs)
    c = sum(len(r) for r, _ in pairs)
    return {"clips": len(pairs), "words": w,
            "wer": 100 * sum(distance(r.split(), h.split()) for r, h in pairs) / max(w, 1),
            "cer": 100 * sum(distance(r, h) for r, h in pairs) / max(c, 1),
            "exact": 100 * sum(r == h for r, h in pairs) / len(pairs)}


def decode(rec, clips, batch=16):
    order = sorted(range(len(clips)), key=lambda i: len(clips[i]))
    out = [""] * len(clips)
    for k in range(0, len(order), batch):
        idx = order[k:k + batch]
        for i, h in zip(idx, rec.text([clips[i] for i in idx])):
            out[i] = h
    return out


def real_sets(root):
    """Real recordings, evaluation only -> {set: [(path, reference, start sample, end sample or None)]}."""
    sets = defaultdict(list)
    p = os.path.join(root, "jfk", "jfk.wav")
    if os.path.exists(p):
        sets["jfk speech"].append((p, "and so my fellow americans ask not what your country can do for you "
                                      "ask what you can do for your country"))
    for j in ("ASR_train.json", "ASR_dev.json"):
        p = os.path.join(root, "speechbrain", j)
        if os.path.exists(p):
            with open(p) as f:
                for k, v in re.findall(r'"(spk\d_snt\d)".*?"wrd": "([^"]*)"', f.read(), re.S):
                    sets["read sentences"].append((os.path.join(root, "speechbrain", k + ".wav"), v.lower()))
    for speaker, label in (("evmaki", "letters and digits, unseen speaker"),
                           ("petewarden", "letters and digits, speaker used in training")):
        for p in sorted(glob.glob(os.path.join(root, "moonshine", "alphanumeric", "*", speaker + "_*.wav"))):
            sets[label].append((p, os.path.basename(os.path.dirname(p))))
    for t, d in (("cards/cards.transcription", "cards"), ("librivox/transcription", "librivox")):
        p = os.path.join(root, "pocketsphinx", t)
        if os.path.exists(p):
            with open(p) as f:
                for text, cid in re.findall(r"<s>(.*?)</s>\s*\((.*?)\)", f.read()):
                    sets["cards" if d == "cards" else "audiobook (librivox)"].append(
                        (os.path.join(root, "pocketsphinx", d, cid + ".wav"), " ".join(text.split())))
    names = "zero one two three four five six seven eight nine".split()
    for p in sorted(glob.glob(os.path.join(root, "fsdd", "recordings", "*_[01].wav"))):
        sets["isolated digits 8 kHz (fsdd)"].append((p, names[int(os.path.basename(p)[0])]))
    return sets


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--model", default="..")
    ap.add_argument("--eval", default="data/eval")
    ap.add_argument("--real", default="")
    ap.add_argument("--out", default="results.json")
    ap.add_argument("--limit", type=int, default=0, help="only every n-th clip")
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--conditions", nargs="*", default=["clean16k", "mulaw8k", "mulaw8k_noise10"])
    a = ap.parse_args()
    torch.set_num_threads(a.threads)
    rec = Recogniser(a.model)
    results, examples = {}, []
    with open(os.path.join(a.eval, "eval.tsv")) as f:
        rows = [line.rstrip("\n").split("\t") for line in f]
    rows = rows[::a.limit] if a.limit else rows
    category = {}
    eval_texts(len(rows) * (a.limit or 1), category)
    for cond in a.conditions:
        hyps = decode(rec, [read(os.path.join(a.eval, f"{r[0]}.{cond}.wav")) for r in rows])
        groups = defaultdict(list)
        for r, h in zip(rows, hyps):
            for g in (r[1], f"{r[1]} {r[2]}", f"{r[1]} / {category.get(r[4], 'other')}"):
                groups[g].append((r[4], h))
            examples.append({"id": r[0], "condition": cond, "voice": r[3], "ref": r[4], "hyp": h})
        for g, pairs in groups.items():
            results.setdefault(g, {})[cond] = score(pairs)
        print(cond, {g: round(results[g][cond]["wer"], 2) for g in groups}, flush=True)
    if a.real:
        for name, items in real_sets(a.real).items():
            for cond in ("clean16k", "mulaw8k"):
                clips, owner = [], []
                for i, (p, _) in enumerate(items):
                    x = read(p)
                    x = x / max(float(np.abs(x).max()), 1e-4) * 0.5
                    x = np.pad(x, (3200, 4800))
                    for y in pieces(x if cond == "clean16k" else telephone(x)):
                        clips.append(y)
                        owner.append(i)
                hyp = [[] for _ in items]
                for i, h in zip(owner, decode(rec, clips)):
                    hyp[i].append(h)
                pairs = [(ref, " ".join(h)) for (_, ref), h in zip(items, hyp)]
                results.setdefault("real: " + name, {})[cond] = score(pairs)
                examples += [{"id": os.path.basename(p), "condition": cond, "voice": "real", "ref": r, "hyp": h}
                             for (p, _), (r, h) in list(zip(items, pairs))[:20]]
    with open(a.out, "w") as f:
        json.dump({"results": results, "examples": examples}, f, indent=1)
    print("| set | condition | clips | words | WER % | CER % | exact % |\n|---|---|---|---|---|---|---|")
    for g, by in sorted(results.items()):
        for cond, s in by.items():
            print(f"| {g} | {cond} | {s['clips']} | {s['words']} | {s['wer']:.1f} | {s['cer']:.1f} | {s['exact']:.0f} |")


if __name__ == "__main__":
    main()
