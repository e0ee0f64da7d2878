"""Anthropic's and OpenAI's Python SDKs against the gateway: one line of JSON for each request, in their order."""

import json
import sys

import anthropic
import openai

URL = sys.argv[1]
COMMAND = {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}


def tell(case, text, usage=None):
    counts = usage and {"input": usage[0], "output": usage[1]}
    print(json.dumps({"case": case, "text": text, "usage": counts}), flush=True)


def messages():
    client = anthropic.Anthropic(base_url=URL, api_key="-")
    common = {"model": "claude-haiku-4-5", "max_tokens": 1000}

    def told(case, reply):
        text = "".join(block.text for block in reply.content if block.type == "text")
        tell(case, text, (reply.usage.input_tokens, reply.usage.output_tokens))

    told("messages", client.messages.create(**common, messages=[{"role": "user", "content": "hello, plain"}]))
    with client.messages.stream(**common, messages=[{"role": "user", "content": "hello, streamed"}]) as stream:
        "".join(stream.text_stream)
        told("messages streamed", stream.get_final_message())

    tools = [{"name": "Bash", "description": "runs a command", "input_schema": COMMAND}]
    turns = [{"role": "user", "content": "RUN: echo by-python"}]
    reply = client.messages.create(**common, tools=tools, messages=turns)
    told("messages tool", reply)
    call = next(block for block in reply.content if block.type == "tool_use")
    turns += [
        {"role": "assistant", "content": reply.content},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": call.input["command"]}]},
    ]
    told("messages result", client.messages.create(**common, tools=tools, messages=turns))
    count = client.messages.count_tokens(model=common["model"], messages=turns[:1])
    tell("messages count", str(count.input_tokens))
    assert "claude-haiku-4-5" in [model.id for model in client.models.list()]


def chat(client):
    def told(case, reply):
        tell(case, reply.choices[0].message.content or "", (reply.usage.prompt_tokens, reply.usage.completion_tokens))

    def ask(turns, **more):
        return client.chat.completions.create(model="gpt-4o", messages=turns, **more)

    told("chat", ask([{"role": "user", "content": "hello, chat"}]))
    # Usage is not asked for, so no piece may carry any, although the gateway learns it.
    text = ""
    for chunk in ask([{"role": "user", "content": "hello, chat streamed"}], stream=True):
        assert chunk.usage is None and len(chunk.choices) == 1, chunk
        text += chunk.choices[0].delta.content or ""
    tell("chat streamed", text)
    text, usage = "", None
    turns = [{"role": "user", "content": "hello, chat with usage"}]
    for chunk in ask(turns, stream=True, stream_options={"include_usage": True}):
        text += "".join(choice.delta.content or "" for choice in chunk.choices)
        usage = chunk.usage or usage
    tell("chat streamed with usage", text, (usage.prompt_tokens, usage.completion_tokens))

    tools = [{"type": "function", "function": {"name": "shell", "parameters": COMMAND}}]
    turns = [{"role": "user", "content": "RUN: echo by-python"}]
    reply = ask(turns, tools=tools)
    told("chat tool", reply)
    message = reply.choices[0].message
    call = message.tool_calls[0]
    turns += [
        message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": json.loads(call.function.arguments)["command"]},
    ]
    told("chat result", ask(turns, tools=tools))


def responses(client):
    def told(case, reply):
        tell(case, reply.output_text, (reply.usage.input_tokens, reply.usage.output_tokens))

    told("responses", client.responses.create(model="gpt-5", input="hello, responses"))
    last = None
    for event in client.responses.create(model="gpt-5", input="hello, responses streamed", stream=True):
        last = event
    assert last.type == "response.completed", last
    told("responses streamed", last.response)

    tools = [{"type": "function", "name": "shell", "parameters": COMMAND, "strict": False}]
    items = [{"role": "user", "content": "RUN: echo by-python"}]
    reply = client.responses.create(model="gpt-5", input=items, tools=tools)
    told("responses tool", reply)
    call = next(item for item in reply.output if item.type == "function_call")
    items += [
        call.model_dump(exclude_none=True),
        {"type": "function_call_output", "call_id": call.call_id, "output": json.loads(call.arguments)["command"]},
    ]
    told("responses result", client.responses.create(model="gpt-5", input=items, tools=tools))


messages()
openai_client = openai.OpenAI(base_url=f"{URL}/v1", api_key="-")
chat(openai_client)
responses(openai_client)
assert "gpt-5" in [model.id for model in openai_client.models.list()]
try:
    openai_client.chat.completions.create(model="no-such-model", messages=[{"role": "user", "content": "hello"}])
except openai.NotFoundError as error:
    tell("chat refused", error.body["message"])
try:
    anthropic.Anthropic(base_url=URL, api_key="-").messages.create(
        model="no-such-model", max_tokens=1, messages=[{"role": "user", "content": "hello"}]
    )
except anthropic.NotFoundError as error:
    tell("messages refused", error.body["error"]["message"])
