//! A config file that is cut anywhere is the old one or the new one, never a
//! mix.

use std::fs;

use crate::support::{Echo, Portolan};

const CUTS: usize = 1000;

/// Two routes that only make sense together, and name the file they are of.
fn config(name: &str) -> String {
    format!(
        "[[route]]\nname = '{name}-first'\npath = '/first'\nredirect = {{ to = 'https://{name}.test/first' }}\n\
         [[route]]\nname = '{name}-second'\npath = '/second'\nredirect = {{ to = 'https://{name}.test/second' }}\n"
    )
}

#[test]
fn a_config_that_is_cut_off_takes_effect_only_if_it_is_sound() {
    let echo = Echo::start("one");
    let service = format!(
        "[service.app]\nendpoints = ['{}']\n[[route]]\npath = '/app'\nservice = 'app'\n",
        echo.address()
    );
    let proxy = Portolan::start(&service);
    // Without its listener the file would be sound too, and open the default
    // port: only what comes after it is cut.
    let head = fs::read_to_string(proxy.config_file()).expect("readable");
    let (old, new) = (format!("{head}{}", config("old")), format!("{head}{}", config("new")));
    assert_eq!(proxy.reload(&format!("{service}{}", config("old"))).status(), 200);
    let names = |name: &str| [format!("{name}-first"), format!("{name}-second")];
    let routes = || {
        let view = proxy.admin("GET", "/api/v1/routes", "").json();
        let routes = view["routes"].as_array().expect("routes").clone();
        let names = routes.iter().map(|it| it["name"].as_str().expect("a name").to_owned());
        names.filter(|name| name.contains('-')).collect::<Vec<_>>()
    };
    let mut running = routes();
    assert_eq!(running, names("old"));
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..CUTS {
        let end = fastrand::usize(head.len()..=new.len());
        let cut = &new[..end];
        // In one step, as an editor does: what is checked is what is read.
        let unfinished = proxy.folder().join("cut");
        fs::write(&unfinished, cut).expect("written");
        fs::rename(&unfinished, proxy.config_file()).expect("renamed");
        let answer = proxy.admin("POST", "/api/v1/config/reload", "");
        let found = routes();
        match answer.status() {
            200 => {
                // Sound as it is: exactly what it says, whole routes of it alone.
                assert!(cut.parse::<toml::Table>().is_ok(), "{cut}");
                assert!(found.iter().all(|name| cut.contains(name)), "{found:?} of\n{cut}");
                taken += 1;
                running = found;
            }
            _ => {
                assert_eq!(found, running, "as before");
                refused += 1;
            }
        }
        // A file that ends after a route is sound and says less; the next cut
        // begins from the old one.
        if running != names("old") {
            fs::write(&unfinished, &old).expect("written");
            fs::rename(&unfinished, proxy.config_file()).expect("renamed");
            assert_eq!(proxy.admin("POST", "/api/v1/config/reload", "").status(), 200);
            running = routes();
            assert_eq!(running, names("old"));
        }
    }
    assert!(refused > 0 && taken + refused == CUTS, "{taken} taken, {refused} refused");
    assert_eq!(proxy.get("/app").status(), 200);
}
