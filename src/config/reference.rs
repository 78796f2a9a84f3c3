//! Generates the reference page and the example file from the types of the settings.
//!
//! Both are committed under `docs/`; the tests below compare them, and rewrite them if
//! `RINGGATE_BLESS` is 1.

use std::fmt::Write;

use serde_json::Value;

use super::admin::AdminSettings;
use super::egress::EgressSettings;
use super::log::LogSettings;
use super::server::ServerSettings;
use crate::base::{Member, Schema, assert_page_is_current};
use crate::cache::{CacheSettings, SemanticSettings};
use crate::keys::KeySettings;
use crate::llm::ModelSettings;
use crate::providers::{PRESETS, ProviderSettings};
use crate::routing::RouteSettings;

/// One section of the file.
pub(super) struct Section {
    /// Its heading on the page.
    pub(super) title: &'static str,
    /// Its header in the example file.
    example: &'static str,
    pub(super) shape: Schema,
}

/// All sections, in the order of the page.
pub(super) fn sections() -> [Section; 10] {
    let section = |title, example, shape| Section { title, example, shape };
    [
        section("server", "server", Schema::of::<ServerSettings>()),
        section("admin", "admin", Schema::of::<AdminSettings>()),
        section("egress", "egress", Schema::of::<EgressSettings>()),
        section("log", "log", Schema::of::<LogSettings>()),
        section("cache", "cache", Schema::of::<CacheSettings>()),
        section("semantic_cache", "semantic_cache", Schema::of::<SemanticSettings>()),
        section("providers.NAME", "providers.openai-prod", Schema::of::<ProviderSettings>()),
        section(
            "catalogue.PROVIDER.\"MODEL\"",
            "catalogue.openai-prod.\"gpt-4o\"",
            Schema::of::<ModelSettings>(),
        ),
        section("keys.NAME", "keys.team-a", Schema::of::<KeySettings>()),
        section("routes.NAME", "routes.support", Schema::of::<RouteSettings>()),
    ]
}

const INTRODUCTION: &str = "\
# Settings

Ringgate reads one TOML file: `--config FILE`, else `./ringgate.toml` if it exists, else none.
`ringgate check` shows every problem in it. An example with all settings is
[ringgate.example.toml](ringgate.example.toml).

- Unknown names are refused, so that a misspelt setting is not silently ignored.
- In every text, `${NAME}` stands for an environment variable and `${file:PATH}` for a file,
  without the line end at its end. One that is missing is a problem. `$${` stands for `${`.
- Relative paths start at the directory of the settings file.
- A NAME is 1 to 64 of `a-z`, `0-9`, `.`, `_` and `-`, of which the first is a letter or digit.
- SIGHUP reads the file again. The new settings replace the old ones as a whole: a file with a problem, or
  with another value for a setting whose change needs a restart, changes nothing, and the message on
  standard error names every such setting.
- With no file, or a file that names no provider, there is the built-in provider `echo`, and one
  provider for each variable of the list at the end of this page that is set.

This page is made from the source; `RINGGATE_BLESS=1 cargo test reference` rewrites it.
";

/// The reference page: a table for each section, then the presets.
fn page() -> String {
    let mut out = INTRODUCTION.to_owned();
    for section in sections() {
        page_section(&mut out, &format!("[{}]", section.title), section.title, &section.shape);
    }
    let _ = write!(out, "\n## Presets\n\n`echo` is built in besides.\n\n");
    out.push_str(
        "| preset | dialect | base URL | variable | note |\n| --- | --- | --- | --- | --- |\n",
    );
    for preset in PRESETS.iter() {
        let variable = preset.env.as_ref().map(|name| format!("`{name}`")).unwrap_or_default();
        let url = if preset.base_url.is_empty() { "" } else { &format!("`{}`", preset.base_url) };
        let (slug, dialect, note) = (&preset.slug, preset.dialect.name(), cell(&preset.note));
        let _ = writeln!(out, "| `{slug}` | `{dialect}` | {url} | {variable} | {note} |");
    }
    out
}

