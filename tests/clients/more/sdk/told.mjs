// What the scripts for JavaScript's SDKs share: one line of JSON for each request, in their order, and the prompts.
export const MODELS = {
  anthropic: "claude-haiku-4-5",
  bedrock: "us.anthropic.claude-haiku-4-5-20251001-v1:0",
  vertex: "claude-haiku-4-5@20251001",
  gemini: "gemini-2.5-flash",
};
export const UNKNOWN = "no-such-model";
export const TOOL = "shell";
export const COMMAND = { type: "object", properties: { command: { type: "string" } }, required: ["command"] };
export const RUN = "RUN: echo by-js";
// The provider falls silent in the middle of the text: who has read something leaves.
export const STALL = 'SCRIPT: {"text":"one two three four","stall":"mid_stream"}';
// The provider's own error, in the words of its dialect.
export const FAIL = 'SCRIPT: {"status":429,"error":{"message":"says the provider"}}';

export function tell(api, what, text, usage = null) {
  console.log(JSON.stringify({ api, case: what, text, usage }));
}

// The call must fail with that status, and the error must say why.
export async function refused(api, what, status, call) {
  try {
    await call();
  } catch (error) {
    const found = error.status ?? error.$metadata?.httpStatusCode;
    if (found !== status) throw error;
    return tell(api, what, error.message);
  }
  throw new Error(`${api} ${what}: no error`);
}

// The first text of a stream, which ends with that.
export async function first(stream, text) {
  for await (const event of stream) {
    const found = text(event);
    if (found) return found;
  }
  throw new Error("no text");
}
