"""Whisper's peers: makes one checkpoint of random weights in the forms that each reads, and serves it.

    whisper.py prepare FOLDER                    model.safetensors and JSON files, ct2/, ggml.bin
    whisper.py faster-whisper FOLDER THREADS     reads a job a line, writes an outcome a line
    whisper.py whisper.cpp FOLDER THREADS

A job is {"seconds": length of each utterance, "rows": how many, "tokens": how many each}; the audio is noise. The
outcome is {"seconds": wall-clock, "tokens": how many were said in all}.
"""

import json
import struct
import sys
import time
from pathlib import Path

import numpy as np

MELS, WIDTH, INNER, HEADS, LAYERS, HEARD, SAID, VOCABULARY = 80, 384, 1536, 6, 4, 1500, 448, 51865
END, START, ENGLISH, TRANSCRIBE, NO_MARKS = 50257, 50258, 50259, 50359, 50363


def weights():
    """Every tensor of whisper-tiny by its name."""
    random = np.random.default_rng(1)

    def normal(*shape):
        return random.normal(0, 0.05, shape).astype(np.float32)

    tensors = {}

    def norm(name):
        tensors[f"{name}.weight"] = 1 + normal(WIDTH)
        tensors[f"{name}.bias"] = normal(WIDTH)

    def linear(name, outputs, inputs, bias=True):
        tensors[f"{name}.weight"] = normal(outputs, inputs)
        if bias:
            tensors[f"{name}.bias"] = normal(outputs)

    def attention(name):
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            linear(f"{name}.{part}", WIDTH, WIDTH, part != "k_proj")
        norm(f"{name}_layer_norm")

    for name, inputs in (("conv1", MELS), ("conv2", WIDTH)):
        tensors[f"model.encoder.{name}.weight"] = normal(WIDTH, inputs, 3)
        tensors[f"model.encoder.{name}.bias"] = normal(WIDTH)
    tensors["model.encoder.embed_positions.weight"] = normal(HEARD, WIDTH)
    tensors["model.decoder.embed_positions.weight"] = normal(SAID, WIDTH)
    tensors["model.decoder.embed_tokens.weight"] = normal(VOCABULARY, WIDTH)
    for side in ("encoder", "decoder"):
        norm(f"model.{side}.layer_norm")
        for n in range(LAYERS):
            layer = f"model.{side}.layers.{n}"
            attention(f"{layer}.self_attn")
            if side == "decoder":
                attention(f"{layer}.encoder_attn")
            linear(f"{layer}.fc1", INNER, WIDTH)
            linear(f"{layer}.fc2", WIDTH, INNER)
            norm(f"{layer}.final_layer_norm")
    return tensors


def vocabulary():
    words = [f"w{n}" for n in range(END)]
    specials = ["<|endoftext|>", "<|startoftranscript|>"] + [f"<|l{n}|>" for n in range(99)]
    specials += ["<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"]
    marks = [f"<|{n * 0.02:.2f}|>" for n in range(VOCABULARY - len(words) - len(specials))]
    return words + specials + marks


def prepare(folder):
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    tensors = weights()
    write_ct2(folder / "ct2", tensors)
    write_ggml(folder / "ggml.bin", tensors)
    config = {
        "model_type": "whisper",
        "vocab_size": VOCABULARY,
        "num_mel_bins": MELS,
        "d_model": WIDTH,
        "max_source_positions": HEARD,
        "max_target_positions": SAID,
        "decoder_start_token_id": START,
        "eos_token_id": END,
    }
    for side in ("encoder", "decoder"):
        config |= {f"{side}_layers": LAYERS, f"{side}_attention_heads": HEADS, f"{side}_ffn_dim": INNER}
    generation = {
        "is_multilingual": True,
        "lang_to_id": {"<|en|>": ENGLISH},
        "task_to_id": {"transcribe": TRANSCRIBE},
        "no_timestamps_token_id": NO_MARKS,
    }
    tokenizer = {
        "version": "1.0",
        "added_tokens": [],
        "model": {"type": "WordLevel", "vocab": {"w0": 0}, "unk_token": "w0"},
    }
    for name, content in (("config", config), ("generation_config", generation), ("tokenizer", tokenizer)):
        (folder / f"{name}.json").write_text(json.dumps(content))
    save_file(tensors, folder / "model.safetensors")


