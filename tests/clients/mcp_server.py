#!/usr/bin/env python3
"""An MCP server on standard input and output with one tool, for the agents that are checked."""

import json
import sys

TOOL = {
    "name": "look_up",
    "description": "Looks up a word",
    "inputSchema": {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]},
}


def result(method, params):
    if method == "initialize":
        return {
            "protocolVersion": params["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "notes", "version": "1"},
        }
    if method == "tools/list":
        return {"tools": [TOOL]}
    if method == "tools/call":
        return {"content": [{"type": "text", "text": f"meaning of {params['arguments']['word']}: forty-two"}]}
    return {}


for line in sys.stdin:
    message = json.loads(line)
    if "id" in message:
        answer = {"jsonrpc": "2.0", "id": message["id"], "result": result(message["method"], message.get("params") or {})}
        print(json.dumps(answer), flush=True)
