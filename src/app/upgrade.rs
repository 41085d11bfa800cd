//! Upgrades: another process takes over, or everything stays as it is.

use std::time::Instant;

use tokio::sync::mpsc;

use super::{
    handover::{self, Given, Heir, Refusal},
    inherited::Role,
    program::Program,
    reload::Reloader,
};
use crate::{control::view::UpgradeView, worker::Command};

/// Calls that may wait to be passed on.
const RELAYED: usize = 64;

impl Reloader {
    /// Starts the program anew and hands over to it. With an heir, nothing is
    /// left to do here but to finish what is in flight.
    pub(super) async fn upgrade(&mut self) -> (UpgradeView, Option<Heir>) {
        let begun = Instant::now();
        let (view, heir) = match self.try_upgrade().await {
            Ok((pid, program, heir)) => {
                tracing::info!(pid, program, "another process has taken over");
                let (ok, pid, program) = (true, Some(pid), Some(program));
                let (why, problems) = (String::new(), String::new());
                (UpgradeView { ok, pid, program, took_ms: 0, why, problems }, Some(heir))
            }
            Err(refusal) => {
                tracing::error!("no other process took over, this one goes on: {refusal}");
                let mut view = UpgradeView::refused(refusal.to_string());
                if let Refusal::Refused { problems, .. } = refusal {
                    view.problems = problems;
                }
                (view, None)
            }
        };
        let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let view = UpgradeView { took_ms, ..view };
        self.control.upgraded(&view);
        (view, heir)
    }

    async fn try_upgrade(&mut self) -> Result<(u32, String, Heir), Refusal> {
        let program = self.program()?;
        let clients =
            self.listeners.sockets().map(|(address, socket)| (address, Role::Listener, socket));
        let (admin, socket) = &self.admin_socket;
        let sockets = clients.chain([(*admin, Role::Admin, socket)]);
        let fronts = self.fronts.sockets();
        let sockets = sockets.chain(fronts.map(|(address, socket)| (address, Role::Front, socket)));
        let succession = self.admin_state.succession();
        let given =
            handover::give(&program, sockets, &self.control, &self.registry, succession).await?;
        let Given { pid, program, dropped, .. } = &given;
        let (pid, program, dropped) = (*pid, program.clone(), dropped.clone());
        // It is listened to only once it is the main process.
        self.notifier.main_process(pid);
        let served = given.serve(&self.control).await;
        let (wire, pause) =
            served.inspect_err(|_| self.notifier.main_process(std::process::id()))?;
        let (movers, clients) = mpsc::unbounded_channel();
        for worker in &*self.workers {
            for address in &dropped {
                worker.tell(Command::Unlisten(*address));
            }
            worker.tell(Command::MoveTo(movers.clone()));
        }
        let (relay, calls) = mpsc::channel(RELAYED);
        pause.end_there(relay);
        Ok((pid, program, handover::lead((pid, wire), self.control.clone(), clients, calls)))
    }

    fn program(&self) -> Result<Program, Refusal> {
        let refused = |why: &str| {
            let (why, problems) = (why.to_owned(), String::new());
            Refusal::Refused { why, problems }
        };
        if std::process::id() == 1 {
            let why = "this is the first process of its container, which would end with it; \
                       replace the container, or start it with an init process";
            return Err(refused(why));
        }
        self.program.clone().ok_or_else(|| refused("this proxy is part of another program"))
    }
}