def write_ct2(folder, tensors):
    from ctranslate2.specs import WhisperSpec

    def put(spec, name):
        spec.weight = tensors[f"{name}.weight"]
        if f"{name}.bias" in tensors:
            spec.bias = tensors[f"{name}.bias"]

    def norm(spec, name):
        spec.gamma, spec.beta = tensors[f"{name}.weight"], tensors[f"{name}.bias"]

    def joined(spec, name, parts):
        biases = [tensors.get(f"{name}.{part}.bias", np.zeros(WIDTH, np.float32)) for part in parts]
        spec.weight = np.concatenate([tensors[f"{name}.{part}.weight"] for part in parts])
        spec.bias = np.concatenate(biases)

    def attention(spec, name, is_self):
        if is_self:
            joined(spec.linear[0], name, ["q_proj", "k_proj", "v_proj"])
        else:
            joined(spec.linear[0], name, ["q_proj"])
            joined(spec.linear[1], name, ["k_proj", "v_proj"])
        put(spec.linear[-1], f"{name}.out_proj")
        norm(spec.layer_norm, f"{name}_layer_norm")

    spec = WhisperSpec(LAYERS, HEADS, LAYERS, HEADS)
    for side, part in (("encoder", spec.encoder), ("decoder", spec.decoder)):
        part.position_encodings.encodings = tensors[f"model.{side}.embed_positions.weight"]
        norm(part.layer_norm, f"model.{side}.layer_norm")
        for n, layer in enumerate(part.layer):
            name = f"model.{side}.layers.{n}"
            attention(layer.self_attention, f"{name}.self_attn", True)
            if side == "decoder":
                attention(layer.attention, f"{name}.encoder_attn", False)
            put(layer.ffn.linear_0, f"{name}.fc1")
            put(layer.ffn.linear_1, f"{name}.fc2")
            norm(layer.ffn.layer_norm, f"{name}.final_layer_norm")
    put(spec.encoder.conv1, "model.encoder.conv1")
    put(spec.encoder.conv2, "model.encoder.conv2")
    spec.decoder.embeddings.weight = tensors["model.decoder.embed_tokens.weight"]
    spec.decoder.projection.weight = tensors["model.decoder.embed_tokens.weight"]
    spec.register_vocabulary(vocabulary())
    spec.config.suppress_ids = []
    spec.config.suppress_ids_begin = []
    spec.config.lang_ids = [ENGLISH]
    spec.config.alignment_heads = [(LAYERS - 1, 0)]
    spec.validate()
    spec.optimize(quantization="float32")
    folder.mkdir(exist_ok=True)
    spec.save(str(folder))


