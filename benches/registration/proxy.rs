//! A proxy in this process.

use std::{fmt::Write, fs, path::Path};

use portolan::app::{self, Running};

/// Starts one that keeps its store below `folder`, with `routes` routes: the
/// host `fresh-7.example` leads to the service `fresh-7`.
pub(crate) fn start(folder: &Path, routes: usize) -> anyhow::Result<Running> {
    let mut config = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n\
         [registry]\ndata_dir = {:?}\n",
        folder.join("data")
    );
    for index in 0..routes {
        write!(
            config,
            "[[route]]\nhost = \"fresh-{index}.example\"\nservice = \"fresh-{index}\"\n"
        )?;
    }
    let path = folder.join("proxy.toml");
    fs::write(&path, config)?;
    app::start(&path).map_err(|error| anyhow::anyhow!("{error}"))
}
