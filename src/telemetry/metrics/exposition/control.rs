//! The control plane, the logs and the process.

use std::{
    fmt,
    time::{SystemTime, UNIX_EPOCH},
};

use super::{
    super::{histogram::Distribution, scrape::Scrape},
    Exposition,
    page::Page,
};

impl Exposition {
    pub(super) fn control(&self, page: &mut Page<'_>) -> fmt::Result {
        let Scrape { sources, instances, table, config, probes, .. } = &self.scrape;
        let help = "1 if the source of instances answers.";
        page.gauge("portolan_registry_source_up", help, |series| {
            sources.iter().try_for_each(|source| {
                series.integer(&[("source", &source.source)], u64::from(source.up))
            })
        })?;
        let help = "When the source was last known to be in step.";
        page.gauge("portolan_registry_last_sync_timestamp_seconds", help, |series| {
            sources.iter().try_for_each(|source| match source.last_sync {
                Some(time) => series.number(&[("source", &source.source)], timestamp(time)),
                None => Ok(()),
            })
        })?;
        let help = "Attempts to reach the source that failed.";
        page.counter("portolan_registry_source_failures_total", help, |series| {
            sources.iter().try_for_each(|source| {
                series.integer(&[("source", &source.source)], source.failures)
            })
        })?;
        let help = "Times that an entry of the source could not be an instance.";
        page.counter("portolan_registry_source_rejected_total", help, |series| {
            sources.iter().try_for_each(|source| {
                series.integer(&[("source", &source.source)], source.rejections)
            })
        })?;
        let help = "Instances that the last list of the source lacked and that stay all the same.";
        page.gauge("portolan_registry_source_held", help, |series| {
            sources.iter().try_for_each(|source| {
                series.integer(&[("source", &source.source)], source.held as u64)
            })
        })?;
        let help = "Instances by source and state.";
        page.gauge("portolan_registry_instances", help, |series| {
            instances.iter().try_for_each(|some| {
                let labels = [("source", &*some.source), ("state", some.state.as_str())];
                series.integer(&labels, some.count)
            })
        })?;
        let help = "Calls of fronts, by language, call and result.";
        page.counter("portolan_front_requests_total", help, |series| {
            self.metrics.fronts().series().try_for_each(|(api, call, result, count)| {
                series.integer(&[("api", api), ("call", call), ("result", result)], count)
            })
        })?;
        self.store(page)?;
        let help = "Version of the routing table that every worker routes by.";
        page.gauge("portolan_table_version", help, |series| series.integer(&[], table.version))?;
        let help = "Routing tables published.";
        page.counter("portolan_table_publishes_total", help, |series| {
            series.integer(&[], table.publishes)
        })?;
        let help = "Time spent on compiling and publishing routing tables.";
        page.counter("portolan_table_publish_seconds_total", help, |series| {
            series.number(&[], table.publish_time.as_secs_f64())
        })?;
        let help = "Reloads of the config file, by result.";
        page.counter("portolan_config_reloads_total", help, |series| {
            series.integer(&[("result", "ok")], config.reloads_ok)?;
            series.integer(&[("result", "failed")], config.reloads_failed)
        })?;
        let help = "1 if the last reload of the config file took effect.";
        let name = "portolan_config_last_reload_successful";
        page.gauge(name, help, |series| series.integer(&[], u64::from(config.last_reload_ok)))?;
        let help = "When the running config was loaded.";
        let name = "portolan_config_last_reload_success_timestamp_seconds";
        page.gauge(name, help, |series| match config.last_success {
            Some(time) => series.number(&[], timestamp(time)),
            None => Ok(()),
        })?;
        let help = "Health probes, by result.";
        page.counter("portolan_probes_total", help, |series| {
            series.integer(&[("result", "passed")], probes.passed)?;
            series.integer(&[("result", "failed")], probes.failed)
        })?;
        let help = "Probe intervals as a multiple of what is configured; above 1 when stretched.";
        page.gauge("portolan_probe_stretch_ratio", help, |series| {
            series.number(&[], probes.stretch)
        })
    }

    fn store(&self, page: &mut Page<'_>) -> fmt::Result {
        let store = &self.scrape.store;
        let help = "1 if the store of the registry takes writes.";
        page.gauge("portolan_registry_store_writable", help, |series| {
            series.integer(&[], u64::from(store.writable))
        })?;
        let help = "Time to write a batch of changes to the disk and flush it.";
        page.histogram("portolan_registry_commit_seconds", help, |series| match Distribution::of(
            [&store.metrics.commits].into_iter(),
        ) {
            Some(commits) => series.distribution(&[], &commits),
            None => Ok(()),
        })?;
        let help = "Snapshots of the store, by result.";
        page.counter("portolan_registry_snapshots_total", help, |series| {
            series.integer(&[("result", "ok")], store.snapshots_taken)?;
            series.integer(&[("result", "failed")], store.snapshots_failed)
        })?;
        let help = "When the newest snapshot of the store was taken.";
        let name = "portolan_registry_snapshot_timestamp_seconds";
        page.gauge(name, help, |series| match store.newest_snapshot {
            Some(time) => series.number(&[], timestamp(time)),
            None => Ok(()),
        })?;
        let Some(fleet) = &self.scrape.fleet else { return Ok(()) };
        let help = "Other proxies that share the registry, by state.";
        page.gauge("portolan_registry_proxies", help, |series| {
            series.integer(&[("state", "present")], fleet.present)?;
            series.integer(&[("state", "missing")], fleet.missing)
        })?;
        let help = "Registrations that are known here and that etcd has lost.";
        page.gauge("portolan_registry_pending", help, |series| series.integer(&[], fleet.pending))?;
        let help = "How long etcd has been further than what was heard of it.";
        let name = "portolan_registry_behind_seconds";
        page.gauge(name, help, |series| series.number(&[], fleet.behind.as_secs_f64()))
    }

    pub(super) fn telemetry(&self, page: &mut Page<'_>) -> fmt::Result {
        let help = "Lines missing from the access log, by cause.";
        page.counter("portolan_access_log_dropped_total", help, |series| {
            let log = &self.scrape.access_log;
            series.integer(&[("cause", "queue_full")], log.dropped)?;
            series.integer(&[("cause", "write_failed")], log.lost)
        })?;
        let help = "1; tells what is running.";
        page.gauge("portolan_build_info", help, |series| {
            let build = &self.scrape.build;
            series.integer(&[("version", &build.version), ("revision", &build.revision)], 1)
        })
    }

    pub(super) fn process(&self, page: &mut Page<'_>) -> fmt::Result {
        let process = &self.process;
        let help = "Time on a processor, user and system.";
        page.counter("process_cpu_seconds_total", help, |series| {
            series.number(&[], process.cpu.as_secs_f64())
        })?;
        let mut gauge = |name, help, value: Option<u64>| {
            page.gauge(name, help, |series| match value {
                Some(value) => series.integer(&[], value),
                None => Ok(()),
            })
        };
        gauge("process_resident_memory_bytes", "Resident memory.", process.resident_memory)?;
        gauge("process_open_fds", "Open file descriptors.", process.open_fds)?;
        let help = "Most file descriptors that may be open.";
        gauge("process_max_fds", help, process.max_fds)?;
        let help = "When the process started.";
        page.gauge("process_start_time_seconds", help, |series| match process.start_time {
            Some(time) => series.number(&[], time),
            None => Ok(()),
        })
    }
}

fn timestamp(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
