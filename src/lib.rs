//! Portolan: a server-side discovery reverse proxy.

pub mod admin;
pub mod cli;
pub mod config;
pub mod control;
pub mod health;
pub mod listener;
pub mod model;
pub mod registry;
pub mod routing;
pub mod telemetry;
