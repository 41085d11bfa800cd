//! Figures that the tests have seen, for the person who runs them: what a test
//! prints as usual is shown only when it fails.

use std::{
    fmt::Arguments,
    io::{self, Write},
    thread,
};

/// Shows a figure, also of a test that passes.
pub(crate) fn say(figure: Arguments<'_>) {
    let thread = thread::current();
    let test = thread.name().unwrap_or("a test");
    let _ = writeln!(io::stderr(), "{test}: {figure}");
}

/// Shows a figure, as `println!` would.
macro_rules! say {
    ($($what:tt)*) => { crate::figures::say(format_args!($($what)*)) };
}