fn page_section(out: &mut String, title: &str, path: &str, shape: &Schema) {
    let text = shape.text();
    let _ = write!(out, "\n## `{title}`\n\n{text}\n\n");
    out.push_str("| name | takes | default | meaning |\n| --- | --- | --- | --- |\n");
    let members: Vec<Member> = shape.members().collect();
    for member in &members {
        let default = match &member.default {
            Some(value) => format!("`{}`", toml_text(value)),
            None => String::new(),
        };
        let (name, takes, text) = (&member.name, cell(&member.takes), cell(&meaning(member)));
        let _ = writeln!(out, "| `{name}` | {takes} | {default} | {text} |");
    }
    for member in &members {
        if let Some(table) = &member.table {
            let path = format!("{path}.{}", member.name);
            let title = if member.is_list { format!("[[{path}]]") } else { format!("[{path}]") };
            page_section(out, &title, &path, table);
        }
    }
}

/// The example file with every setting: those with an example value are set, the rest is commented
/// out.
fn example() -> String {
    let mut out = String::from(
        "# Every setting of Ringgate. What is commented out shows its default, or `…` where it has none.\n\
         # docs/settings.md says more. `${NAME}` reads the environment, `${file:PATH}` a file.\n",
    );
    for section in sections() {
        let _ = write!(out, "\n[{}]\n", section.example);
        let members: Vec<Member> = section.shape.members().collect();
        for member in
            members.iter().filter(|member| member.table.is_none() || member.example.is_some())
        {
            example_member(&mut out, member);
        }
        for member in members.iter().filter(|member| member.example.is_none()) {
            let Some(table) = &member.table else { continue };
            let path = format!("{}.{}", section.example, member.name);
            let title = if member.is_list { format!("[[{path}]]") } else { format!("[{path}]") };
            let _ = write!(out, "\n# {}\n# {title}\n", member.text);
            table.members().for_each(|member| example_member(&mut out, &member));
        }
    }
    out
}

fn example_member(out: &mut String, member: &Member) {
    out.push('\n');
    for line in wrap(&meaning(member), 96) {
        let _ = writeln!(out, "# {line}");
    }
    let name = &member.name;
    let _ = match (&member.example, &member.default) {
        (Some(value), _) => writeln!(out, "{name} = {}", toml_text(value)),
        (None, Some(value)) => writeln!(out, "# {name} = {}", toml_text(value)),
        (None, None) => writeln!(out, "# {name} = …"),
    };
}

fn meaning(member: &Member) -> String {
    let restart = if member.needs_restart { " A change needs a restart." } else { "" };
    format!("{}{restart}", member.text)
}

fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// A value as TOML on one line. A JSON string is a valid TOML basic string.
fn toml_text(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            format!("[{}]", items.iter().map(toml_text).collect::<Vec<_>>().join(", "))
        }
        Value::Object(members) if members.is_empty() => "{}".to_owned(),
        Value::Object(members) => {
            let members: Vec<String> = members
                .iter()
                .map(|(name, value)| format!("{name} = {}", toml_text(value)))
                .collect();
            format!("{{ {} }}", members.join(", "))
        }
        other => other.to_string(),
    }
}

#[test]
fn settings_reference_page_is_current() {
    assert_page_is_current("settings.md", &page(), "reference");
}

#[test]
fn example_reference_file_is_current() {
    assert_page_is_current("ringgate.example.toml", &example(), "reference");
}

#[test]
fn every_setting_has_a_description() {
    fn explained(path: &str, shape: &Schema) {
        for member in shape.members() {
            let path = format!("{path}.{}", member.name);
            assert!(
                member.text.len() > 10 && member.text.ends_with('.'),
                "{path}: {}",
                member.text
            );
            member.table.iter().for_each(|table| explained(&path, table));
        }
    }
    for section in sections() {
        assert!(!section.shape.text().is_empty(), "{}", section.title);
        explained(section.title, &section.shape);
    }
}

#[test]
fn example_file_is_valid() {
    let environment = |name: &str| match name {
        "OPENAI_API_KEY" | "TEAM_A_KEY" => Some("a-secret".to_owned()),
        _ => None,
    };
    let directory = std::env::temp_dir().join(format!("ringgate-example-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory for the test");
    let file = directory.join("ringgate.toml");
    std::fs::write(&file, example()).expect("a file for the test");
    let settings = super::Settings::load(Some(&file), &environment).expect("the example is good");
    std::fs::remove_dir_all(&directory).expect("the directory is ours");
    assert!(settings.provider("openai-prod").is_some());
    assert!(settings.routes.find("support").is_some());
    assert_eq!(settings.keys.iter().count(), 1);
}
