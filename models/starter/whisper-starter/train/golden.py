"""Pick the held-out clips and write golden.json (parity data computed with transformers in f32).

  python golden.py --model .. --eval data/eval
  python golden.py --model .. --keep-clips        (the last stage: the clips stay, the weights are new)
"""
import argparse
import json
import os

import numpy as np
import soundfile as sf
import torch

from augment import resample, telephone
from evaluate import Recogniser, decode, read
from synth import Synth

FIXED = ["yes please", "no thank you", "i want to speak to a human", "can you repeat that", "hold on a second please",
         "please leave a message after the tone", "my account number is four seven two nine one",
         "i would like to cancel my appointment"]


def write_clips(eval_dir, out):
    os.makedirs(os.path.join(out, "clips"), exist_ok=True)
    with open(os.path.join(eval_dir, "eval.tsv")) as f:
        rows = [line.rstrip("\n").split("\t") for line in f]
    chosen = []
    for voice in sorted({(r[1], r[2]) for r in rows}):
        of = [r for r in rows if (r[1], r[2]) == voice]
        chosen += of[:: max(1, len(of) // 8)][:8] if voice[0] == "unseen" else of[:2]
    table = []
    for cid, group, _, label, text in chosen:
        name = cid + ".wav"
        x, sr = sf.read(os.path.join(eval_dir, cid + ".mulaw8k.wav"), dtype="float32")
        sf.write(os.path.join(out, "clips", name), x, sr, subtype="PCM_16")
        table.append((name, label, group + " voice", "unseen sentence", text))
    synth, rng = Synth(), np.random.default_rng(3)
    voices = ["flite:rms", "festival:ked", "espeak-heldout"]
    jobs = [(t, voices[i % 3]) for i, t in enumerate(FIXED)]
    for i, ((t, _), (x, sr, label)) in enumerate(zip(jobs, synth.render(jobs, rng))):
        x = resample(x, sr, 16000)
        x = telephone(np.pad(x / np.abs(x).max() * 0.5, (4800, 4800)))
        name = f"phrase_{i:02d}.wav"
        sf.write(os.path.join(out, "clips", name), resample(x, 16000, 8000), 8000, subtype="PCM_16")
        table.append((name, label, "unseen voice", "phrase", t))
    return table


def stats(t):
    a = t.double()
    return {"shape": list(t.shape), "mean": a.mean().item(), "std": a.std().item(), "sum": a.sum().item(),
            "l2": a.norm().item(), "min": a.min().item(), "max": a.max().item()}


@torch.no_grad()
def golden(rec, out, table):
    os.makedirs(os.path.join(out, "clips", "golden16k"), exist_ok=True)
    pick = [r for r in table if r[0].startswith("unseen_")][:: 9][:3] + [r for r in table if r[0].startswith("phrase")][:2]
    items = []
    for name, label, _, _, text in pick:
        x = read(os.path.join(out, "clips", name))
        path = os.path.join("clips", "golden16k", name)
        sf.write(os.path.join(out, path), x, 16000, subtype="PCM_16")      # fixed 16 kHz input: no resampler involved
        x, _ = sf.read(os.path.join(out, path), dtype="float32")
        mel = rec.features([x])
        enc = rec.model.model.encoder(mel).last_hidden_state
        first = rec.model(encoder_outputs=(enc,), decoder_input_ids=torch.tensor([rec.prompt])).logits[0]
        top = first[-1].topk(10)
        sot = first[0].softmax(-1)
        ids = rec.ids([x])[0]
        hf = rec.model.generate(mel, language="en", task="transcribe", do_sample=False, num_beams=1)[0].tolist()
        hf = [t for t in hf if t < rec.eot]
        items.append({
            "file": path, "voice": label, "reference": text, "prompt_ids": rec.prompt, "token_ids": ids,
            "text": rec.tok.decode(ids).strip(), "same_as_transformers_generate": hf == ids,
            "mel": stats(mel[0]), "encoder": stats(enc[0]),
            "encoder_frame0_first8": [round(v, 6) for v in enc[0, 0, :8].tolist()],
            "encoder_frame100_first8": [round(v, 6) for v in enc[0, 100, :8].tolist()],
            "first_step_top10": [{"id": i, "token": rec.tok.id_to_token(i), "logit": round(v, 5)}
                                 for v, i in zip(top.values.tolist(), top.indices.tolist())],
            "probability_after_startoftranscript": {
                t: round(sot[rec.tok.token_to_id(t)].item(), 6) for t in ("<|en|>", "<|nospeech|>")}})
    with open(os.path.join(out, "golden.json"), "w") as f:
        json.dump({"note": "f16 weights read as f32, full 10 s window (zero-padded audio), greedy, no suppressed tokens. "
                           "token_ids exclude the prompt and <|endoftext|>. Text: decode, then strip the leading space. "
                           "Encoder values should agree to about 1e-3 in f32.",
                   "clips": items}, f, indent=1)
        f.write("\n")
    for i in items:
        print(i["file"], "|", i["reference"], "|", i["text"], "|", i["same_as_transformers_generate"])


if __name__ == "__main__":
    ap = argparse.ArgumentParser()
    ap.add_argument("--model", default="..")
    ap.add_argument("--eval", default="data/eval")
    ap.add_argument("--keep-clips", action="store_true", help="leave the clips as they are, decode them again")
    a = ap.parse_args()
    torch.set_num_threads(1)
    rec = Recogniser(a.model)
    if a.keep_clips:                                              # same clips, new weights
        with open(os.path.join(a.model, "clips", "transcripts.tsv")) as f:
            rows = [tuple(line.rstrip("\n").split("\t")[:5]) for line in f][1:]
    else:
        rows = write_clips(a.eval, a.model)
    golden(rec, a.model, rows)
    heard = decode(rec, [read(os.path.join(a.model, "clips", r[0])) for r in rows])
    with open(os.path.join(a.model, "clips", "transcripts.tsv"), "w") as f:
        f.write("file\tvoice\tvoice_status\tsentence_status\ttext\tmodel_output\n")
        for r, h in zip(rows, heard):
            f.write("\t".join((*r, h)) + "\n")
