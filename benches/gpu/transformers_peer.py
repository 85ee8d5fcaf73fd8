"""What Hugging Face transformers does with the same shapes, on the same card.

usage: transformers_peer.py OUT.json [MODEL,...]

Random bf16 weights, eager mode with PyTorch's own attention, a cache that holds 512 tokens a row:
one decoding step, its logits brought to the host, as in `trunkline-engine-cuda bench`.
"""

import json
import sys
import time

import torch
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

SHAPES = {
    "qwen2.5-0.5b": (
        Qwen2Config,
        Qwen2ForCausalLM,
        dict(hidden_size=896, num_hidden_layers=24, num_attention_heads=14, num_key_value_heads=2,
             intermediate_size=4864, vocab_size=151936, tie_word_embeddings=True),
    ),
    "llama-3.2-1b": (
        LlamaConfig,
        LlamaForCausalLM,
        dict(hidden_size=2048, num_hidden_layers=16, num_attention_heads=32, num_key_value_heads=8,
             intermediate_size=8192, vocab_size=128256, tie_word_embeddings=True),
    ),
    "llama-3.1-8b": (
        LlamaConfig,
        LlamaForCausalLM,
        dict(hidden_size=4096, num_hidden_layers=32, num_attention_heads=32, num_key_value_heads=8,
             intermediate_size=14336, vocab_size=128256, tie_word_embeddings=False),
    ),
}
BEHIND = 512
DECODED = 24
WARM = 4
ROWS = (1, 8, 64)


def decode(model, rows, vocabulary, device):
    """The median time of a step of so many rows, in seconds."""
    cache = DynamicCache()
    prompt = torch.randint(vocabulary, (rows, BEHIND), device=device)
    model(prompt, past_key_values=cache, use_cache=True, logits_to_keep=1)
    taken = []
    for _ in range(DECODED):
        token = torch.randint(vocabulary, (rows, 1), device=device)
        if device == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        logits = model(token, past_key_values=cache, use_cache=True).logits
        logits.float().cpu()
        taken.append(time.perf_counter() - start)
    return sorted(taken[WARM:])[(DECODED - WARM) // 2]


def main():
    out = sys.argv[1]
    wanted = sys.argv[2].split(",") if len(sys.argv) > 2 else list(SHAPES)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    figures = {}
    for name in wanted:
        if name not in SHAPES:
            continue
        config_class, model_class, shape = SHAPES[name]
        config = config_class(max_position_embeddings=8192, **shape)
        torch.set_default_dtype(torch.bfloat16)
        with torch.device(device):
            model = model_class(config).eval()
        torch.set_default_dtype(torch.float32)
        with torch.inference_mode():
            for rows in ROWS:
                step = decode(model, rows, config.vocab_size, device)
                figures.setdefault(name, {})[rows] = {
                    "step_p50_ms": step * 1e3,
                    "tokens_per_s": rows / step,
                }
                print(f"{name} transformers {rows} rows: {step * 1e3:.2f} ms a step, "
                      f"{rows / step:.0f} tokens/s", flush=True)
        del model
        if device == "cuda":
            torch.cuda.empty_cache()
    with open(out, "w") as file:
        json.dump(figures, file, indent=2)
        file.write("\n")


if __name__ == "__main__":
    main()
