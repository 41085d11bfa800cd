//! Portolan: a server-side discovery reverse proxy.

pub mod admin;
pub mod balance;
pub mod config;
pub mod control;
pub mod deadline;
pub mod health;
pub mod listener;
pub mod model;
pub mod proxy;
pub mod registry;
pub mod routing;
pub mod telemetry;
pub mod upstream;
pub mod worker;
