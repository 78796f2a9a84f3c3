#!/usr/bin/env python3
"""Runs coding agents against the gateway, each with providers of four vendors that refuse what their vendors refuse.

A scripted model leads each agent through a loop of tools. A check passes where the agent does its work, no provider
has refused a request, and each answer of the gateway keeps to the vendor's own description of its API. One line per
check; exit status 1 if any check fails. `scripts/test-clients` calls it.
"""

import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys

from stage import Report, command_line, forget_the_environment
from strict.hall import MODELS, Hall, Place, is_run
from strict.model import ContextFull, Loop, Reply, expect

# Of one run of an agent.
LIMIT_S = 90.0
# At a time: agents wait more than they compute.
WORKERS = 3
KEY = "no-key-is-asked-for"
NOTES = "first line\nthe colour is red\nlast line\n"
PICTURE = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415408d763f8cfc0000003010100c9fe92ef"
    "0000000049454e44ae426082"
)
# Checks that are not run, by patterns of their names, and why.
SKIPPED = {
    "codex.* from chat": "Codex always asks for an effort, which a model of OpenAI's that does not think refuses",
}


class ClaudeCode(Loop):
    """Bash and Read at once, Edit, a picture, a sub-agent."""

    def __init__(self, vendor, folder):
        notes, picture = str(folder / "notes.txt"), str(folder / "picture.png")
        edit = {"file_path": notes, "old_string": "colour", "new_string": "color", "replace_all": False}
        task = {
            "description": "Count lines",
            "prompt": "SUBTASK: count the lines of notes.txt",
            "subagent_type": "general-purpose",
            "run_in_background": False,
        }
        steps = [
            [("Bash", {"command": "wc -w notes.txt", "description": "Count words"}), ("Read", {"file_path": notes})],
            [("Edit", edit)],
            [("Read", {"file_path": picture})],
            [[("Agent", task), ("Task", task)]],
        ]
        wants = {1: ["8 notes.txt", "colour"], 2: ["updated"], 4: ["There are 3 lines"]}
        super().__init__(steps, "ALL DONE", wants)
        self.vendor = vendor
        self.subtask = Loop([[("Bash", {"command": "wc -l notes.txt", "description": "Count"})]], "There are 3 lines.", {1: ["3 notes"]})

    def reply(self, conversation):
        if self.vendor != "messages":
            expect("x-anthropic-billing-header" not in conversation.system, "the billing header is another vendor's business")
        if conversation.tools and "SUBTASK" in conversation.first_text():
            self.reached.add("subtask")
            return self.subtask.reply(conversation)
        if conversation.tools and conversation.rounds() == 3:
            expect("image/png" in "".join(conversation.pictures()), "the picture has not arrived")
        return super().reply(conversation)


class ClaudeCodeFull(Loop):
    """A context that is full after the second round."""

    def __init__(self, _vendor, _folder):
        step = [("Bash", {"command": "wc -w notes.txt", "description": "Count words"})]
        super().__init__([step, step], "ALL DONE")

    def reply(self, conversation):
        if "<summary> block" in conversation.first_text():
            self.reached.add("compaction")
            return Reply(text="<summary>FILLED: the words of notes.txt were counted.</summary>")
        if conversation.tools and "compaction" not in self.reached and conversation.rounds() == 2:
            raise ContextFull
        if conversation.tools and "compaction" in self.reached:
            return Reply(text="WENT ON")
        return super().reply(conversation)


PATCH = """*** Begin Patch
*** Update File: notes.txt
@@
 first line
-the colour is red
+the color is red
 last line
*** End Patch
"""


class Codex(Loop):
    """A command, a patch, an MCP server, two commands at once, and a context that is full."""

    def __init__(self, _vendor, _folder):
        steps = [
            [("exec_command", {"cmd": "cat notes.txt"})],
            [("apply_patch", PATCH)],
            # Tools of MCP servers are not told to the model before it searches for them.
            [("tool_search", {"query": "look up a word"})],
            [("look_up", {"word": "answer"})],
            [("exec_command", {"cmd": "wc -l notes.txt"}), ("exec_command", {"cmd": "cat notes.txt"})],
        ]
        super().__init__(steps, "ALL DONE", {1: ["colour"], 3: ["look_up"], 4: ["forty-two"], 5: ["3 notes.txt", "the color"]})

    def reply(self, conversation):
        text = conversation.turns[-1].text
        if "CHECKPOINT" in text:
            self.reached.add("compaction")
            return Reply(text="So far notes.txt was read and patched.")
        if "GO ON" in conversation.first_text():
            expect("compaction" in self.reached, "the conversation goes on without having been compacted")
            return Reply(text="WENT ON")
        if "FILL" in conversation.first_text() and conversation.rounds() == 1:
            raise ContextFull
        return super().reply(conversation)


