"""OpenAI's own client, unmodified, against `trunkline engine` with the starter models.

Usage: client.py <base url> [unix socket]. Exits 0 when everything holds; what does not is an
assertion that says so.
"""

import base64
import io
import json
import sys
import wave

import httpx2
import openai
from openai import OpenAI

LLM, STT, TTS = "smollm2-135m", "whisper-starter", "flite"
SENTENCE = "I would like to book an appointment on Monday."
HELLO = [{"role": "user", "content": "Say hello to Susan."}]


def client(base_url, socket):
    if socket is None:
        return OpenAI(base_url=base_url, api_key="sesame", max_retries=0)
    transport = httpx2.HTTPTransport(uds=socket)
    http = openai.DefaultHttpxClient(transport=transport)
    return OpenAI(base_url=base_url, api_key="sesame", max_retries=0, http_client=http)


def models(ai):
    assert {model.id for model in ai.models.list()} >= {LLM, STT, TTS}
    assert ai.models.retrieve(LLM).object == "model"


def chat(ai):
    asked = dict(model=LLM, messages=HELLO, temperature=0, max_completion_tokens=24)
    # The first request computes the prompt, the others find it known: a rounding apart.
    ai.chat.completions.create(**asked)
    whole = ai.chat.completions.create(**asked)
    said = whole.choices[0].message.content
    assert len(said) > 8, said
    assert whole.choices[0].finish_reason in ("stop", "length")
    assert whole.usage.completion_tokens > 0
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens

    streamed, usage, finish = "", None, None
    for chunk in ai.chat.completions.create(
        **asked, stream=True, stream_options={"include_usage": True}
    ):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            streamed += choice.delta.content or ""
            finish = choice.finish_reason or finish
    assert streamed == said, (streamed, said)
    assert finish == whole.choices[0].finish_reason
    assert usage.completion_tokens == whole.usage.completion_tokens

    cut = ai.chat.completions.create(**asked, stop=said[5:8])
    assert cut.choices[0].message.content == said[:5], cut

    drawn = [
        ai.chat.completions.create(
            model=LLM, messages=HELLO, seed=seed, max_completion_tokens=16
        ).choices[0].message.content
        for seed in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1] != drawn[2], drawn


BOOKING = {
    "type": "function",
    "function": {
        "name": "book_appointment",
        "description": "Books an appointment.",
        "parameters": {
            "type": "object",
            "properties": {
                "day": {"type": "string", "enum": ["Monday", "Tuesday"]},
                "guests": {"type": "integer", "minimum": 1, "maximum": 9},
            },
            "required": ["day", "guests"],
            "additionalProperties": False,
        },
    },
}
HANGING_UP = {"type": "function", "function": {"name": "hang_up", "description": "Ends the call."}}


def is_right(call):
    arguments = json.loads(call.function.arguments)
    if call.function.name == "hang_up":
        return isinstance(arguments, dict)
    assert call.function.name == "book_appointment", call
    return arguments["day"] in ("Monday", "Tuesday") and 1 <= arguments["guests"] <= 9


def tools(ai):
    """Which tool a small model calls is its affair; that a call is one is the server's."""
    said = [{"role": "user", "content": SENTENCE}]
    asked = dict(model=LLM, messages=said, temperature=0, tools=[BOOKING, HANGING_UP])
    named = {"type": "function", "function": {"name": "book_appointment"}}
    whole = ai.chat.completions.create(
        **asked, tool_choice=named, max_completion_tokens=100
    ).choices[0]
    assert whole.finish_reason == "tool_calls", whole
    (call,) = whole.message.tool_calls
    assert call.function.name == "book_appointment" and is_right(call), call
    assert whole.message.content is None

    required = ai.chat.completions.create(
        **asked, tool_choice="required", parallel_tool_calls=False, max_completion_tokens=100
    ).choices[0]
    assert len(required.message.tool_calls) == 1 and is_right(required.message.tool_calls[0])

    pieces, finish = [], None
    for chunk in ai.chat.completions.create(
        **asked, tool_choice=named, max_completion_tokens=100, stream=True
    ):
        for choice in chunk.choices:
            pieces += choice.delta.tool_calls or []
            finish = choice.finish_reason or finish
    assert finish == "tool_calls", finish
    assert pieces[0].function.name == "book_appointment" and pieces[0].id not in (None, call.id)
    arguments = "".join(piece.function.arguments or "" for piece in pieces)
    assert json.loads(arguments).keys() == {"day", "guests"}, arguments

    # The call and its answer go back; the model speaks, or calls again, rightly.
    said += [
        whole.message,
        {"role": "tool", "tool_call_id": call.id, "content": "It is booked for 10 o'clock."},
    ]
    for choice in ("auto", "none"):
        after = ai.chat.completions.create(**asked, tool_choice=choice, max_completion_tokens=40)
        message = after.choices[0].message
        assert message.content or all(map(is_right, message.tool_calls or [])), message
        assert choice == "auto" or not message.tool_calls, message


