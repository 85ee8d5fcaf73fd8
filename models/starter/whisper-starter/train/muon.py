"""Muon (orthogonalised momentum) for weight matrices; the work is shared between data-parallel processes."""
import torch
import torch.distributed as dist


def orthogonalise(g, steps=5, dtype=torch.float32):
    """Newton-Schulz iteration on a batch of matrices [N, rows <= cols]."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g / (g.norm(dim=(1, 2), keepdim=True) + 1e-7)
    x = x.to(dtype)
    for _ in range(steps):
        s = x @ x.transpose(1, 2)
        x = a * x + (b * s + c * (s @ s)) @ x
    return x.float()


class Muon:
    def __init__(self, params, lr, momentum=0.95, weight_decay=0.01, rank=0, procs=1, dtype=torch.float32):
        self.params, self.lr, self.momentum, self.decay = params, lr, momentum, weight_decay
        self.rank, self.procs, self.dtype = rank, procs, dtype
        self.m = [torch.zeros_like(p) for p in params]
        self.groups = {}                                             # (rows, cols) -> parameter numbers
        for i, p in enumerate(params):
            r, c = p.shape[0], p[0].numel()
            self.groups.setdefault((min(r, c), max(r, c)), []).append(i)

    @torch.no_grad()
    def step(self, lr):
        updates = [torch.zeros_like(p) for p in self.params]
        for (rows, cols), idx in self.groups.items():
            for i in idx:
                self.m[i].lerp_(self.params[i].grad, 1 - self.momentum)
            mine = idx[self.rank::self.procs]
            if not mine:
                continue
            mats = []
            for i in mine:
                g = self.params[i].grad.lerp(self.m[i], self.momentum).flatten(1)
                mats.append(g if g.shape[0] <= g.shape[1] else g.T)
            for i, o in zip(mine, orthogonalise(torch.stack(mats), dtype=self.dtype)):
                p = self.params[i]
                o = o if p.shape[0] <= p[0].numel() else o.T
                updates[i] = (o * (0.2 * cols ** 0.5)).reshape(p.shape)
        if self.procs > 1:
            flat = torch.cat([u.reshape(-1) for u in updates])
            dist.all_reduce(flat)
            updates, at = [], 0
            for p in self.params:
                updates.append(flat[at:at + p.numel()].view_as(p))
                at += p.numel()
        for p, u in zip(self.params, updates):
            p.mul_(1 - lr * self.decay).add_(u, alpha=-lr)