class GeminiCli(Loop):
    def __init__(self, _vendor, folder):
        notes, picture = str(folder / "notes.txt"), str(folder / "picture.png")
        edit = {
            "file_path": notes,
            "instruction": "Spell it the American way",
            "old_string": "the colour is red",
            "new_string": "the color is red",
        }
        steps = [
            [("run_shell_command", {"command": "wc -w notes.txt"}), ("read_file", {"file_path": notes})],
            [("replace", edit)],
            [("read_file", {"file_path": picture})],
            [("list_directory", {"dir_path": str(folder)})],
        ]
        super().__init__(steps, "ALL DONE", {1: ["8 notes", "colour"], 4: ["picture.png"]})

    def reply(self, conversation):
        if conversation.tools and conversation.rounds() == 3:
            expect("image/png" in "".join(conversation.pictures()), "the picture has not arrived")
        return super().reply(conversation)


class OpenCode(Loop):
    def __init__(self, _vendor, folder):
        notes, picture = str(folder / "notes.txt"), str(folder / "picture.png")
        steps = [
            [("bash", {"command": "wc -w notes.txt", "description": "Count words"}), ("read", {"filePath": notes})],
            # For models of OpenAI's it has another tool.
            [[("edit", {"filePath": notes, "oldString": "colour", "newString": "color"}), ("apply_patch", {"patchText": PATCH})]],
            [("read", {"filePath": picture})],
            [("bash", {"command": "ls", "description": "List files"})],
        ]
        super().__init__(steps, "ALL DONE", {1: ["8 notes", "colour"], 4: ["picture.png"]})


class Run(Place):
    """One agent at one vendor, with a home and a folder to work in."""

    def __init__(self, hall, programs, agent, vendor, script):
        self.home = hall.folder / f"{agent}-{vendor}"
        self.work = self.home / "work"
        self.work.mkdir(parents=True)
        (self.work / "notes.txt").write_text(NOTES)
        (self.work / "picture.png").write_bytes(PICTURE)
        # Agents look for a repository above them, and the one around this is none of their business.
        subprocess.run(["git", "init", "--quiet", str(self.work)], check=False)
        self.programs = programs
        super().__init__(hall, agent, vendor, script(vendor, self.work))

    def run(self, command, environment, limit_s=LIMIT_S):
        """What the agent prints."""
        kept = {
            "PATH": f"{self.programs}:{os.environ['PATH']}",
            "HOME": str(self.home),
            "TERM": "dumb",
            "CI": "1",
            # Nobody listens there: what is not on this machine cannot be reached.
            "HTTP_PROXY": "http://127.0.0.1:9",
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "NO_PROXY": "127.0.0.1,localhost",
            "DO_NOT_TRACK": "1",
        }
        ended = subprocess.run(
            command,
            cwd=self.work,
            env=kept | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
        )
        return ended.stdout + ended.stderr

    def is_done(self, printed):
        expect("ALL DONE" in printed, f"the agent printed:\n{printed[-3000:]}")
        expect(len(self.script.steps) in self.script.reached, f"steps {self.script.reached}")


def claude_environment(run):
    return {
        "ANTHROPIC_BASE_URL": run.base_url,
        "ANTHROPIC_AUTH_TOKEN": KEY,
        "ANTHROPIC_MODEL": run.model,
        "ANTHROPIC_DEFAULT_HAIKU_MODEL": run.model,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "1",
        "DISABLE_AUTOUPDATER": "1",
        "DISABLE_TELEMETRY": "1",
        "DISABLE_ERROR_REPORTING": "1",
        # It does not skip its questions as root otherwise.
        "IS_SANDBOX": "1",
    }


CLAUDE = ["claude", "--dangerously-skip-permissions", "-p"]


def claude_code(run):
    printed = run.run([*CLAUDE, "Do the four steps."], claude_environment(run))
    run.judge(printed)
    run.is_done(printed)
    expect("subtask" in run.script.reached, "the sub-agent was never asked")
    expect("color" in (run.work / "notes.txt").read_text(), "the file was not edited")


def claude_code_full_context(run):
    printed = run.run([*CLAUDE, "Count the words."], claude_environment(run))
    run.judge(printed, may_fail=True)
    expect("WENT ON" in printed, f"Claude Code does not go on:\n{printed[-2000:]}")
    expect("compaction" in run.script.reached, "the conversation goes on without having been compacted")


def codex_home(run):
    """Codex as an operator would set it up: the route says which provider and model it is."""
    home = run.home / ".codex"
    home.mkdir()
    (home / "config.toml").write_text(
        f'''model = "gpt-5.5"
model_provider = "ringgate"
check_for_update_on_startup = false

[model_providers.ringgate]
name = "Ringgate"
base_url = "{run.base_url}/v1"
wire_api = "responses"
env_key = "RINGGATE_KEY"
http_headers = {{ "x-ringgate-config" = "{run.name}" }}
request_max_retries = 0
stream_max_retries = 0

[mcp_servers.notes]
command = "{sys.executable}"
args = ["{pathlib.Path(__file__).with_name("mcp_server.py").resolve()}"]

[analytics]
enabled = false

[feedback]
enabled = false
'''
    )
    return {"RINGGATE_KEY": KEY, "CODEX_HOME": str(home)}


