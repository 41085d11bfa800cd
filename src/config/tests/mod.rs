//! Whole files and what is said about them.
use super::*;

fn none(_: &str) -> Option<String> { None }
#[test]
fn try_it() {
    for f in ["/tmp/cfgx/a.toml", "/tmp/cfgx/b.toml", "/tmp/cfgx/c.toml"] {
        let t = std::fs::read_to_string(f).unwrap();
        match parse(&t, "proxy.toml", &|n| (n=="SECRET").then(|| "hunter2".to_string())) {
            Ok(l) => println!("OK {}", l.report().render(false)),
            Err(r) => println!("{}", r.render(false)),
        }
    }
}
