"""Thin in-process bindings for the speech engines used to make the training audio.

Debian packages: libespeak-ng1, libflite1, festival + festvox-us-slt-hts + festvox-kallpc16k + festvox-kdlpc16k.
SVOX Pico is optional: set PICO_CMD to a program called as `PICO_CMD TA.bin SG.bin TEXT OUT.pcm` (16 kHz s16)
and PICO_DATA to the folder with its *_ta.bin / *_sg.bin files.
"""
import ctypes as C
import os
import subprocess
import tempfile

import numpy as np
import soundfile as sf

ESPEAK_LANGS = ["en-us", "en", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-gb-x-gbcwmd"]
ESPEAK_TRAIN = ["", "m1", "m2", "m3", "m4", "m6", "m7", "m8", "f1", "f2", "f3", "f5", "klatt", "klatt2", "klatt4",
                "linda", "steph", "john", "michael", "paul", "robert", "anika", "belinda", "edward", "david", "andrea"]
ESPEAK_HELDOUT = ["en-us+m5", "en-us+f4", "en+m5", "en-029+f4", "en-us-nyc+max", "en+travis", "en-029+m5",
                  "en-us+steph2", "en+grandpa"]

# voice -> share of the training data.  flite rms, festival ked, Caribbean / New York espeak are never trained on.
TRAIN_VOICES = {"espeak": 0.42, "flite:slt": 0.15, "flite:awb": 0.14, "flite:kal16": 0.09,
                "pico:gb": 0.07, "pico:us": 0.07, "festival:slt_hts": 0.04, "festival:kal": 0.02}
# shares of the front-desk stage (Pico was not available)
FRONT_VOICES = {"espeak": 0.22, "flite:awb": 0.22, "flite:kal16": 0.20, "flite:slt": 0.20, "festival:slt_hts": 0.10,
                "festival:kal": 0.06}
HELDOUT_VOICES = ["flite:rms", "festival:ked", "espeak-heldout"]


FLITE_TO_ESPEAK = {"hh": "h", "y": "j", "sh": "S", "ch": "tS", "jh": "dZ", "th": "T", "dh": "D", "ng": "N", "zh": "Z",
                   "ay": "aI", "ey": "eI", "ow": "oU", "aw": "aU", "oy": "OI", "eh": "E", "ae": "a", "ih": "I", "iy": "i:",
                   "uw": "u:", "uh": "U", "ah": "V", "ax": "@", "er": "3:", "aa": "A:", "ao": "O:", "pau": "_"}


class Espeak:
    class _Id(C.Union):
        _fields_ = [("number", C.c_int), ("name", C.c_char_p), ("string", C.c_char * 8)]

    class _Event(C.Structure):
        pass

    _Event._fields_ = [("type", C.c_int), ("uid", C.c_uint), ("pos", C.c_int), ("length", C.c_int), ("ms", C.c_int),
                       ("sample", C.c_int), ("user", C.c_void_p), ("id", _Id)]
    _CB = C.CFUNCTYPE(C.c_int, C.POINTER(C.c_short), C.c_int, C.POINTER(_Event))

    def __init__(self):
        self.lib = C.CDLL("libespeak-ng.so.1")
        self.sr = self.lib.espeak_Initialize(2, 0, None, 1)
        self.buf, self.phones = [], []                              # phones: (second, name), of the last utterance
        self.cb = self._CB(self._on_audio)
        self.lib.espeak_SetSynthCallback(self.cb)

    def _on_audio(self, p, n, events):
        if p and n > 0:
            self.buf.append(np.ctypeslib.as_array(p, (n,)).copy())
        i = 0
        while events and events[i].type != 0:
            if events[i].type == 7:
                self.phones.append((events[i].sample / self.sr, events[i].id.string.decode()))
            i += 1
        return 0

    def say(self, text, voice, rate=170, pitch=50, prange=50):
        self.buf.clear()
        self.phones.clear()
        if self.lib.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ValueError(f"no espeak-ng voice {voice}")
        for param, v in ((1, rate), (3, pitch), (4, prange)):
            self.lib.espeak_SetParameter(param, int(v), 0)
        t = text.encode()
        self.lib.espeak_Synth(t, len(t) + 1, 0, 1, 0, 1, None, None)
        self.lib.espeak_Synchronize()
        return np.concatenate(self.buf).astype(np.float32) / 32768, self.sr


class Flite:
    class _Wave(C.Structure):
        _fields_ = [("type", C.c_char_p), ("sr", C.c_int), ("n", C.c_int), ("ch", C.c_int), ("s", C.POINTER(C.c_short))]

    class _Voice(C.Structure):
        _fields_ = [("name", C.c_char_p), ("features", C.c_void_p)]

    def __init__(self):
        for dep in ("libflite.so.1", "libflite_cmulex.so.1", "libflite_usenglish.so.1"):
            C.CDLL(dep, mode=C.RTLD_GLOBAL)
        self.lib = C.CDLL("libflite.so.1")
        self.lib.flite_init()
        self.lib.flite_text_to_wave.restype = C.POINTER(self._Wave)
        self.lib.flite_text_to_wave.argtypes = [C.c_char_p, C.c_void_p]
        self.lib.delete_wave.argtypes = [C.c_void_p]
        for name, res, arg in (("flite_synth_text", C.c_void_p, [C.c_char_p, C.c_void_p]),
                               ("utt_wave", C.POINTER(self._Wave), [C.c_void_p]), ("delete_utterance", None, [C.c_void_p]),
                               ("utt_relation", C.c_void_p, [C.c_void_p, C.c_char_p]),
                               ("item_feat_string", C.c_char_p, [C.c_void_p, C.c_char_p]),
                               ("item_feat_float", C.c_float, [C.c_void_p, C.c_char_p]),
                               ("item_next", C.c_void_p, [C.c_void_p])):
            f = getattr(self.lib, name)
            f.restype, f.argtypes = res, arg
        self.lib.flite_feat_set_float.argtypes = [C.c_void_p, C.c_char_p, C.c_float]
        self.voices = {}

    def say(self, text, voice, stretch=1.0):
        v = self._voice(voice, stretch)
        w = self.lib.flite_text_to_wave(text.encode(), v)
        x = np.ctypeslib.as_array(w.contents.s, (w.contents.n,)).astype(np.float32) / 32768
        sr = w.contents.sr
        self.lib.delete_wave(w)
        return x, sr

    def say_aligned(self, text, voice, stretch=1.0):
        """-> samples, rate, [(start second, phone name in espeak's spelling)]."""
        u = self.lib.flite_synth_text(text.encode(), self._voice(voice, stretch))
        w = self.lib.utt_wave(u)
        x, sr = np.ctypeslib.as_array(w.contents.s, (w.contents.n,)).astype(np.float32) / 32768, w.contents.sr
        class Relation(C.Structure):
            _fields_ = [("name", C.c_char_p), ("features", C.c_void_p), ("utt", C.c_void_p), ("head", C.c_void_p)]
        item = C.cast(self.lib.utt_relation(u, b"Segment"), C.POINTER(Relation)).contents.head
        phones, t = [], 0.0
        while item:
            name = self.lib.item_feat_string(item, b"name").decode()
            phones.append((t, FLITE_TO_ESPEAK.get(name, name)))
            t = self.lib.item_feat_float(item, b"end")
            item = self.lib.item_next(item)
        self.lib.delete_utterance(u)
        return x, sr, phones

    def _voice(self, voice, stretch):
        if voice not in self.voices:
            reg = getattr(C.CDLL(f"libflite_cmu_us_{voice}.so.1"), f"register_cmu_us_{voice}")
            reg.restype, reg.argtypes = C.c_void_p, [C.c_char_p]
            v = reg(None)
            self.voices[voice] = (v, C.cast(v, C.POINTER(self._Voice)).contents.features)
        v, feats = self.voices[voice]
        self.lib.flite_feat_set_float(feats, b"duration_stretch", stretch)
        return v


def festival_batch(texts, voice):
    """Synthesise many texts with one festival process."""
    name = {"slt_hts": "voice_cmu_us_slt_arctic_hts", "kal": "voice_kal_diphone", "ked": "voice_ked_diphone"}[voice]
    with tempfile.TemporaryDirectory() as d:
        script = [f"({name})"]
        for i, t in enumerate(texts):
            script.append(f"(utt.save.wave (utt.synth (eval (list 'Utterance 'Text \"{t}\"))) \"{d}/{i}.wav\" 'riff)")
        path = os.path.join(d, "s.scm")
        with open(path, "w") as f:
            f.write("\n".join(script))
        subprocess.run(["festival", "-b", path], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return [sf.read(f"{d}/{i}.wav", dtype="float32") for i in range(len(texts))]


def pico(text, lang):
    cmd, data = os.environ["PICO_CMD"], os.environ["PICO_DATA"]
    ta, sg = {"gb": ("en-GB_ta.bin", "en-GB_kh0_sg.bin"), "us": ("en-US_ta.bin", "en-US_lh0_sg.bin")}[lang]
    with tempfile.NamedTemporaryFile(suffix=".pcm") as f:
        subprocess.run([cmd, f"{data}/{ta}", f"{data}/{sg}", text, f.name], check=True, stderr=subprocess.DEVNULL)
        return np.fromfile(f.name, dtype="<i2").astype(np.float32) / 32768, 16000


class Synth:
    def __init__(self):
        self.espeak, self.flite = Espeak(), Flite()

    def render_aligned(self, jobs, rng, default=0.35):
        """Like render, but yields (samples, rate, voice label, phones or None); `default`: share at the engine's own rate."""
        fest = {}
        for name in ("slt_hts", "kal"):
            idx = [i for i, (_, v) in enumerate(jobs) if v == f"festival:{name}"]
            if idx:
                fest.update(zip(idx, festival_batch([spoken(jobs[i][0]) for i in idx], name)))
        for i, (text, v) in enumerate(jobs):
            text, plain_rate = spoken(text), rng.random() < default
            if v == "espeak":
                name = rng.choice(ESPEAK_LANGS, p=[.36, .3, .09, .11, .07, .07])
                var = rng.choice(ESPEAK_TRAIN if not plain_rate else [""])
                name = f"{name}+{var}" if var else str(name)
                x, sr = self.espeak.say(text, name, 175 if plain_rate else rng.integers(140, 200), rng.integers(30, 72),
                                        rng.integers(30, 75))
                yield x, sr, f"espeak:{name}", list(self.espeak.phones)
            elif v.startswith("flite:"):
                x, sr, phones = self.flite.say_aligned(text, v[6:], 1.0 if plain_rate else float(rng.uniform(0.85, 1.2)))
                yield x, sr, v, phones
            else:
                yield (*fest[i], v, None)

    def render(self, jobs, rng):
        """jobs: list of (text, voice) -> list of (samples, rate, voice label)."""
        out = [None] * len(jobs)
        for fest in ("slt_hts", "kal", "ked"):
            idx = [i for i, (_, v) in enumerate(jobs) if v == f"festival:{fest}"]
            if idx:
                for i, (x, sr) in zip(idx, festival_batch([spoken(jobs[i][0]) for i in idx], fest)):
                    out[i] = (x, sr, f"festival:{fest}")
        for i, (text, v) in enumerate(jobs):
            if out[i] is not None:
                continue
            text = spoken(text)
            if v == "espeak":
                name = rng.choice(ESPEAK_LANGS, p=[.36, .3, .09, .11, .07, .07])
                var = rng.choice(ESPEAK_TRAIN)
                name = f"{name}+{var}" if var else str(name)
                out[i] = (*self.espeak.say(text, name, rng.integers(140, 200), rng.integers(30, 72),
                                           rng.integers(30, 75)), f"espeak:{name}")
            elif v == "espeak-heldout":
                name = str(rng.choice(ESPEAK_HELDOUT))
                out[i] = (*self.espeak.say(text, name, rng.integers(145, 185)), f"espeak:{name}")
            elif v.startswith("flite:"):
                out[i] = (*self.flite.say(text, v[6:], float(rng.uniform(0.85, 1.2))), v)
            elif v.startswith("pico:"):
                out[i] = (*pico(text, v[5:]), v)
            else:
                raise ValueError(v)
        return out


def spoken(text):
    """What the engine is given: single letters in capitals so that they are read as letter names."""
    raw = text.split()
    words = [w.strip(",.?") for w in raw]
    out = []
    for i, w in enumerate(words):
        if len(w) == 1 and w not in ("a", "i"):
            out.append(raw[i].upper())
        elif w in ("a", "i") and _is_letter(words, i):
            out.append(raw[i].upper())
        else:
            out.append(raw[i])
    return " ".join(out)


def _is_letter(words, i):
    """'a' and 'i' are letters when a neighbour is another single letter (spelling) or the text is just that letter."""
    near = [words[j] for j in (i - 1, i + 1) if 0 <= j < len(words)]
    return len(words) == 1 or any(len(w) == 1 and w not in ("a", "i") for w in near)
