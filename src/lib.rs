//! Ringgate, an AI gateway: one thread per core, nothing shared on the request line.
//!
//! The modules stand in reading order, from the ground up; what follows is the house's own page.
#![doc = include_str!("README.md")]
#![cfg_attr(
    test,
    allow(
        clippy::string_slice,
        clippy::cast_possible_truncation,
        reason = "a test fails by panicking"
    )
)]

pub mod base;
pub mod shard;

pub mod http;
pub mod inference;
pub mod llm;

pub mod dialects;
pub mod telemetry;

pub mod cache;
pub mod keys;
pub mod providers;
pub mod routing;

pub mod config;
pub mod credentials;

pub mod control;

pub mod admin;
pub mod gateway;

pub mod app;
pub mod arguments;
pub mod commands;
