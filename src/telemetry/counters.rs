//! Stub.
#![allow(missing_docs, missing_debug_implementations, clippy::all, unused)]
use crate::model::Reason;
use std::{sync::Arc, time::Duration};
#[derive(Debug)]
pub struct RouteMetrics;
impl RouteMetrics {
    pub fn new(_w: usize) -> Arc<Self> {
        Arc::new(Self)
    }
    pub fn record(
        &self,
        worker: usize,
        method: &http::Method,
        status: u16,
        took: Duration,
        bytes_in: u64,
        bytes_out: u64,
    ) {
    }
}
#[derive(Debug)]
pub struct ServiceMetrics;
impl ServiceMetrics {
    pub fn new(_w: usize) -> Arc<Self> {
        Arc::new(Self)
    }
    pub fn upstream(&self, worker: usize, status: u16, first_byte: Duration) {}
    pub fn retried(&self, worker: usize) {}
    pub fn connect(&self, worker: usize, ok: bool) {}
}
