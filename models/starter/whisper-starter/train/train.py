"""Train the starter model on CPU.

  python train.py --data data --tokenizer tokenizer.json --out run --minutes 40

The learning-rate schedule follows wall-clock time (warm-up, flat, linear to zero), so a run always ends on time;
the number of steps that took is printed and stored in the checkpoint.
"""
import argparse
import glob
import json
import math
import os
import time

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F
from tokenizers import Tokenizer

from features import MAX_FRAMES
from generate import TEXT_SEED
from grammar import sentences
from model import Config, Whisper
from muon import Muon
from tokenizer import PROMPT

CHARS = "_ abcdefghijklmnopqrstuvwxyz'"                              # index 0 is the CTC blank


PHONES = 160                                                         # room for every phone name the engines report


class Data:
    def __init__(self, root):
        self.root, self.loaded, self.items, self.phones = root, set(), [], {}

    def refresh(self):
        for j in sorted(glob.glob(os.path.join(self.root, "shard*.json"))):
            if j not in self.loaded:
                self.loaded.add(j)
                mm = np.load(j[:-5] + ".npy", mmap_mode="r")
                with open(j) as f:
                    self.items += [(mm, m) for m in json.load(f)]
        for name in sorted({ph for _, m in self.items for _, ph in m.get("ali", ())}):
            self.phones.setdefault(name, min(len(self.phones), PHONES - 1))
        self.aligned = [it for it in self.items if "ali" in it[1]]
        return len(self.items)


def load(item, rng, strength):
    mm, m = item
    x = np.asarray(mm[m["o"]:m["o"] + m["n"]], dtype=np.float32)
    floor = m["floor"]
    if rng.random() < strength and len(x) > 20:
        if rng.random() < 0.6:                                       # warp the mel axis: other vocal-tract lengths
            pos = np.clip(np.arange(80) * rng.uniform(0.92, 1.08), 0, 79)
            lo = pos.astype(int)
            hi = np.minimum(lo + 1, 79)
            w = (pos - lo).astype(np.float32)
            x = x[:, lo] * (1 - w) + x[:, hi] * w
        mean = float(x.mean())
        x = x.copy()
        for _ in range(rng.integers(0, 3)):
            k = int(rng.integers(1, 11))
            f = int(rng.integers(0, 80 - k))
            x[:, f:f + k] = mean
        for _ in range(rng.integers(0, 3)):
            k = int(rng.integers(1, 13))
            s = int(rng.integers(0, len(x) - k))
            x[s:s + k] = floor if rng.random() < 0.5 else mean
        gain = np.float32(rng.uniform(-0.15, 0.15))
        x, floor = x + gain, floor + gain
    return x, floor


