"""Mix the weights of two checkpoints of one run (B continued from A): out = (1 - share) * A + share * B.

Used where a run had to stop before its learning rate reached zero: the mix removes most of the noise of the last steps.
The CTC and phone heads are taken from B.
"""
import argparse

import torch

if __name__ == "__main__":
    ap = argparse.ArgumentParser()
    ap.add_argument("--a", required=True)
    ap.add_argument("--b", required=True)
    ap.add_argument("--share", type=float, default=0.75, help="share of B")
    ap.add_argument("--out", required=True)
    o = ap.parse_args()
    a, b = torch.load(o.a), torch.load(o.b)
    b["model"] = {k: v if k.startswith(("ctc.", "phone.")) else (1 - o.share) * a["model"][k] + o.share * v
                  for k, v in b["model"].items()}
    torch.save(b, o.out)
    print(f"{b['steps']} steps, {b['seen_s'] / 3600:.1f} h heard")
