//! The scripted provider, from outside: every test speaks to it over a socket.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail like the tests themselves"
)]

/// Real agents' requests: a tool turn and what surrounds it.
mod agents;
/// Bedrock's replies, frames and paths.
mod bedrock;
/// Old completions, embeddings, moderations, and servers that deviate from chat.
mod beside_chat;
/// Speaks HTTP and TLS to the provider and takes replies apart.
mod client;
/// Tokens of Google and AWS.
mod clouds;
/// The wire formats against replies that every client accepted.
mod dialects;
/// Stalls, cuts and other ways to fail.
mod faults;
/// Every format in every way: whole, streamed, failing.
mod formats;
/// Reads the frames of binary streams.
mod frames;
/// Gemini and Vertex.
mod google;
/// What the log says, against what happened.
mod log;
/// The binary: ready line, control endpoints, end with standard input.
mod program;
/// h2, TLS and both together.
mod protocols;
/// Responses, conversations, files and cached contents.
mod things;
