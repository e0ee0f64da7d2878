"""Recomputes AWS signatures with botocore, which shares no code with the gateway.

Reads one JSON object a line: method, url, headers (name and value, as they arrived), body (base64), access_key, secret_key,
token, region, service. Prints one line for each: "ok", or what differs.
"""

import base64
import json
import sys

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials


def verify(case):
    headers = {name.lower(): value for name, value in case["headers"]}
    sent = headers.get("authorization", "")
    if not sent.startswith("AWS4-HMAC-SHA256 "):
        return "there is no signature"
    parts = dict(part.strip().split("=", 1) for part in sent.split(" ", 1)[1].split(","))
    signed = parts["SignedHeaders"].split(";")
    for name in headers:
        if name.startswith("x-amz-") and name not in signed:
            return f"{name} is not signed"
    if "host" not in signed or "x-amz-date" not in signed:
        return "host or date is not signed"
    if (case["token"] or None) != headers.get("x-amz-security-token"):
        return "the session token is not the one of the keys"
    request = AWSRequest(
        method=case["method"],
        url=case["url"],
        headers={name: headers[name] for name in signed},
        data=base64.b64decode(case["body"]),
    )
    request.context["timestamp"] = headers["x-amz-date"]
    keys = Credentials(case["access_key"], case["secret_key"], case["token"] or None)
    auth = SigV4Auth(keys, case["service"], case["region"])
    canonical = auth.canonical_request(request)
    text = auth.string_to_sign(request, canonical)
    if parts["Credential"] != auth.scope(request):
        return f"the scope is {auth.scope(request)}, not {parts['Credential']}"
    signature = auth.signature(text, request)
    if signature != parts["Signature"]:
        return "another signature, of " + canonical.replace("\n", "|")
    return "ok"


for line in sys.stdin:
    print(verify(json.loads(line)), flush=True)
