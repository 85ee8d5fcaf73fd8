"""llama.cpp as a peer: its library, driven as its server drives it, without the cost of HTTP.

Reads one job a line from standard input, {"prompts": [[token, ...], ...], "tokens": n}: all prompts come at once and each is
continued greedily by n tokens, all rows in one batch a step. Answers {"first_ms": [...], "seconds": s, "replies": [...]}.
Arguments: the model file, and the number of threads.
"""

import ctypes
import json
import sys
import time

import llama_cpp.llama_cpp as ll
import numpy as np

CONTEXT, BATCH, ROWS = 16384, 512, 16


def load(file, threads):
    ll.llama_backend_init()
    silent = ll.llama_log_callback(lambda level, text, data: None)
    ll.llama_log_set(silent, ctypes.c_void_p(0))
    model = ll.llama_model_load_from_file(file.encode(), ll.llama_model_default_params())
    params = ll.llama_context_default_params()
    params.n_ctx, params.n_batch, params.n_ubatch, params.n_seq_max = CONTEXT, BATCH, BATCH, ROWS
    params.n_threads = params.n_threads_batch = threads
    params.kv_unified = True
    context = ll.llama_init_from_model(model, params)
    return model, context, silent


def step(context, batch, entries):
    """Runs (token, position, row, wanted) entries; gives the likeliest next token of each wanted one."""
    batch.n_tokens = len(entries)
    for at, (token, position, row, wanted) in enumerate(entries):
        batch.token[at], batch.pos[at] = token, position
        batch.n_seq_id[at], batch.seq_id[at][0] = 1, row
        batch.logits[at] = wanted
    if ll.llama_decode(context, batch) != 0:
        raise RuntimeError("llama_decode failed")
    drawn = {}
    for at, (_, _, row, wanted) in enumerate(entries):
        if wanted:
            logits = np.ctypeslib.as_array(ll.llama_get_logits_ith(context, at), shape=(VOCABULARY,))
            drawn[row] = int(logits.argmax())
    return drawn


def run(context, batch, prompts, tokens):
    ll.llama_memory_clear(ll.llama_get_memory(context), True)
    begun = time.perf_counter()
    waiting = [
        (token, at, row, at == len(prompt) - 1)
        for row, prompt in enumerate(prompts)
        for at, token in enumerate(prompt)
    ]
    replies, first = [[] for _ in prompts], [0.0] * len(prompts)
    for start in range(0, len(waiting), BATCH):
        for row, token in step(context, batch, waiting[start:start + BATCH]).items():
            replies[row].append(token)
            first[row] = (time.perf_counter() - begun) * 1000
    for said in range(tokens - 1):
        entries = [
            (reply[-1], len(prompt) + said, row, True)
            for row, (prompt, reply) in enumerate(zip(prompts, replies))
        ]
        for row, token in step(context, batch, entries).items():
            replies[row].append(token)
    return {"first_ms": first, "seconds": time.perf_counter() - begun, "replies": replies}


MODEL, CTX, _SILENT = load(sys.argv[1], int(sys.argv[2]))
VOCABULARY = ll.llama_n_vocab(ll.llama_model_get_vocab(MODEL))
ROOM = ll.llama_batch_init(BATCH, 0, 1)
print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    job = json.loads(line)
    print(json.dumps(run(CTX, ROOM, job["prompts"], job["tokens"])), flush=True)
