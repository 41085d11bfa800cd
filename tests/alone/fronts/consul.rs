//! The API of a Consul agent: register, report, leave.
