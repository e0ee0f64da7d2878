//! Seeded faults: each world has exactly one, `doctor --json` names it and nothing else, and a healthy world has none.

/// Faults of the tailnet.
mod tailnet;
/// The healthy world, and what worlds are made of.
mod world;

use crate::support::{Gateway, chat, gateway::Options, http, message};
use ::http::Method;
use futures_util::{StreamExt as _, future::BoxFuture};
use provider::{Matcher, Script};
use serde_json::{Value, json};
use std::{os::unix::fs::PermissionsExt as _, path::Path, sync::Arc};
use tokio::{io::AsyncWriteExt as _, net::TcpListener};
use world::{Found, World, private, report};

/// Worlds at the same time.
const AT_ONCE: usize = 4;

/// One fault: what doctor has to say of it, and how it is made.
pub(crate) struct Fault {
    /// The check that must speak.
    pub(crate) id: &'static str,
    /// And whether it fails or warns.
    pub(crate) outcome: &'static str,
    /// Words of its detail and remedy.
    pub(crate) words: &'static [&'static str],
    seed: Seed,
}

type Later = for<'a> fn(&'a World, &'a Gateway) -> BoxFuture<'a, ()>;

enum Seed {
    /// Another document.
    Document(fn(&World, &mut Value)),
    /// Something that happens to a healthy gateway.
    Later(Later),
    /// Another start.
    Start(fn(&World) -> Options),
    /// A document, and a question.
    Asked(fn(&World, &mut Value), &'static [&'static str]),
    /// Something that is done to the directory of a gateway that has stopped.
    Stopped(fn(&Path)),
}

/// A fault of a provider: its address is another.
const fn at(
    id: &'static str,
    words: &'static [&'static str],
    seed: fn(&World, &mut Value),
) -> Fault {
    Fault {
        id,
        outcome: "failure",
        words,
        seed: Seed::Document(seed),
    }
}

