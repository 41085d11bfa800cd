//! What the runs found: a table of counts, and every case in which somebody
//! disagrees.

use std::collections::BTreeMap;

use crate::{cases::Case, messages::Answer, origin::Origin, run::Outcome};

/// Prints it, each case too if `all`. True if nobody disagrees.
pub(crate) fn print(
    origins: &[Origin],
    cases: &[Case],
    outcomes: &[Vec<Outcome>],
    all: bool,
) -> bool {
    let mut faults = Vec::new();
    for (index, case) in cases.iter().enumerate() {
        let mut of_case: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (origin, outcomes) in origins.iter().zip(outcomes) {
            for fault in &outcomes[index].faults {
                of_case.entry(fault).or_default().push(origin.name);
            }
        }
        for (fault, origins) in of_case {
            faults.push(format!("{} {}: {fault} [{}]", case.row, case.name, origins.join(" ")));
        }
        if all {
            println!("{} {}", case.row, case.name);
            for (origin, outcomes) in origins.iter().zip(outcomes) {
                let outcome = &outcomes[index];
                let (through, direct) = (words(&outcome.answers), words(&outcome.direct));
                println!("    {:8} through Portolan: {through}; directly: {direct}", origin.name);
            }
        }
    }
    println!("\n{} streams of bytes, each with a request behind it\n", cases.len());
    println!(
        "| origin | refused by Portolan | let through | refused by the origin itself | taken by it, refused by Portolan | hidden requests it would have served | disagreements |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for (origin, outcomes) in origins.iter().zip(outcomes) {
        let count = |of: &dyn Fn(&Outcome) -> bool| outcomes.iter().filter(|it| of(it)).count();
        println!(
            "| {} | {} | {} | {} | {} | {} | {} |",
            origin.name,
            count(&Outcome::is_refused),
            count(&|it| !it.is_refused()),
            count(&|it| !it.is_taken_directly()),
            count(&|it| it.is_refused() && it.is_taken_directly()),
            count(&Outcome::is_smuggled_directly),
            count(&|it| !it.faults.is_empty()),
        );
    }
    for fault in &faults {
        println!("FAULT {fault}");
    }
    println!("\ndifferential: {} cases, {} faults", cases.len(), faults.len());
    faults.is_empty()
}

fn words(answers: &[Answer]) -> String {
    let word = |answer: &Answer| match &answer.seen {
        Some(seen) => format!("{} {}+{}", seen.method, seen.target, seen.length),
        None => answer.status.to_string(),
    };
    let words: Vec<_> = answers.iter().map(word).collect();
    if words.is_empty() { "nothing".to_owned() } else { words.join(", ") }
}
