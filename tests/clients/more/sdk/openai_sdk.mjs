// OpenAI's JavaScript SDK against the gateway: chat completions and responses.
import assert from "node:assert";
import OpenAI from "openai";
import { COMMAND, FAIL, first, refused, RUN, STALL, tell, TOOL, UNKNOWN } from "./told.mjs";

const client = new OpenAI({ baseURL: `${process.argv[2]}/v1`, apiKey: "-", maxRetries: 0 });

async function chat() {
  const told = (what, reply) =>
    tell("chat", what, reply.choices[0].message.content ?? "", {
      input: reply.usage.prompt_tokens,
      output: reply.usage.completion_tokens,
    });
  const turn = (text) => [{ role: "user", content: text }];
  const ask = (messages, more = {}) => client.chat.completions.create({ model: "gpt-4o", messages, ...more });

  told("plain", await ask(turn("hello, chat")));
  // Usage is not asked for, so no piece may carry any, although the gateway learns it.
  let text = "";
  for await (const chunk of await ask(turn("hello, chat streamed"), { stream: true })) {
    assert(!chunk.usage && chunk.choices.length === 1, JSON.stringify(chunk));
    text += chunk.choices[0].delta.content ?? "";
  }
  tell("chat", "streamed", text);
  text = "";
  let usage;
  const more = { stream: true, stream_options: { include_usage: true } };
  for await (const chunk of await ask(turn("hello, chat with usage"), more)) {
    text += chunk.choices.map((choice) => choice.delta.content ?? "").join("");
    usage = chunk.usage ?? usage;
  }
  tell("chat", "streamed", text, { input: usage.prompt_tokens, output: usage.completion_tokens });

  const tools = [{ type: "function", function: { name: TOOL, parameters: COMMAND } }];
  const turns = turn(RUN);
  const reply = await ask(turns, { tools });
  told("tool", reply);
  const message = reply.choices[0].message;
  const call = message.tool_calls[0];
  const content = JSON.parse(call.function.arguments).command;
  turns.push(message, { role: "tool", tool_call_id: call.id, content });
  told("result", await ask(turns, { tools }));
  await refused("chat", "failed", 429, () => ask(turn(FAIL)));
  const stream = await ask(turn(STALL), { stream: true });
  tell("chat", "cancelled", await first(stream, (chunk) => chunk.choices[0].delta.content));
  await refused("chat", "refused", 404, () => ask(turn("hello"), { model: UNKNOWN }));
}

async function responses() {
  const told = (what, reply) =>
    tell("responses", what, reply.output_text, { input: reply.usage.input_tokens, output: reply.usage.output_tokens });
  const ask = (input, more = {}) => client.responses.create({ model: "gpt-5", input, ...more });

  told("plain", await ask("hello, responses"));
  told("streamed", await client.responses.stream({ model: "gpt-5", input: "hello, streamed" }).finalResponse());
  const tools = [{ type: "function", name: TOOL, parameters: COMMAND, strict: false }];
  const items = [{ role: "user", content: RUN }];
  const reply = await ask(items, { tools });
  told("tool", reply);
  const call = reply.output.find((item) => item.type === "function_call");
  items.push(call, { type: "function_call_output", call_id: call.call_id, output: JSON.parse(call.arguments).command });
  told("result", await ask(items, { tools }));
  await refused("responses", "failed", 429, () => ask(FAIL));
  tell("responses", "cancelled", await first(await ask(STALL, { stream: true }), (event) => event.delta));
  await refused("responses", "refused", 404, () => ask("hello", { model: UNKNOWN }));
}

await chat();
await responses();
const listed = [];
for await (const model of client.models.list()) listed.push(model.id);
assert(listed.includes("gpt-5"));