CODEX = ["codex", "exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"]


def codex(run):
    environment = codex_home(run)
    printed = run.run([*CODEX, "Do the four steps."], environment)
    run.judge(printed)
    run.is_done(printed)
    expect("the color" in (run.work / "notes.txt").read_text(), "the file was not patched")


def codex_full_context(run):
    environment = codex_home(run)
    printed = run.run([*CODEX, "FILL the context."], environment)
    run.judge(printed, may_fail=True)
    expect("ran out of room" in printed, f"Codex does not know that its context is full:\n{printed[-2000:]}")
    printed = run.run([*CODEX, "resume", "--last", "GO ON."], environment)
    run.judge(printed, may_fail=True)
    expect("WENT ON" in printed, f"Codex does not go on:\n{printed[-2000:]}")


def gemini_cli(run):
    home = run.home / ".gemini"
    home.mkdir()
    settings = {
        "security": {"auth": {"selectedType": "gemini-api-key"}, "folderTrust": {"enabled": False}},
        "general": {"disableAutoUpdate": True, "enableAutoUpdate": False, "disableUpdateNag": True},
        "privacy": {"usageStatisticsEnabled": False},
        "telemetry": {"enabled": False},
    }
    (home / "settings.json").write_text(json.dumps(settings))
    environment = {
        "GEMINI_API_KEY": KEY,
        "GOOGLE_GEMINI_BASE_URL": run.base_url,
        "GEMINI_CLI_CUSTOM_HEADERS": f"x-ringgate-config: {run.name}",
    }
    printed = run.run(["gemini", "-m", "gemini-3-pro-preview", "--yolo", "--skip-trust", "-p", "Do the four steps."], environment)
    run.judge(printed)
    run.is_done(printed)
    expect("the color" in (run.work / "notes.txt").read_text(), "the file was not edited")


def opencode(run):
    options = {"baseURL": f"{run.base_url}/v1", "apiKey": KEY}
    capabilities = {"attachment": True, "tool_call": True, "modalities": {"input": ["text", "image"], "output": ["text"]}}
    settings = {
        "share": "disabled",
        "autoupdate": False,
        "permission": "allow",
        "provider": {"ringgate": {"npm": "@ai-sdk/openai-compatible", "options": options, "models": {run.model: capabilities}}},
    }
    (run.work / "opencode.json").write_text(json.dumps(settings))
    environment = {"OPENCODE_DISABLE_MODELS_FETCH": "1", "OPENCODE_DISABLE_AUTOUPDATE": "1", "OPENCODE_DISABLE_LSP_DOWNLOAD": "1"}
    printed = run.run(["opencode", "run", "-m", f"ringgate/{run.model}", "Do the four steps."], environment)
    run.judge(printed)
    run.is_done(printed)
    expect("the color" in (run.work / "notes.txt").read_text(), "the file was not edited")


# Name, program, script, check.
AGENTS = [
    ("claude-code", "claude", ClaudeCode, claude_code),
    ("claude-code-full", "claude", ClaudeCodeFull, claude_code_full_context),
    ("codex", "codex", Codex, codex),
    ("codex-full", "codex", Codex, codex_full_context),
    ("gemini-cli", "gemini", GeminiCli, gemini_cli),
    ("opencode", "opencode", OpenCode, opencode),
]


def works(program):
    """True if the program starts: its package may be there without the part that is for this machine."""
    try:
        return subprocess.run([program, "--version"], capture_output=True, timeout=LIMIT_S, check=False).returncode == 0
    except OSError:
        return False


def main():
    arguments = command_line(
        __doc__,
        agents="folder with node_modules, where the agents are",
        folder="folder for the homes of the agents; emptied",
        descriptions="folder that keeps the vendors' descriptions in a form that is quick to read",
    )
    forget_the_environment()
    report = Report()
    programs = pathlib.Path(arguments.agents).resolve() / "node_modules" / ".bin"
    hall = Hall(arguments.folder, arguments.descriptions, [agent for agent, *_ in AGENTS])
    with hall.open(arguments.ringgate), concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        for agent, program, script, check in AGENTS:
            if not works(programs / program):
                print(f"skip {agent}: npm has no program for this machine", flush=True)
                continue
            for vendor in MODELS:
                name = f"{agent} from {vendor}"
                if is_run(name, SKIPPED):
                    # A place is made here, since the tables of places are not for several threads.
                    pool.submit(report.check, name, check, Run(hall, programs, agent, vendor, script))
    return report.exit_status()


if __name__ == "__main__":
    sys.exit(main())
