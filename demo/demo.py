#!/usr/bin/env python3
"""A private tailnet on this machine, the gateway on it, and people who call it.

Starts the lab (tests/tailnet-lab), the scripted provider (bench/provider) and the gateway, makes some sessions by real
requests, and prints for each person a loopback address that is the gateway as that person. With --check it runs the sample
commands, compares the answers, and ends. Nothing leaves the machine.
"""

import argparse
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

PEOPLE = {
    "alice": "alice@example.com, admin, may use every model",
    "bob": "bob@example.com, may use the fast tier only",
    "ci": "a tagged node (tag:ci), may use OpenAI-style models",
}

TOPOLOGY = {
    "users": [
        {"login": "alice@example.com", "display": "Alice"},
        {"login": "bob@example.com", "display": "Bob"},
        {"login": "prometheus@example.com", "display": "Prometheus"},
    ],
    "authKeys": {"tskey-auth-demo": {"hostname": "ai"}},
    "nodes": [
        {"name": "ai", "external": True, "user": "alice@example.com", "tags": ["tag:aperture"]},
        {"name": "alice", "user": "alice@example.com", "forward": ["ai:80", "ai:9090"]},
        {"name": "bob", "user": "bob@example.com", "forward": ["ai:80"]},
        {"name": "ci", "user": "alice@example.com", "tags": ["tag:ci"], "forward": ["ai:80"]},
    ],
    # Grants may stand in the tailnet policy as well as in the document: this one makes alice an admin.
    "grants": [
        {
            "src": ["alice@example.com"],
            "dst": ["tag:aperture"],
            "app": {"tailscale.com/cap/aperture": [{"role": "admin"}, {"models": "**"}]},
        }
    ],
}

CONFIG = """// The demo's configuration: one scripted provider under several names.
{
  "providers": {
    "anthropic-fast": {
      "name": "Anthropic (fast tier)",
      "baseurl": "%(provider)s",
      "authorization": {"type": "x-api-key", "value": "sk-ant-demo-0123456789"},
      "models": ["claude-haiku-4-5-20251001", "claude-haiku-4-5"],
      "compatibility": {"anthropic_messages": true},
    },
    "anthropic-power": {
      "name": "Anthropic (power tier)",
      "baseurl": "%(provider)s",
      "authorization": {"type": "x-api-key", "value": "sk-ant-demo-0123456789"},
      "models": ["claude-opus-4-5", "claude-sonnet-4-5"],
      "compatibility": {"anthropic_messages": true},
    },
    "openai": {
      "name": "OpenAI",
      "baseurl": "%(provider)s",
      "authorization": {"type": "Bearer", "value": "sk-demo-0123456789"},
      "models": ["gpt-4o", "gpt-4o-mini", "gpt-5"],
      "compatibility": {"openai_chat": true, "openai_responses": true},
    },
    // A model server on a tailnet node: reached through the tailnet, never through the host's network.
    "private-llm": {
      "name": "Self-hosted",
      "baseurl": "http://llm:8080",
      "tailnet": true,
      "models": ["llama-3.1-70b"],
      "compatibility": {"openai_chat": true},
    },
  },
  "temp_grants": [
    {"src": ["bob@example.com"],
     "grants": [{"role": "user"}, {"providers": [{"provider": "anthropic-fast", "model": "*"}]}]},
    {"src": ["tag:ci"],
     "grants": [{"role": "user"}, {"providers": [{"provider": "openai", "model": "*"}, {"provider": "private-llm", "model": "*"}]}]},
  ],
}
"""


class Failed(Exception):
    """The demo could not go on; its text says why."""


class Child:
    """A process of ours that announces itself by one line of JSON, and ends with our end of its standard input."""

    def __init__(self, name, command, log_dir, env=None, ready=True, stdin=True):
        self.name = name
        self.log = open(log_dir / f"{name}.log", "wb")
        self.process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE if ready else self.log,
            stderr=self.log,
            env=env,
            start_new_session=True,
        )
        self.ready = None
        if ready:
            line = self.process.stdout.readline()
            if not line:
                raise Failed(f"{name} did not start; its log is {self.log.name}:\n{self.tail()}")
            self.ready = json.loads(line)

    def tail(self):
        self.log.flush()
        return "".join(open(self.log.name, errors="replace").readlines()[-15:])

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(12)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()