const fn warns(id: &'static str, words: &'static [&'static str], seed: Seed) -> Fault {
    Fault {
        id,
        outcome: "warning",
        words,
        seed,
    }
}

const fn fails(id: &'static str, words: &'static [&'static str], seed: Seed) -> Fault {
    Fault {
        id,
        outcome: "failure",
        words,
        seed,
    }
}

/// Every fault of this table; those of the tailnet have one of their own.
const FAULTS: &[Fault] = &[
    // The document.
    fails(
        "config.file",
        &["not in force", "line 1"],
        Seed::Later(|_, gateway| {
            Box::pin(async move {
                std::fs::write(gateway.config_file(), "{").unwrap();
                gateway
                    .event("config: the last good version stays in force", |_| Some(()))
                    .await;
            })
        }),
    ),
    at(
        "config.mistakes",
        &["has no baseurl", "left out"],
        |_, document| {
            document["providers"]["third"] = json!({"models": ["m"]});
        },
    ),
    at(
        "config.mistakes",
        &["unknown config key \"basurl\""],
        |_, document| {
            document["providers"]["openai"]["basurl"] = json!("http://127.0.0.1:1");
        },
    ),
    warns(
        "config.advice",
        &["listed twice"],
        Seed::Document(|_, document| {
            document["providers"]["openai"]["models"] = json!(["gpt-5", "gpt-5"]);
        }),
    ),
    warns(
        "config.providers",
        &["no providers", "add one"],
        Seed::Document(|_, document| {
            document["providers"] = json!({});
        }),
    ),
    warns(
        "config.readable",
        &["every user of this host", "chmod 600"],
        Seed::Start(|_| {
            let dir = tempfile::tempdir().unwrap();
            std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
            Options {
                dir: Some(Arc::new(dir)),
                ..Options::default()
            }
        }),
    ),
    // Who gets in.
    warns(
        "access.everyone_admin",
        &["everybody is admin"],
        Seed::Document(|_, document| {
            document["temp_grants"][1]["grants"][0] = json!({"role": "admin"});
        }),
    ),
    warns(
        "access.locked_out",
        &[
            "makes anybody admin",
            "on this host, add",
            "\"role\": \"admin\"",
        ],
        Seed::Document(|_, document| {
            document["temp_grants"].as_array_mut().unwrap().remove(0);
        }),
    ),
    warns(
        "access.nobody",
        &["everybody is refused"],
        Seed::Document(|_, document| {
            document["temp_grants"] = json!([{"src": ["*"], "grants": [{"providers": [{"provider": "*", "model": "*"}]}]}]);
        }),
    ),
    fails(
        "access.role",
        &["refused with 403", "grant a role"],
        Seed::Asked(
            |_, document| {
                document["temp_grants"][1]["src"] = json!(["bob@example.com"]);
            },
            &["--as", "eve@example.com"],
        ),
    ),
    // Providers.
    at(
        "provider.secret",
        &["MISSING_API_KEY is not set"],
        |_, document| {
            document["providers"]["openai"]["authorization"]["value"] =
                json!("env:MISSING_API_KEY");
        },
    ),
    warns(
        "provider.baseurl",
        &["ends in /v1", "remove /v1"],
        Seed::Document(|world, document| {
            document["providers"]["openai"]["baseurl"] =
                json!(format!("{}/v1", world.provider.url()));
        }),
    ),
    warns(
        "provider.baseurl",
        &["/chat/completions", "twice"],
        Seed::Document(|world, document| {
            document["providers"]["openai"]["baseurl"] =
                json!(format!("{}/v1/chat/completions", world.provider.url()));
        }),
    ),
    at(
        "provider.dns",
        &["its name has no address", "correct the name"],
        |_, document| {
            document["providers"]["openai"]["baseurl"] = json!("https://no-such-provider.invalid");
        },
    ),
    at(
        "provider.tcp",
        &["no connection", "is the port right"],
        |_, document| {
            document["providers"]["openai"]["baseurl"] =
                json!(format!("http://127.0.0.1:{}", world::closed_port()));
        },
    ),
    at(
        "provider.tls",
        &["certificate has expired", "renew"],
        |world, document| {
            document["providers"]["openai"]["baseurl"] = json!(world.expired.url);
            document["providers"]["openai"]["extra_ca"] = json!(world.expired.pem);
        },
    ),
    at(
        "provider.tls",
        &["is for another name", "in the certificate"],
        |world, document| {
            document["providers"]["openai"]["baseurl"] = json!(world.misnamed.url);
            document["providers"]["openai"]["extra_ca"] = json!(world.misnamed.pem);
        },
    ),
    at(
        "provider.tls",
        &["nobody who is trusted here", "extra_ca"],
        |world, document| {
            document["providers"]["openai"]["baseurl"] = json!(world.misnamed.url);
        },
    ),
    at(
        "provider.tls",
        &["no TLS", "begins with http://"],
        |world, document| {
            document["providers"]["openai"]["baseurl"] =
                json!(world.provider.url().replace("http://", "https://"));
        },
    ),
    at(
        "provider.http",
        &["broke before an answer", "does it speak HTTP"],
        |world, document| {
            document["providers"]["openai"]["baseurl"] = json!(world.garbler);
        },
    ),
    warns(
        "provider.http",
        &["answers with an error (503)", "status page"],
        Seed::Document(|world, document| {
            document["providers"]["openai"]["baseurl"] = json!(world.ailing.url);
        }),
    ),
    at(
        "provider.credential",
        &[
            "refuses the credential (401): Incorrect API key",
            "correct authorization",
        ],
        |world, document| {
            document["providers"]["openai"]["baseurl"] = json!(world.refusing.url);
        },
    ),
    at(
        "provider.credential",
        &["refuses the credential (400)"],
        |world, document| {
            document["providers"]["gemini"] = json!({
                "baseurl": world.google.url, "authorization": {"type": "x-goog-api-key", "value": "AIza-a-key-of-the-tests"},
                "models": ["gemini-3"], "compatibility": {"gemini_generate_content": true},
            });
        },
    ),
    warns(
        "provider.models",
        &[
            "claude-haiku-45 (it has claude-haiku-4-5)",
            "correct the names",
        ],
        Seed::Document(|_, document| {
            document["providers"]["anthropic"]["models"] = json!(["claude-haiku-45"]);
        }),
    ),
    warns(
        "provider.failing",
        &["3 of 3 requests failed", "529 × 3"],
        Seed::Later(|world, gateway| {
            Box::pin(async move {
                let rule = world
                    .provider
                    .script(Matcher::body("overload me"), Script::status(529));
                for _ in 0..3 {
                    let answer = http::post(
                        &format!("{}/v1/messages", gateway.url),
                        message("claude-haiku-4-5", "overload me", false),
                    )
                    .await;
                    assert_eq!(answer.status, 529);
                }
                world.provider.unscript(rule);
                gateway.finished(3).await;
            })
        }),
    ),
    fails(
        "clock",
        &["ahead of the providers'", "time server"],
        Seed::Document(|world, document| {
            for provider in ["anthropic", "openai"] {
                document["providers"][provider]["baseurl"] = json!(world.slow_clock.url);
            }
        }),
    ),
    // What clients do.
    warns(
        "client.https_on_http",
        &["asked for https", "http://localhost"],
        Seed::Later(|_, gateway| {
            Box::pin(async move {
                let address = gateway.url.trim_start_matches("http://");
                let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
                stream.write_all(&[0x16, 3, 1, 0, 1, 1]).await.unwrap();
                let mut answer = Vec::new();
                tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut answer)
                    .await
                    .unwrap();
            })
        }),
    ),
    warns(
        "client.origin",
        &["http://evil.example", "cors.origins"],
        Seed::Later(|_, gateway| {
            Box::pin(async move {
                refused(gateway, "/v1/messages", ("origin", "http://evil.example")).await;
            })
        }),
    ),
    warns(
        "client.host",
        &["evil.example", "/ui/ instead"],
        Seed::Later(|_, gateway| {
            Box::pin(async move {
                refused(gateway, "/ui/", ("host", "evil.example")).await;
            })
        }),
    ),
    warns(
        "client.key",
        &["a key of its own", "`-`"],
        Seed::Later(|_, gateway| {
            Box::pin(async move {
                let headers = [
                    ("content-type", "application/json"),
                    ("x-api-key", "sk-ant-api03-0123456789abcdef"),
                ];
                let url = format!("{}/v1/messages", gateway.url);
                http::send(
                    Method::POST,
                    &url,
                    &headers,
                    message("claude-haiku-4-5", "x", false),
                )
                .await;
                gateway.finished(1).await;
            })
        }),
    ),
    warns(
        "client.model",
        &[
            "asked for 2 times by dev@example.com",
            "did they mean claude-haiku-4-5",
        ],
        Seed::Later(|_, gateway| {
            Box::pin(async move {
                for _ in 0..2 {
                    let answer = http::post(
                        &format!("{}/v1/messages", gateway.url),
                        message("claude-haiku-45", "x", false),
                    )
                    .await;
                    assert_eq!(answer.status, 404);
                }
                gateway.finished(2).await;
            })
        }),
    ),
    warns(
        "client.format",
        &["a format that it is not served in", "compatibility"],
        Seed::Later(|_, gateway| {
            Box::pin(async move {
                let answer = http::post(
                    &format!("{}/v1/chat/completions", gateway.url),
                    chat("claude-haiku-4-5", "x", false),
                )
                .await;
                assert_eq!(answer.status, 404);
                gateway.finished(1).await;
            })
        }),
    ),
    warns(
        "client.denied",
        &["no grant gives them a role", "doctor --as dev@example.com"],
        Seed::Later(|_, gateway| {
            Box::pin(async move {
                // The grants are put right afterwards: what was refused stays refused.
                let good = std::fs::read_to_string(gateway.config_file()).unwrap();
                std::fs::write(
                    gateway.config_file(),
                    good.replace("\"*\"]", "\"bob@example.com\"]")
                        .replace("dev@example.com", "root@example.com"),
                )
                .unwrap();
                gateway
                    .event("config: a new version is in force", |_| Some(()))
                    .await;
                let answer = http::post(
                    &format!("{}/v1/messages", gateway.url),
                    message("claude-haiku-4-5", "x", false),
                )
                .await;
                assert_eq!(answer.status, 403);
                std::fs::write(gateway.config_file(), good).unwrap();
                gateway.finished(1).await;
                gateway.process.signal("HUP").await;
            })
        }),
    ),
    warns(
        "streams.cut",
        &["the provider broke off", "token counts are partial"],
        Seed::Later(|world, gateway| {
            Box::pin(async move {
                let script =
                    Script::from_json(r#"{"text": "one two three four", "cut": "mid_stream"}"#)
                        .unwrap();
                let rule = world.provider.script(Matcher::body("cut me"), script);
                let url = format!("{}/v1/messages", gateway.url);
                let head = [("content-type", "application/json")];
                let response = http::open(
                    Method::POST,
                    &url,
                    &head,
                    message("claude-haiku-4-5", "cut me", true),
                )
                .await;
                let _broken = http_body_util::BodyExt::collect(response.into_body()).await;
                gateway.finished(1).await;
                world.provider.unscript(rule);
            })
        }),
    ),
    warns(
        "price.unpriced",
        &["1 requests have no price", "model_cost_map"],
        Seed::Later(|_, gateway| {
            Box::pin(async move {
                let answer = http::post(
                    &format!("{}/v1/chat/completions", gateway.url),
                    chat("house-model", "x", false),
                )
                .await;
                assert_eq!(answer.status, 200);
                gateway.finished(1).await;
            })
        }),
    ),
    // The host and the state directory.
    fails(
        "https.certificate",
        &["expired at 2021-01-01", "give a newer one"],
        Seed::Start(|world| Options {
            arguments: [
                "--tls-cert",
                world.files.path().join("expired.pem").to_str().unwrap(),
                "--tls-key",
                world.files.path().join("expired.key").to_str().unwrap(),
                "--dev-tls-listen",
                "127.0.0.1:0",
            ]
            .map(str::to_owned)
            .to_vec(),
            ..Options::default()
        }),
    ),
    warns(
        "host.descriptors",
        &["of 600 open", "LimitNOFILE"],
        Seed::Start(|_| Options {
            wrapper: ["prlimit", "--nofile=600:600"].map(str::to_owned).to_vec(),
            ..Options::default()
        }),
    ),
    fails(
        "state.permissions",
        &["has mode 755", "chmod 700"],
        Seed::Later(|_, gateway| {
            Box::pin(async move {
                std::fs::set_permissions(
                    gateway.state_dir(),
                    std::fs::Permissions::from_mode(0o755),
                )
                .unwrap();
            })
        }),
    ),
    fails(
        "state.lock",
        &["second gateway", "restart this gateway"],
        Seed::Later(|_, gateway| {
            Box::pin(async move {
                std::fs::remove_file(gateway.state_dir().join("lock")).unwrap();
            })
        }),
    ),
    fails(
        "gateway.socket",
        &["is missing", "restart the gateway"],
        Seed::Later(|_, gateway| {
            Box::pin(async move {
                std::fs::remove_file(gateway.state_dir().join("control.sock")).unwrap();
            })
        }),
    ),
    fails(
        "gateway.answers",
        &["no answer within 3 s"],
        Seed::Later(|_, gateway| {
            Box::pin(async move {
                gateway.process.signal("STOP").await;
            })
        }),
    ),
    // Without a gateway.
    fails(
        "gateway.running",
        &["none is running", "start it"],
        Seed::Stopped(|_| {}),
    ),
    fails(
        "store.integrity",
        &["damaged", "restore it from a backup"],
        Seed::Stopped(|dir| {
            let path = dir.join("state/aperture.redb");
            let mut bytes = std::fs::read(&path).unwrap();
            bytes[4096..].fill(0xa5);
            std::fs::write(path, bytes).unwrap();
        }),
    ),
    fails(
        "config.file",
        &["can't be used", "aperture check"],
        Seed::Stopped(|dir| {
            std::fs::write(dir.join("aperture.hujson"), "{\"providers\": ").unwrap();
        }),
    ),
];

/// A request that the guard refuses for that header.
async fn refused(gateway: &Gateway, path: &str, header: (&str, &str)) {
    let url = format!("{}{path}", gateway.url);
    let method = if path == "/ui/" {
        Method::GET
    } else {
        Method::POST
    };
    let body = if path == "/ui/" {
        String::new()
    } else {
        message("claude-haiku-4-5", "x", false)
    };
    let answer = http::send(
        method,
        &url,
        &[("content-type", "application/json"), header],
        body,
    )
    .await;
    assert_eq!(answer.status, 403, "{}", answer.text());
}

/// Makes the fault, and asks doctor.
async fn seeded(world: &World, fault: &Fault) -> Found {
    let mut document = world.document();
    let (options, arguments): (Options, &[&str]) = match &fault.seed {
        Seed::Document(change) => {
            change(world, &mut document);
            (Options::default(), &[])
        }
        Seed::Asked(change, arguments) => {
            change(world, &mut document);
            (Options::default(), arguments)
        }
        Seed::Start(options) => (options(world), &[]),
        Seed::Later(_) | Seed::Stopped(_) => (Options::default(), &[]),
    };
    let gateway = Gateway::dev(&document.to_string(), private(options)).await;
    if let Seed::Stopped(change) = &fault.seed {
        let dir = gateway.stop().await;
        change(dir.path());
        return report(dir.path(), arguments).await;
    }
    if let Seed::Later(change) = &fault.seed {
        change(world, &gateway).await;
    }
    report(gateway.dir.path(), arguments).await
}

#[tokio::test]
async fn seeded_faults_are_found_and_named_and_nothing_else_is() {
    let world = World::new().await;
    let done = futures_util::stream::iter(FAULTS)
        .map(async |fault| (fault, seeded(&world, fault).await))
        .buffer_unordered(AT_ONCE);
    let all: Vec<_> = done.collect().await;
    let wrong: Vec<_> = all
        .iter()
        .filter_map(|(fault, found)| found.differs_from(fault))
        .collect();
    assert!(
        wrong.is_empty(),
        "{} of {} faults:\n{}",
        wrong.len(),
        FAULTS.len(),
        wrong.join("\n")
    );
    assert!(FAULTS.len() >= 25);
}

#[tokio::test]
async fn a_healthy_gateway_has_no_fault_and_the_codes_say_how_it_is() {
    let world = World::new().await;
    let gateway = Gateway::dev(&world.document().to_string(), private(Options::default())).await;
    let answer = http::post(
        &format!("{}/v1/messages", gateway.url),
        message("claude-haiku-4-5", "x", false),
    )
    .await;
    assert_eq!(answer.status, 200);
    gateway.finished(1).await;
    let found = report(gateway.dir.path(), &[]).await;
    assert_eq!(found.faults(), Vec::<Value>::new());
    assert_eq!(found.code, Some(0));
    for id in [
        "provider.http",
        "provider.models",
        "clock",
        "store.size",
        "host.descriptors",
        "gateway.version",
    ] {
        assert!(found.has(id, "good"), "{id} in {:#}", found.json);
    }
    // As text: one line for each check, and a sentence at the end.
    let text = gateway.command(&["doctor"]).await;
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.ends_with("\nNothing is wrong.\n"), "{text}");
    let checks = found.json["checks"].as_array().unwrap().len();
    assert_eq!(
        text.lines()
            .filter(|line| line.starts_with("ok    ") || line.starts_with("      "))
            .count(),
        checks,
        "{text}"
    );
    for secret in world::SECRETS {
        assert!(!text.contains(secret) && !found.json.to_string().contains(secret));
    }
    // Where there is nothing to look into, that is said, and is no verdict.
    let nowhere =
        crate::support::gateway::run(Path::new("/does/not/exist"), &["doctor", "--json"]).await;
    assert_eq!(nowhere.status.code(), Some(2));
    assert!(nowhere.stdout.is_empty());
    assert!(String::from_utf8_lossy(&nowhere.stderr).contains("doctor could not look"));
    gateway.stop().await;
}

#[tokio::test]
async fn one_silent_provider_holds_nobody_up_for_long() {
    let world = World::new().await;
    // Accepts, and says nothing.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut document = world.document();
    for n in 0..20 {
        document["providers"][format!("silent-{n}")] = document["providers"]["openai"].clone();
        document["providers"][format!("silent-{n}")]["baseurl"] = json!(url);
    }
    let gateway = Gateway::dev(&document.to_string(), private(Options::default())).await;
    let begun = tokio::time::Instant::now();
    let found = report(gateway.dir.path(), &[]).await;
    assert!(begun.elapsed().as_secs() < 40, "{:?}", begun.elapsed());
    let faults = found.faults();
    assert_eq!(faults.len(), 20, "{faults:?}");
    assert!(
        faults.iter().all(
            |check| check["id"] == "provider.http" && check["detail"] == "no answer within 8 s"
        )
    );
}
