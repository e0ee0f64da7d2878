// Anthropic's and OpenAI's JavaScript SDKs against the gateway: one line of JSON for each request, in their order.
import assert from "node:assert";
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";

const url = process.argv[2];
const command = { type: "object", properties: { command: { type: "string" } }, required: ["command"] };

function tell(what, text, usage = null) {
  console.log(JSON.stringify({ case: what, text, usage }));
}

async function messages() {
  const client = new Anthropic({ baseURL: url, apiKey: "-" });
  const common = { model: "claude-haiku-4-5", max_tokens: 1000 };
  const told = (what, reply) => {
    const text = reply.content.map((block) => (block.type === "text" ? block.text : "")).join("");
    tell(what, text, { input: reply.usage.input_tokens, output: reply.usage.output_tokens });
  };
  const ask = (turns, more = {}) => client.messages.create({ ...common, messages: turns, ...more });

  told("messages", await ask([{ role: "user", content: "hello, plain" }]));
  const stream = client.messages.stream({ ...common, messages: [{ role: "user", content: "hello, streamed" }] });
  told("messages streamed", await stream.finalMessage());

  const tools = [{ name: "Bash", description: "runs a command", input_schema: command }];
  const turns = [{ role: "user", content: "RUN: echo by-js" }];
  const reply = await ask(turns, { tools });
  told("messages tool", reply);
  const call = reply.content.find((block) => block.type === "tool_use");
  turns.push({ role: "assistant", content: reply.content });
  turns.push({
    role: "user",
    content: [{ type: "tool_result", tool_use_id: call.id, content: call.input.command }],
  });
  told("messages result", await ask(turns, { tools }));
  const count = await client.messages.countTokens({ model: common.model, messages: turns.slice(0, 1) });
  tell("messages count", String(count.input_tokens));
  const listed = [];
  for await (const model of client.models.list()) listed.push(model.id);
  assert(listed.includes("claude-haiku-4-5"));
}

async function chat(client) {
  const told = (what, reply) =>
    tell(what, reply.choices[0].message.content ?? "", {
      input: reply.usage.prompt_tokens,
      output: reply.usage.completion_tokens,
    });
  const ask = (turns, more = {}) => client.chat.completions.create({ model: "gpt-4o", messages: turns, ...more });

  told("chat", await ask([{ role: "user", content: "hello, chat" }]));
  // Usage is not asked for, so no piece may carry any, although the gateway learns it.
  let text = "";
  for await (const chunk of await ask([{ role: "user", content: "hello, chat streamed" }], { stream: true })) {
    assert(!chunk.usage && chunk.choices.length === 1, JSON.stringify(chunk));
    text += chunk.choices[0].delta.content ?? "";
  }
  tell("chat streamed", text);
  text = "";
  let usage;
  const more = { stream: true, stream_options: { include_usage: true } };
  for await (const chunk of await ask([{ role: "user", content: "hello, chat with usage" }], more)) {
    text += chunk.choices.map((choice) => choice.delta.content ?? "").join("");
    usage = chunk.usage ?? usage;
  }
  tell("chat streamed with usage", text, { input: usage.prompt_tokens, output: usage.completion_tokens });

  const tools = [{ type: "function", function: { name: "shell", parameters: command } }];
  const turns = [{ role: "user", content: "RUN: echo by-js" }];
  const reply = await ask(turns, { tools });
  told("chat tool", reply);
  const message = reply.choices[0].message;
  const call = message.tool_calls[0];
  turns.push(message);
  turns.push({ role: "tool", tool_call_id: call.id, content: JSON.parse(call.function.arguments).command });
  told("chat result", await ask(turns, { tools }));
}

async function responses(client) {
  const told = (what, reply) =>
    tell(what, reply.output_text, { input: reply.usage.input_tokens, output: reply.usage.output_tokens });

  told("responses", await client.responses.create({ model: "gpt-5", input: "hello, responses" }));
  const stream = client.responses.stream({ model: "gpt-5", input: "hello, responses streamed" });
  told("responses streamed", await stream.finalResponse());

  const tools = [{ type: "function", name: "shell", parameters: command, strict: false }];
  const items = [{ role: "user", content: "RUN: echo by-js" }];
  const reply = await client.responses.create({ model: "gpt-5", input: items, tools });
  told("responses tool", reply);
  const call = reply.output.find((item) => item.type === "function_call");
  items.push(call);
  items.push({
    type: "function_call_output",
    call_id: call.call_id,
    output: JSON.parse(call.arguments).command,
  });
  told("responses result", await client.responses.create({ model: "gpt-5", input: items, tools }));
}

await messages();
const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: "-" });
await chat(openai);
await responses(openai);
const listed = [];
for await (const model of openai.models.list()) listed.push(model.id);
assert(listed.includes("gpt-5"));
const wrong = { model: "no-such-model", messages: [{ role: "user", content: "hello" }] };
await openai.chat.completions.create(wrong).catch((error) => {
  assert(error instanceof OpenAI.NotFoundError, error);
  tell("chat refused", error.error.message);
});
const anthropic = new Anthropic({ baseURL: url, apiKey: "-" });
await anthropic.messages.create({ ...wrong, max_tokens: 1 }).catch((error) => {
  assert(error instanceof Anthropic.NotFoundError, error);
  tell("messages refused", error.error.error.message);
});