def joining_environment(home):
    """What a process needs that joins a tailnet on a machine without other networks."""
    return dict(
        os.environ,
        HOME=str(home),
        TS_ASSUME_NETWORK_UP_FOR_TEST="1",
        TS_NO_LOGS_NO_SUPPORT="true",
        TS_DISABLE_PORTMAPPER="1",
        TS_DISABLE_UPNP="1",
        TS_PANIC_IF_HIT_MAIN_CONTROL="1",
    )


def call(url, body=None, headers=None, timeout=30):
    """Status, headers and body; refusals are answers, too."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, dict({"content-type": "application/json"}, **(headers or {})))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=timeout) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


def messages(model, text, **more):
    return dict({"model": model, "max_tokens": 64, "messages": [{"role": "user", "content": text}]}, **more)


def chat(model, text, **more):
    return dict({"model": model, "messages": [{"role": "user", "content": text}]}, **more)


def wait_until_serving(url, gateway):
    """The node joins, a path to it is found, and it answers; the gateway says by itself when it serves."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if gateway.process.poll() is not None:
            raise Failed(f"the gateway ended:\n{gateway.tail()}")
        try:
            if call(url + "/", timeout=5)[0] < 500:
                return
        except OSError:
            time.sleep(0.1)
    raise Failed(f"the gateway did not answer within a minute:\n{gateway.tail()}")


def history(bin_dir, state):
    """Three months that never were, so that every page has something to show. The lab numbers users as they are listed."""
    state.mkdir(mode=0o700)
    people = ["user:1=alice@example.com", "user:2=bob@example.com", "tags:tag:ci=tag:ci"]
    command = [bin_dir / "examples/history", "--state-dir", state, "--requests", "6000", "--sessions", "160", "--people", "14"]
    subprocess.run(command + [part for person in people for part in ("--person", person)], check=True, stdout=subprocess.DEVNULL)


def sessions(base):
    """Some conversations, so that the pages have something to show."""
    for who, model, topic in [
        ("alice", "claude-opus-4-5", "Plan the migration of the billing service"),
        ("alice", "claude-sonnet-4-5", "Explain the failing test in payments"),
        ("bob", "claude-haiku-4-5", "Write a commit message for this diff"),
    ]:
        history = []
        for turn in range(3):
            history.append({"role": "user", "content": topic if turn == 0 else f"Go on with step {turn}"})
            _, _, text = call(base[who] + "/v1/messages", {"model": model, "max_tokens": 200, "messages": history})
            content = json.loads(text).get("content", [{"type": "text", "text": "…"}])
            history.append({"role": "assistant", "content": content})
    for text in ["Summarise the nightly build", "Label this issue"]:
        call(base["ci"] + "/v1/chat/completions", chat("gpt-4o-mini", text))
    call(base["ci"] + "/v1/responses", {"model": "gpt-5", "input": "Review the change in src/main.rs"})
    call(base["ci"] + "/v1/chat/completions", chat("llama-3.1-70b", "Hello from the tailnet"))


def checks(base, metrics):
    """(what, whether it is so) for everything that the demo promises."""
    hello = "respond with: hello"

    status, _, text = call(base["alice"] + "/v1/messages", messages("claude-haiku-4-5-20251001", hello, max_tokens=25))
    yield "alice calls an Anthropic-style model without a key", status == 200 and json.loads(text)["type"] == "message"

    status, _, text = call(base["alice"] + "/v1/chat/completions", chat("gpt-4o", hello))
    yield "alice calls an OpenAI-style model without a key", status == 200 and json.loads(text)["choices"]

    status, head, text = call(base["bob"] + "/v1/messages", messages("claude-haiku-4-5", hello, stream=True))
    yield "bob streams from the fast tier", (
        status == 200 and head["content-type"].startswith("text/event-stream") and "event: message_stop" in text
    )

    status, _, text = call(base["bob"] + "/v1/messages", messages("claude-opus-4-5", hello))
    yield "for bob the power tier does not exist", status == 404 and json.loads(text)["error"]["type"] == "not_found_error"

    status, _, text = call(base["ci"] + "/v1/responses", {"model": "gpt-5", "input": hello})
    yield "the CI node uses the responses format", status == 200 and json.loads(text)["object"] == "response"

    status, _, text = call(base["ci"] + "/v1/chat/completions", chat("llama-3.1-70b", hello))
    yield "the CI node reaches a model server on the tailnet", status == 200 and json.loads(text)["choices"]

    status, _, text = call(base["bob"] + "/v1/messages", messages("claude-opus-4-5", hello), {"tailscale-user-login": "alice@example.com"})
    yield "a forged identity header changes nothing", status == 404

    status, _, page = call(base["alice"] + "/ui/")
    yield "alice's pages show everybody", status == 200 and "bob@example.com" in page

    status, _, page = call(base["bob"] + "/ui/")
    yield "bob's pages show bob only", status == 200 and "alice@example.com" not in page

    status, _, text = call(base["bob"] + "/ui/settings/")
    yield "bob may not see the settings", status in (403, 404)

    status, _, text = call(metrics + "/metrics")
    yield "the metrics count the requests", status == 200 and 'aperture_requests_total{' in text