def leave_a_stream(ai):
    stream = ai.chat.completions.create(model=LLM, messages=HELLO, stream=True)
    next(iter(stream))
    stream.close()
    chat_again = ai.chat.completions.create(model=LLM, messages=HELLO, max_completion_tokens=2)
    assert chat_again.usage.completion_tokens <= 2


def speech(ai):
    sound = {}
    for form in ("wav", "pcm", "opus"):
        spoken = ai.audio.speech.create(
            model=TTS, voice="slt", input=SENTENCE, response_format=form
        )
        sound[form] = spoken.content
    with wave.open(io.BytesIO(sound["wav"])) as read:
        assert (read.getframerate(), read.getnchannels(), read.getsampwidth()) == (16000, 1, 2)
    seconds = (len(sound["wav"]) - 44) / 32000
    assert abs(len(sound["pcm"]) / 48000 - seconds) < 0.05
    assert sound["opus"].startswith(b"OggS")
    with ai.audio.speech.with_streaming_response.create(
        model=TTS, voice="slt", input=SENTENCE, response_format="pcm"
    ) as response:
        assert b"".join(response.iter_bytes()) == sound["pcm"]
    return sound


def transcription(ai, sound):
    expected = SENTENCE.lower().rstrip(".").split()
    for form in ("wav", "opus"):
        heard = ai.audio.transcriptions.create(
            model=STT, file=(f"a.{form}", sound[form]), language="en"
        )
        words = heard.text.lower().rstrip(".").split()
        right = sum(word in words for word in expected)
        assert right >= len(expected) - 2, (form, heard.text)
    verbose = ai.audio.transcriptions.create(
        model=STT, file=("a.wav", sound["wav"]), response_format="verbose_json"
    )
    assert verbose.text == " ".join(segment.text for segment in verbose.segments)
    assert 2 < verbose.duration < 4
    for form, mark in (("text", "book"), ("srt", "00:00:0"), ("vtt", "WEBVTT")):
        text = ai.audio.transcriptions.create(
            model=STT, file=("a.wav", sound["wav"]), response_format=form
        )
        assert mark in text, text


def refused(kind, ask, *said):
    try:
        ask()
    except kind as error:
        for part in said:
            assert part in str(error), (part, str(error))
        return
    raise AssertionError(f"{kind.__name__} was expected: {said}")


def refusals(ai, base_url, sound):
    complete = ai.chat.completions.create
    refused(openai.NotFoundError, lambda: complete(model="gpt-5", messages=HELLO), LLM)
    refused(openai.BadRequestError, lambda: complete(model=LLM, messages=[]), "messages")
    long = [{"role": "user", "content": "word " * 20000}]
    refused(openai.BadRequestError, lambda: complete(model=LLM, messages=long), "token")
    refused(openai.BadRequestError, lambda: complete(model=LLM, messages=long, stream=True), "token")
    hear = ai.audio.transcriptions.create
    refused(openai.BadRequestError, lambda: hear(model=STT, file=("a.wav", b"")), "no audio")
    refused(openai.BadRequestError, lambda: hear(model=STT, file=("a.wav", b"noise")), "not a WAV")
    ten_minutes = sound["wav"][:44] + bytes(2 * 16000 * 600)
    refused(openai.BadRequestError, lambda: hear(model=STT, file=("a.wav", ten_minutes)), "longer")
    speak = ai.audio.speech.create
    refused(openai.BadRequestError, lambda: speak(model=TTS, voice="nobody", input="hi there"), "slt")
    stranger = client(base_url, None) if base_url.startswith("http://127") else None
    if stranger:
        stranger.api_key = "wrong"
        refused(openai.AuthenticationError, lambda: stranger.models.list(), "key")


def main():
    base_url = sys.argv[1]
    socket = sys.argv[2] if len(sys.argv) > 2 else None
    ai = client(base_url, socket)
    models(ai)
    chat(ai)
    tools(ai)
    leave_a_stream(ai)
    sound = speech(ai)
    transcription(ai, sound)
    refusals(ai, base_url, sound)
    print("everything holds")


if __name__ == "__main__":
    main()
