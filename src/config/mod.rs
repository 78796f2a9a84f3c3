//! The settings: one file, read once, validated as a whole, then immutable.
//!
//! Only this part reads the environment. All diagnostics are reported at once, each with its path
//! and a hint, and never with a secret. The type and rules of a section live beside the code that
//! it configures; `[server]`, `[admin]`, `[egress]`, `[log]` and checks across sections are here.

mod admin;
mod egress;
mod interpolate;
mod load;
mod log;
mod overrides;
#[cfg(test)]
mod reference;
mod restart;
mod section;
mod sections;
mod server;
mod settings;

pub use admin::Admin;
pub use egress::Egress;
pub use load::LoadError;
pub use log::RequestLog;
pub use overrides::Overrides;
pub use section::Section;
pub use server::{Server, ServerTlsFiles};
pub use settings::Settings;
