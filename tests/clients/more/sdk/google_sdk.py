"""Google's Python SDK against the gateway: Gemini's API, and Vertex AI."""

import sys

from google import genai
from google.genai import errors, types
from google.oauth2.credentials import Credentials
from told import COMMAND, FAIL, MODELS, RUN, STALL, TOOL, UNKNOWN, refused, tell

OPTIONS = {"base_url": sys.argv[1], "retry_options": {"attempts": 1}}
MODEL = MODELS["gemini"]


def run(api, client):
    def told(case, reply, text):
        usage = reply.usage_metadata
        tell(api, case, text or "", (usage.prompt_token_count, usage.candidates_token_count))

    def ask(contents, model=MODEL, **config):
        return client.models.generate_content(model=model, contents=contents, config=config)

    def stream(text):
        return client.models.generate_content_stream(model=MODEL, contents=text)

    reply = ask("hello, plain")
    told("plain", reply, reply.text)
    chunks = list(stream("hello, streamed"))
    told("streamed", chunks[-1], "".join(chunk.text or "" for chunk in chunks))
    tools = [{"function_declarations": [{"name": TOOL, "description": "runs it", "parameters_json_schema": COMMAND}]}]
    contents = [types.UserContent(RUN)]
    reply = ask(contents, tools=tools)
    told("tool", reply, "")
    call = reply.function_calls[0]
    result = types.Part.from_function_response(name=TOOL, response={"output": call.args["command"]})
    contents += [reply.candidates[0].content, types.UserContent(result)]
    reply = ask(contents, tools=tools)
    told("result", reply, reply.text)
    count = client.models.count_tokens(model=MODEL, contents="hello")
    tell(api, "count", str(count.total_tokens))
    refused(api, "failed", errors.ClientError, lambda: ask(FAIL))
    chunks = stream(STALL)
    text = next(chunk.text for chunk in chunks if chunk.text)
    chunks.close()
    tell(api, "cancelled", text)
    refused(api, "refused", errors.ClientError, lambda: ask("hello", model=UNKNOWN))


gemini = genai.Client(api_key="-", http_options=OPTIONS)
run("gemini", gemini)
assert f"models/{MODEL}" in [model.name for model in gemini.models.list()]
credentials = Credentials(token="-")
run("google", genai.Client(vertexai=True, project="a-project", location="global", credentials=credentials, http_options=OPTIONS))
