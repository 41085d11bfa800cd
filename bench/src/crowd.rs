//! What a large table and constant change cost a request: Portolan with four
//! instances, beside Portolan with the same four among 100,000, of which some
//! change all the time.

use std::{path::Path, time::Instant};

use crate::{
    registrar::{Storm, crowd},
    report,
    scenario::{self, Way},
    slice,
    slice::Threads,
    target::{Kind, Place, Target},
};

/// The size of the crowd, and how much of it changes.
#[derive(Debug, clap::Args)]
pub(crate) struct Crowd {
    /// Services beside the one that is asked
    #[arg(long, default_value_t = 10_000)]
    services: usize,
    /// Instances of each
    #[arg(long, default_value_t = 10)]
    instances: usize,
    /// Registrations a second while it is measured
    #[arg(long, default_value_t = 100)]
    changes: u32,
}

impl Crowd {
    /// Measures `program` with and without the crowd.
    pub(crate) fn measure(
        &self,
        run: &crate::Rounds,
        program: &Path,
        place: &Place<'_>,
    ) -> anyhow::Result<()> {
        let alone = Target::start(Kind::Portolan, "4 instances", Some(program), place)?;
        let again = Target::start(Kind::Portolan, "4 instances again", Some(program), place)?;
        let many = Target::start(Kind::Portolan, "crowd", Some(program), place)?;
        let begun = Instant::now();
        crowd(many.admin, self.services, self.instances)?;
        println!(
            "{} instances of {} services registered in {:.0} s",
            self.services * self.instances,
            self.services,
            begun.elapsed().as_secs_f64()
        );
        let targets = [&alone, &again, &many];
        let labels: Vec<String> = targets.iter().map(|target| target.label.clone()).collect();
        for scenario in scenario::all()?
            .iter()
            .filter(|scenario| run.wants(&scenario.name) && scenario.way == Way::Plain)
        {
            let storm = Storm::begin(many.admin, self.services, self.changes)?;
            let (begun, length) = (Instant::now(), run.length());
            let (rounds, thrown_away) =
                slice::rounds(&targets, scenario, run.rounds, length, Threads::Workers)?;
            let rate = storm.made() as f64 / begun.elapsed().as_secs_f64();
            storm.end()?;
            let title = format!("{}, worker threads, {rate:.0} changes a second", scenario.name);
            print!("{}", report::table(&title, &labels, &rounds, 0, thrown_away));
        }
        Ok(())
    }
}
