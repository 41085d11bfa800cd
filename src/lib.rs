//! Portolan: a server-side discovery reverse proxy.
//!
//! Services register at the admin address, are probed, and become routable;
//! clients send everything to one proxy address. `ARCHITECTURE.md` is the map;
//! begin to read at [`app`] for how it is put together, at [`proxy`] for the
//! way of a request, at [`control`] for the way of a registration.

pub mod acme;
pub mod admin;
pub mod app;
pub mod balance;
pub mod cli;
pub mod config;
pub mod control;
pub mod deadline;
pub mod etcd;
pub mod file_watch;
pub mod front;
pub mod health;
pub mod listener;
pub mod model;
pub mod proxy;
pub mod registry;
pub mod routing;
pub mod sources;
pub mod telemetry;
pub mod tls;
pub mod upstream;
pub mod worker;
