"""Whisper in plain PyTorch; parameter names match transformers' WhisperForConditionalGeneration.

The only liberty: the encoder accepts any input length (sinusoidal positions are truncated), so that training does
not have to pay for a full 10 s window on every clip.
"""
import math
from dataclasses import asdict, dataclass

import torch
import torch.nn as nn
import torch.nn.functional as F


@dataclass
class Config:
    vocab_size: int = 1024
    d_model: int = 192
    heads: int = 3
    encoder_layers: int = 4
    decoder_layers: int = 2
    ffn: int = 768
    mels: int = 80
    source_positions: int = 500
    target_positions: int = 96

    def dict(self):
        return asdict(self)


class Attention(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.h = heads
        self.k_proj = nn.Linear(d, d, bias=False)
        self.v_proj = nn.Linear(d, d)
        self.q_proj = nn.Linear(d, d)
        self.out_proj = nn.Linear(d, d)

    def forward(self, x, memory=None, causal=False):
        memory = x if memory is None else memory
        b, t, d = x.shape

        def split(y):
            return y.view(b, -1, self.h, d // self.h).transpose(1, 2)

        q, k, v = split(self.q_proj(x)), split(self.k_proj(memory)), split(self.v_proj(memory))
        if q.dtype == torch.bfloat16 and not causal:                # the fused backward is slow in bf16 on CPU
            y = ((q * (d // self.h) ** -0.5) @ k.transpose(-1, -2)).float().softmax(-1).to(v.dtype) @ v
        else:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        return self.out_proj(y.transpose(1, 2).reshape(b, t, d))


class Layer(nn.Module):
    def __init__(self, c, cross):
        super().__init__()
        self.self_attn = Attention(c.d_model, c.heads)
        self.self_attn_layer_norm = nn.LayerNorm(c.d_model)
        if cross:
            self.encoder_attn = Attention(c.d_model, c.heads)
            self.encoder_attn_layer_norm = nn.LayerNorm(c.d_model)
        self.fc1 = nn.Linear(c.d_model, c.ffn)
        self.fc2 = nn.Linear(c.ffn, c.d_model)
        self.final_layer_norm = nn.LayerNorm(c.d_model)
        self.cross = cross

    def forward(self, x, memory=None):
        x = x + self.self_attn(self.self_attn_layer_norm(x), causal=self.cross)
        if self.cross:
            x = x + self.encoder_attn(self.encoder_attn_layer_norm(x), memory)
        return x + self.fc2(F.gelu(self.fc1(self.final_layer_norm(x))))


def sinusoids(length, channels):
    inv = torch.exp(-math.log(10000) / (channels // 2 - 1) * torch.arange(channels // 2))
    t = torch.arange(length)[:, None] * inv[None, :]
    return torch.cat([t.sin(), t.cos()], dim=1)


class Encoder(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv1 = nn.Conv1d(c.mels, c.d_model, 3, padding=1)
        self.conv2 = nn.Conv1d(c.d_model, c.d_model, 3, stride=2, padding=1)
        self.embed_positions = nn.Embedding(c.source_positions, c.d_model)
        self.embed_positions.weight.requires_grad_(False)
        self.layers = nn.ModuleList(Layer(c, False) for _ in range(c.encoder_layers))
        self.layer_norm = nn.LayerNorm(c.d_model)

    def forward(self, mel):                                        # [B, 80, T]
        x = F.gelu(self.conv2(F.gelu(self.conv1(mel)))).transpose(1, 2)
        x = x + self.embed_positions.weight[: x.shape[1]]
        for layer in self.layers:
            x = layer(x)
        return self.layer_norm(x)


class Decoder(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.embed_tokens = nn.Embedding(c.vocab_size, c.d_model)
        self.embed_positions = nn.Embedding(c.target_positions, c.d_model)
        self.layers = nn.ModuleList(Layer(c, True) for _ in range(c.decoder_layers))
        self.layer_norm = nn.LayerNorm(c.d_model)

    def forward(self, tokens, memory):
        x = self.embed_tokens(tokens) + self.embed_positions.weight[: tokens.shape[1]]
        for layer in self.layers:
            x = layer(x, memory)
        return self.layer_norm(x) @ self.embed_tokens.weight.T     # tied output projection


class Whisper(nn.Module):
    def __init__(self, c, ctc_classes=0, phone_classes=0):
        super().__init__()
        self.config = c
        self.encoder = Encoder(c)
        self.decoder = Decoder(c)
        self.ctc = nn.Linear(c.d_model, ctc_classes) if ctc_classes else None   # both heads: training only,
        self.phone = nn.Linear(c.d_model, phone_classes) if phone_classes else None   # dropped on export
        for m in self.modules():
            if isinstance(m, nn.Linear):
                nn.init.normal_(m.weight, std=0.04)
                if m.bias is not None:
                    nn.init.zeros_(m.bias)
            elif isinstance(m, nn.Embedding):
                nn.init.normal_(m.weight, std=0.05)
            elif isinstance(m, nn.Conv1d):
                nn.init.kaiming_normal_(m.weight, nonlinearity="relu")
                nn.init.zeros_(m.bias)
        with torch.no_grad():
            self.encoder.embed_positions.weight.copy_(sinusoids(c.source_positions, c.d_model))

    def hf_state(self):
        return {f"model.{k}": v for k, v in self.state_dict().items() if not k.startswith(("ctc.", "phone."))}

    @torch.no_grad()
    def greedy(self, mel, prompt, eot, limit=60):
        memory = self.encoder(mel)
        t = torch.tensor([prompt] * len(mel))
        done = torch.zeros(len(mel), dtype=torch.bool)
        for _ in range(limit):
            nxt = self.decoder(t, memory)[:, -1].argmax(-1)
            nxt[done] = eot
            t = torch.cat([t, nxt[:, None]], 1)
            done |= nxt == eot
            if done.all():
                break
        return [[x for x in row[len(prompt):] if x != eot] for row in t.tolist()]