def collate(items, tok, rng, strength=1.0, width=0, corrupt=0.0):
    """strength: probability that a clip is augmented (0 for validation)."""
    xs = [load(it, rng, strength) for it in items]
    width = max(width, max(len(x) for x, _ in xs))
    width += width % 2
    mel = np.empty((len(xs), width, 80), np.float32)
    for i, (x, floor) in enumerate(xs):
        mel[i, :len(x)], mel[i, len(x):] = x, floor
    lengths = torch.tensor([(len(x) + 1) // 2 for x, _ in xs])
    sot, eot, nospeech = (tok.token_to_id(t) for t in ("<|startoftranscript|>", "<|endoftext|>", "<|nospeech|>"))
    prompt = [tok.token_to_id(t) for t in PROMPT]
    ids = [tok.encode(" " + it[1]["text"]).ids if it[1]["text"] else [] for it in items]
    n = max(map(len, ids)) + len(prompt)
    inp = torch.full((len(ids), n), eot)
    tgt = torch.full((len(ids), n), -100)
    for i, s in enumerate(ids):
        inp[i, :len(prompt) + len(s)] = torch.tensor(prompt + s)
        tgt[i, :len(prompt) + len(s)] = torch.tensor(prompt[1:] + s + [eot])
        if not s:
            tgt[i, 0] = nospeech                                     # what follows <|startoftranscript|> without speech
        if corrupt and len(s) > 1:                                  # corrupt some history: listen, do not guess
            hit = np.flatnonzero(rng.random(len(s)) < corrupt)
            for h in hit:
                inp[i, len(prompt) + h] = int(rng.integers(97, sot - 1))
    chars = [torch.tensor([CHARS.index(ch) for ch in it[1]["text"]], dtype=torch.long) for it in items]
    return torch.from_numpy(mel).transpose(1, 2).contiguous(), lengths, inp, tgt, chars


def phone_targets(items, frames, phones):
    """[B, frames] phone of every encoder position, -100 where the clip has no timing."""
    t = torch.full((len(items), frames), -100)
    for i, (_, m) in enumerate(items):
        ali = m.get("ali")
        if ali:
            t[i, :(m["n"] + 1) // 2] = phones["_"]
            for (s, ph), e in zip(ali, [a for a, _ in ali[1:]] + [(m["n"] + 1) // 2]):
                t[i, s:e] = phones[ph]
            t[i, (m["n"] + 1) // 2:] = -100
            last = ali[-1][0] + 3
            t[i, last:(m["n"] + 1) // 2] = phones["_"]
    return t


def word_errors(ref, hyp):
    r, h = ref.split(), hyp.split()
    d = list(range(len(h) + 1))
    for i, a in enumerate(r, 1):
        prev, d[0] = d[0], i
        for j, b in enumerate(h, 1):
            prev, d[j] = d[j], min(d[j] + 1, d[j - 1] + 1, prev + (a != b))
    return d[len(h)]


def batches(data, rng, frames, cap, aligned):
    """Endless batches of clips of similar length, at most `frames` mel frames each.

    cap(): longest clip allowed now; aligned(): share drawn from the clips with phone timing now."""
    while True:
        chunk = []
        for pool, share in ((data.items, 1 - aligned()), (data.aligned, aligned())):
            pool = [it for it in pool if it[1]["n"] <= cap()]
            chunk += [pool[k] for k in rng.choice(len(pool), min(len(pool), int(1000 * share)), replace=False)]
        chunk.sort(key=lambda it: it[1]["n"])
        out, cur = [], []
        for it in chunk:
            if cur and (len(cur) + 1) * it[1]["n"] > frames:
                out.append(cur)
                cur = []
            cur.append(it)
        for k in rng.permutation(len(out)):
            yield out[k]


@torch.no_grad()
def validate(model, dev, tok, full):
    model.eval()
    prompt = [tok.token_to_id(t) for t in PROMPT]
    eot = tok.token_to_id("<|endoftext|>")
    rng = np.random.default_rng(0)
    bad = words = 0
    shown = []
    dev = sorted(dev, key=lambda it: it[1]["n"])
    for k in range(0, len(dev), 16):
        mel, *_ = collate(dev[k:k + 16], tok, rng, 0, MAX_FRAMES if full else 0)
        for it, ids in zip(dev[k:k + 16], model.greedy(mel, prompt, eot, 40)):
            hyp = tok.decode(ids).strip()
            bad += word_errors(it[1]["text"], hyp)
            words += len(it[1]["text"].split())
            shown.append((it[1]["text"], hyp))
    model.train()
    return bad / words, shown[:: max(1, len(shown) // 4)]


def train(rank, a):
    torch.set_num_threads(a.threads)
    if a.procs > 1:
        dist.init_process_group("gloo", init_method=f"file://{os.path.abspath(a.out)}/sync", rank=rank, world_size=a.procs)
    torch.manual_seed(a.seed)                                        # same initial weights in every process
    rng = np.random.default_rng([a.seed, rank])
    tok = Tokenizer.from_file(a.tokenizer)
    model = Whisper(Config(vocab_size=tok.get_vocab_size()), len(CHARS), PHONES)
    steps, seen_s = 0, 0.0
    if a.init:
        ck = torch.load(a.init)
        model.load_state_dict(ck["model"], strict=False)
        steps, seen_s = ck["steps"], ck["seen_s"]
    params = [p for p in model.parameters() if p.requires_grad]
    matrix = {id(q) for n, q in model.named_parameters() if q.dim() >= 2 and (".layers." in n or ".conv" in n)}
    muon = Muon([q for q in params if id(q) in matrix], a.muon_lr, rank=rank, procs=a.procs,
                dtype=torch.bfloat16 if a.bf16 else torch.float32) if a.muon_lr else None
    rest = [q for q in params if not (muon and id(q) in matrix)]
    opt = torch.optim.AdamW([{"params": [q for q in rest if q.dim() > 1], "weight_decay": 0.02},
                             {"params": [q for q in rest if q.dim() <= 1], "weight_decay": 0.0}],
                            lr=a.lr, betas=(0.9, 0.98), eps=1e-8, fused=True)
    data = Data(a.data)
    data.refresh()
    if a.keep_general < 1:
        labels, drop = {}, np.random.default_rng(a.seed)
        sentences(40000, TEXT_SEED, labels=labels)
        sentences(3000, TEXT_SEED + 1, max_chars=60, labels=labels)
        data.items = [it for it in data.items if labels.get(it[1]["text"]) not in ("general english", "random words")
                      or drop.random() < a.keep_general]
        data.aligned = [it for it in data.items if "ali" in it[1]]
    pick = np.random.default_rng(1).choice(len(data.items), 64, replace=False)
    dev = [data.items[k] for k in pick if data.items[k][1]["text"]]  # quick dev set, never trained on
    dev_ids = {id(it[1]) for it in dev}
    data.items = [it for it in data.items if id(it[1]) not in dev_ids]
    if rank == 0:
        print(f"{sum(p.numel() for p in params) / 1e6:.2f} M parameters, {len(data.items)} clips", flush=True)
    start = last_eval = last_log = time.time()
    p, local, ema, ph_ema, clips = a.progress, 0, None, None, 0

    def save(name, **extra):
        torch.save({"model": model.state_dict(), "config": model.config.dict(), "steps": steps, "seen_s": seen_s,
                    "minutes": (time.time() - start) / 60, **extra}, os.path.join(a.out, name))

    # short clips and clips with phone timing first
    stream = batches(data, rng, a.frames, lambda: 300 if p < 0.05 and not a.init else MAX_FRAMES,
                     lambda: (a.aligned_share if p < a.aligned_until else 0.1) if data.aligned else 0.0)
    while p < 1:
        items, width = next(stream), 0
        # some batches are padded to the whole window (same decision in every process)
        if np.random.default_rng([a.seed, 7, local]).random() < a.full_share[p > 0.75]:
            width = MAX_FRAMES
            keep = rng.choice(len(items), min(len(items), max(4, int(1.3 * a.frames) // MAX_FRAMES)), replace=False)
            items = [items[k] for k in keep]
        scale = min(1.0, (local + 1) / a.warmup) * min(1.0, max(0.0, (1 - p) / a.decay))
        lr = a.lr * scale
        for g in opt.param_groups:
            g["lr"] = lr
        mel, lengths, inp, tgt, chars = collate(items, tok, rng, a.strength * min(1.0, 0.1 + p / 0.25), width,
                                                  a.corrupt)
        with torch.autocast("cpu", torch.bfloat16, enabled=a.bf16):
            memory = model.encoder(mel)
            logits = model.decoder(inp, memory).float()
        memory = memory.float()
        ce = F.cross_entropy(logits.reshape(-1, logits.shape[-1]), tgt.reshape(-1), ignore_index=-100,
                             label_smoothing=0.05)
        keep = [k for k, c in enumerate(chars) if 0 < len(c) < lengths[k] - 2]
        ctc = ce * 0
        if keep:
            logp = model.ctc(memory[keep]).log_softmax(-1).transpose(0, 1)
            ctc = F.ctc_loss(logp, torch.cat([chars[k] for k in keep]), lengths[keep],
                             torch.tensor([len(chars[k]) for k in keep]), zero_infinity=True)
        loss = ce + (0.6 if p < 0.5 else 0.3) * ctc
        phones = phone_targets(items, memory.shape[1], data.phones)
        if (phones >= 0).any():
            ph = F.cross_entropy(model.phone(memory.detach() if local < a.phone_warmup else memory).flatten(0, 1), phones.flatten(), ignore_index=-100)
            loss = loss + (1.0 if p < 0.3 else 0.3) * ph
            ph_ema = ph.item() if ph_ema is None else 0.9 * ph_ema + 0.1 * ph.item()
        opt.zero_grad(set_to_none=True)
        loss.backward()
        now = torch.tensor([a.progress + (1 - a.progress) * (time.time() - start) / 60 / a.minutes, ce.item(), ctc.item(), float(len(items)),
                            sum(it[1]["n"] for it in items) / 100.0])
        if a.procs > 1:                                              # average gradients (and the clock) over processes
            grads = [q.grad if q.grad is not None else torch.zeros_like(q) for q in params]
            flat = torch.cat([g.reshape(-1) for g in grads] + [now])
            dist.all_reduce(flat)
            flat /= a.procs
            at = 0
            for q in params:
                q.grad = flat[at:at + q.numel()].view_as(q)
                at += q.numel()
            now = flat[at:]
        p, ce_, ctc_, n, sec = now.tolist()
        if math.isfinite(float(torch.nn.utils.clip_grad_norm_(params, 1.0))):
            opt.step()
            if muon:
                muon.step(a.muon_lr * scale)
        steps, local, clips, seen_s = steps + 1, local + 1, clips + n * a.procs, seen_s + sec * a.procs
        ema = (ce_, ctc_) if ema is None else (0.96 * ema[0] + 0.04 * ce_, 0.96 * ema[1] + 0.04 * ctc_)
        if rank == 0 and time.time() - last_log > 20:
            last_log = time.time()
            print(f"{(time.time() - start) / 60:5.1f} min step {steps} lr {lr:.1e} ce {ema[0]:.3f} ctc {ema[1]:.3f} phone {ph_ema or 0:.3f} "
                  f"{clips / (time.time() - start):.1f} clips/s, {seen_s / 3600:.1f} h seen", flush=True)
        if rank == 0 and time.time() - last_eval > a.eval_every * 60:
            wer, shown = validate(model, dev, tok, p > 0.7)
            last_eval = time.time()
            save("last.pt", wer=wer)
            print(f"      dev WER {100 * wer:.1f} %", flush=True)
            for r, h in shown:
                print(f"        {r}\n        > {h}", flush=True)
    if rank == 0:
        wer, _ = validate(model, dev, tok, True)
        save("final.pt", wer=wer)
        print(f"finished: {steps} steps, {(time.time() - start) / 60:.1f} min, {seen_s / 3600:.1f} h of audio seen, "
              f"dev WER {100 * wer:.1f} % (full window)", flush=True)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--data", default="data")
    ap.add_argument("--tokenizer", default="tokenizer.json")
    ap.add_argument("--out", default="run")
    ap.add_argument("--minutes", type=float, default=40)
    ap.add_argument("--lr", type=float, default=1.2e-3)
    ap.add_argument("--muon-lr", type=float, default=2e-3, help="learning rate of the weight matrices; 0: AdamW only")
    ap.add_argument("--warmup", type=int, default=200)
    ap.add_argument("--frames", type=int, default=2000, help="mel frames per batch and process")
    ap.add_argument("--procs", type=int, default=2, help="data-parallel processes")
    ap.add_argument("--threads", type=int, default=1, help="threads per process")
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--eval-every", type=float, default=4, help="minutes")
    ap.add_argument("--aligned-share", type=float, default=0.7)
    ap.add_argument("--aligned-until", type=float, default=0.12,
                    help="share of the run in which most clips come from the shards with phone timing")
    ap.add_argument("--decay", type=float, default=0.7, help="share of the run in which the learning rate falls to zero")
    ap.add_argument("--keep-general", type=float, default=1.0,
                    help="share of general English and random-word sentences to keep")
    ap.add_argument("--corrupt", type=float, default=0.08, help="share of decoder input tokens replaced by random ones")
    ap.add_argument("--strength", type=float, default=0.4, help="share of clips with masks and frequency warp")
    ap.add_argument("--bf16", action="store_true", help="matrix products in bf16 (weights stay f32)")
    ap.add_argument("--phone-warmup", type=int, default=0,
                    help="first steps in which the phone loss trains its own layer only (its names are numbered anew)")
    ap.add_argument("--until", default="", help="wall-clock end HH:MM (UTC), replaces --minutes")
    ap.add_argument("--progress", type=float, default=0.0, help="start at this point of the schedule (to go on with a run)")
    ap.add_argument("--init", default="", help="checkpoint to start from")
    ap.add_argument("--full-share", type=float, nargs=2, default=(0.04, 0.5),
                    help="share of batches padded to the whole window: first three quarters, last quarter")
    a = ap.parse_args()
    if a.until:
        now, (h, m) = time.gmtime(), map(int, a.until.split(":"))
        a.minutes = h * 60 + m - now.tm_hour * 60 - now.tm_min - now.tm_sec / 60
    os.makedirs(a.out, exist_ok=True)
    sync = os.path.join(a.out, "sync")
    if os.path.exists(sync):
        os.remove(sync)
    if a.procs > 1:
        mp.spawn(train, (a,), nprocs=a.procs)
    else:
        train(0, a)


if __name__ == "__main__":
    main()