def write_ggml(file, tensors):
    """The form that whisper.cpp's own converter writes, its matrices in 16 bits: it computes
    from no other."""
    names = {
        "self_attn.k_proj": "attn.key",
        "self_attn.q_proj": "attn.query",
        "self_attn.v_proj": "attn.value",
        "self_attn.out_proj": "attn.out",
        "self_attn_layer_norm": "attn_ln",
        "encoder_attn.q_proj": "cross_attn.query",
        "encoder_attn.k_proj": "cross_attn.key",
        "encoder_attn.v_proj": "cross_attn.value",
        "encoder_attn.out_proj": "cross_attn.out",
        "encoder_attn_layer_norm": "cross_attn_ln",
        "fc1": "mlp.0",
        "fc2": "mlp.2",
        "final_layer_norm": "mlp_ln",
    }
    fixed = {
        "encoder.layer_norm": "encoder.ln_post",
        "decoder.layer_norm": "decoder.ln",
        "decoder.embed_tokens": "decoder.token_embedding",
    }

    def rename(name):
        name, kind = name.removeprefix("model.").rsplit(".", 1)
        if name.endswith("embed_positions"):
            return name.replace("embed_positions", "positional_embedding")
        parts = name.split(".")
        if parts[1] == "layers":
            return f"{parts[0]}.blocks.{parts[2]}.{names['.'.join(parts[3:])]}.{kind}"
        return f"{fixed.get(name, name)}.{kind}"

    with open(file, "wb") as out:
        put = lambda *values: out.write(struct.pack(f"{len(values)}i", *values))
        put(0x67676D6C, VOCABULARY, HEARD, WIDTH, HEADS, LAYERS, SAID, WIDTH, HEADS, LAYERS, MELS, 1)
        filters = mel_filters()
        put(*filters.shape)
        out.write(filters.astype(np.float32).tobytes())
        words = vocabulary()[:END]
        put(len(words))
        for word in words:
            put(len(word))
            out.write(word.encode())
        for name, tensor in tensors.items():
            if name.endswith(("conv1.bias", "conv2.bias")):
                tensor = tensor.reshape(-1, 1)
            half = tensor.ndim > 1 and "positions" not in name and not name.endswith("bias")
            new = rename(name).encode()
            put(tensor.ndim, len(new), int(half))
            put(*reversed(tensor.shape))
            out.write(new)
            out.write(tensor.astype(np.float16 if half else np.float32).tobytes())


def mel_filters():
    from faster_whisper.feature_extractor import FeatureExtractor

    return FeatureExtractor(feature_size=MELS).mel_filters


def noise(job):
    random = np.random.default_rng(job["rows"])
    return [random.normal(0, 0.1, int(16000 * job["seconds"])).astype(np.float32) for _ in range(job["rows"])]


def faster_whisper(folder, threads):
    import ctranslate2
    from faster_whisper.feature_extractor import FeatureExtractor

    model = ctranslate2.models.Whisper(str(folder / "ct2"), compute_type="float32", intra_threads=threads)
    front_end = FeatureExtractor(feature_size=MELS)

    def run(job, audio):
        features = [front_end(pcm, padding=0)[:, :3000] for pcm in audio]
        features = np.stack([np.pad(f, ((0, 0), (0, 3000 - f.shape[1]))) for f in features])
        features = ctranslate2.StorageView.from_array(np.ascontiguousarray(features))
        prompt = [START, ENGLISH, TRANSCRIBE, NO_MARKS]
        results = model.generate(
            features,
            [prompt] * len(audio),
            beam_size=1,
            # Half of it is for the text.
            max_length=2 * job["tokens"],
            suppress_tokens=[END],
            suppress_blank=False,
        )
        return sum(len(result.sequences_ids[0]) for result in results)

    return run


def whisper_cpp(folder, threads):
    from pywhispercpp.model import Model

    model = Model(str(folder / "ggml.bin"), print_progress=False, print_realtime=False)

    def run(job, audio):
        said = 0
        for pcm in audio:
            segments = model.transcribe(
                pcm,
                n_threads=threads,
                language="en",
                no_timestamps=True,
                single_segment=True,
                no_context=True,
                temperature_inc=0.0,
                max_tokens=job["tokens"],
                greedy={"best_of": 1},
                suppress_blank=False,
            )
            said += sum(segment.text.count("w") for segment in segments)
        return said

    return run


def serve(run):
    print("ready", flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        audio = noise(job)
        begun = time.perf_counter()
        said = run(job, audio)
        print(json.dumps({"seconds": time.perf_counter() - begun, "tokens": said}), flush=True)


if __name__ == "__main__":
    kind, folder = sys.argv[1], Path(sys.argv[2])
    if kind == "prepare":
        prepare(folder)
    elif kind == "faster-whisper":
        serve(faster_whisper(folder, int(sys.argv[3])))
    else:
        serve(whisper_cpp(folder, int(sys.argv[3])))
