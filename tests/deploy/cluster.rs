//! A stand-in of the Kubernetes API: one namespace with one Secret, over TLS, with a role that is enforced.

use parking_lot::Mutex;
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{PrivateKeyDer, pem::PemObject as _},
};
use serde_json::{Map, Value, json};
use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::Arc,
};

/// The Secret that the role is for.
pub(super) const SECRET: &str = "ai-node";
/// What the role permits on it: the verbs of deploy/kubernetes/secret-state/rbac.yaml.
const VERBS: [&str; 3] = ["get", "update", "patch"];
const NAMESPACE: &str = "models";
const TOKEN: &str = "token-of-the-pod";

/// A running API server.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) port: u16,
    certificate: String,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// `data` of the Secret, once there is any.
    data: Option<Map<String, Value>>,
    /// Requests beside the questions what is permitted.
    requests: Vec<String>,
}

impl Cluster {
    /// Serves until the process ends. The Secret is there, without data, as the manifests make it.
    pub(super) fn start() -> Self {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = made.signing_key.serialize_pem();
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let settings = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let settings = Arc::new(settings);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::<Mutex<State>>::default();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let session = ServerConnection::new(Arc::clone(&settings)).unwrap();
                let state = Arc::clone(&shared);
                std::thread::spawn(move || serve(StreamOwned::new(session, stream), &state));
            }
        });
        Self {
            port,
            certificate: made.cert.pem(),
            state,
        }
    }

    /// Writes what Kubernetes mounts into every pod.
    pub(super) fn service_account(&self, dir: &Path) {
        for (name, text) in [
            ("namespace", NAMESPACE),
            ("token", TOKEN),
            ("ca.crt", &self.certificate),
        ] {
            std::fs::write(dir.join(name), text).unwrap();
        }
    }

    /// The names of what the Secret holds.
    pub(super) fn keys(&self) -> Vec<String> {
        let state = self.state.lock();
        let data = state.data.as_ref();
        data.map(|data| data.keys().cloned().collect())
            .unwrap_or_default()
    }

    pub(super) fn requests(&self) -> Vec<String> {
        self.state.lock().requests.clone()
    }
}

/// Answers requests of one connection, one after the other.
fn serve(stream: StreamOwned<ServerConnection, TcpStream>, state: &Mutex<State>) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            match stream.read_line(&mut head) {
                Ok(1..) => {}
                _ => return,
            }
        }
        let field = |name: &str| {
            head.lines()
                .filter_map(|line| line.split_once(": "))
                .find(|(key, _)| key.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.to_owned())
        };
        let length = field("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        if stream.read_exact(&mut body).is_err() {
            return;
        }
        let (status, answer) = if field("authorization") == Some(format!("Bearer {TOKEN}")) {
            let mut words = head.split(' ');
            let (method, path) = (words.next().unwrap(), words.next().unwrap());
            let body = serde_json::from_slice(&body).unwrap_or_default();
            respond(state, method, path, &body)
        } else {
            refusal(401)
        };
        let answer = answer.to_string();
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            answer.len()
        );
        let out = stream.get_mut();
        if out.write_all(format!("{head}{answer}").as_bytes()).is_err() {
            return;
        }
    }
}

fn refusal(code: u16) -> (u16, Value) {
    (
        code,
        json!({"kind": "Status", "status": "Failure", "code": code, "message": format!("refused: {code}")}),
    )
}

fn permitted(verb: &str, name: &str) -> bool {
    VERBS.contains(&verb) && name == SECRET
}

fn respond(state: &Mutex<State>, method: &str, path: &str, body: &Value) -> (u16, Value) {
    if path == "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews" {
        let asked = &body["spec"]["resourceAttributes"];
        let allowed = asked["namespace"] == NAMESPACE
            && asked["resource"] == "secrets"
            && permitted(
                asked["verb"].as_str().unwrap_or_default(),
                asked["name"].as_str().unwrap_or_default(),
            );
        return (201, json!({"status": {"allowed": allowed}}));
    }
    let mut state = state.lock();
    state.requests.push(format!("{method} {path}"));
    let verb = match method {
        "GET" => "get",
        "PUT" => "update",
        "PATCH" => "patch",
        "POST" => "create",
        _ => "delete",
    };
    let secrets = format!("/api/v1/namespaces/{NAMESPACE}/secrets/");
    let Some(name) = path
        .strip_prefix(&secrets)
        .filter(|name| permitted(verb, name))
    else {
        return refusal(403);
    };
    match verb {
        "update" => state.data = body["data"].as_object().cloned(),
        "patch" => {
            for step in body.as_array().unwrap() {
                patch(&mut state.data, step);
            }
        }
        _ => {}
    }
    let mut secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}});
    if let Some(data) = &state.data {
        secret["data"] = json!(data);
    }
    (200, secret)
}

/// One step of a JSON patch on the Secret's data.
fn patch(data: &mut Option<Map<String, Value>>, step: &Value) {
    let path = step["path"].as_str().unwrap();
    match (step["op"].as_str().unwrap(), path.strip_prefix("/data/")) {
        ("add" | "replace", None) => *data = step["value"].as_object().cloned(),
        ("add" | "replace", Some(key)) => {
            let data = data.as_mut().expect("a patch below data that is not there");
            data.insert(key.to_owned(), step["value"].clone());
        }
        (_, key) => {
            data.as_mut().unwrap().remove(key.unwrap());
        }
    }
}