def run(options):
    with tempfile.TemporaryDirectory(prefix="aperture-demo-") as temporary:
        root = pathlib.Path(temporary)
        children = []

        def start(*args, **kwargs):
            children.append(Child(*args, **kwargs))
            return children[-1]

        try:
            bin_dir = pathlib.Path(options.bin)
            provider = start("provider", [bin_dir / "scripted-provider", "--exit-with-stdin"], root)
            topology = dict(TOPOLOGY)
            address = provider.ready["url"].removeprefix("http://")
            topology["nodes"] = TOPOLOGY["nodes"] + [
                {"name": "llm", "user": "alice@example.com", "tags": ["tag:llm"], "serve": {"8080": address}}
            ]
            (root / "topology.json").write_text(json.dumps(topology))
            lab = start("lab", [options.lab, "-topology", root / "topology.json", "-exit-with-stdin"], root)
            (root / "aperture.hujson").write_text(CONFIG % {"provider": provider.ready["url"]})
            (root / "key").write_text("tskey-auth-demo")
            history(bin_dir, root / "state")
            gateway = start(
                "gateway",
                [bin_dir / "aperture", "--hostname", "ai", "--state-dir", root / "state",
                 "--config", root / "aperture.hujson", "--control-url", lab.ready["controlURL"],
                 "--auth-key-file", root / "key", "--allow-local-upstreams"],
                root, env=joining_environment(root), ready=False, stdin=False,
            )
            base, metrics = {}, None
            for forward in lab.ready["forwards"]:
                url = "http://" + forward["listen"]
                if forward["to"].endswith(":9090"):
                    metrics = url
                else:
                    base[forward["node"]] = url
            wait_until_serving(base["alice"], gateway)
            sessions(base)
            if options.check:
                return report(checks(base, metrics), gateway)
            explain(base, metrics, root)
            while all(child.process.poll() is None for child in children):
                time.sleep(0.5)
            for child in children:
                if child.process.poll() is not None:
                    raise Failed(f"{child.name} ended:\n{child.tail()}")
        finally:
            for child in reversed(children):
                child.stop()
    return 0


def report(results, gateway):
    """Prints each check; the number of failures is the exit status."""
    failed = 0
    for what, good in results:
        print(("ok    " if good else "FAIL  ") + what, flush=True)
        failed += not good
    if failed:
        print(gateway.tail(), file=sys.stderr)
    print(f"demo-check: {'all good' if not failed else f'{failed} failed'}")
    return min(failed, 1)


def explain(base, metrics, root):
    """What people can do now."""
    print("\nThe gateway is on a private tailnet of its own. Each address is the gateway as that person:\n")
    for who, what in PEOPLE.items():
        print(f"  {who:6} {base[who]}    {what}")
    print(f"""
  pages    {base['alice']}/ui/        metrics  {metrics}/metrics
  config   {root}/aperture.hujson (edit it: it is reloaded)

Try:

  curl -s {base['alice']}/v1/messages -H 'content-type: application/json' \\
    -d '{{"model":"claude-haiku-4-5-20251001","max_tokens":25,"messages":[{{"role":"user","content":"respond with: hello"}}]}}'

  curl -s {base['ci']}/v1/chat/completions -H 'content-type: application/json' \\
    -d '{{"model":"gpt-4o","messages":[{{"role":"user","content":"respond with: hello"}}]}}'

  curl -sN {base['bob']}/v1/messages -H 'content-type: application/json' \\
    -d '{{"model":"claude-haiku-4-5","max_tokens":99,"stream":true,"messages":[{{"role":"user","content":"count to ten"}}]}}'

  ANTHROPIC_BASE_URL={base['alice']} ANTHROPIC_AUTH_TOKEN=- claude

The model is scripted: it answers at once, in its own words. What the pages show of the days before today is made up
(bench/history), by programs and not by people. Ctrl-C ends everything.
""", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True, help="directory of aperture and scripted-provider")
    parser.add_argument("--lab", required=True, help="the lab's binary")
    parser.add_argument("--check", action="store_true", help="run the checks and end")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return run(options)
    except KeyboardInterrupt:
        return 130
    except Failed as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
